import math

import numpy as np
import pytest
from keras import ops
from scipy.special import log_softmax

from keras_dinolm.losses import info_nce
from tests.gradients import evaluate
from tests.gradients import value_and_grad
from tests.losses import reference
from tests.losses.reference import check
from tests.losses.reference import check_gradient
from tests.losses.reference import draw


@pytest.mark.parametrize("temperature", [0.01, 0.05, 1.0])
@pytest.mark.parametrize("shape", [(8, 5), (3, 2)])
def test_value_and_gradients(shape, temperature):
    x, y = draw(0, *shape), draw(1, *shape)
    value, grads = value_and_grad(
        info_nce, x, y, others=[np.array(temperature)]
    )
    check(value, reference.info_nce(x, y, temperature))
    expected = reference.gradient(
        lambda z: reference.info_nce(z, y, temperature), x, step=1e-6
    )
    check_gradient(grads[0], expected)
    expected = reference.gradient(
        lambda z: reference.info_nce(x, z, temperature), y, step=1e-6
    )
    check_gradient(grads[1], expected)


def test_default_temperature():
    x, y = draw(2, 6, 4), draw(3, 6, 4)
    check(evaluate(info_nce, x, y), reference.info_nce(x, y, 0.05))


def test_directions_and_lengths_do_not_matter():
    x, y = draw(4, 6, 4), draw(5, 6, 4)
    check(evaluate(info_nce, y * 7, x), evaluate(info_nce, x, y), 1e-6)


def test_one_row_is_zero():
    check(evaluate(info_nce, draw(6, 1, 4), draw(7, 1, 4)), 0.0, 1e-6)


def test_constant_features_cost_log_n():
    x = np.ones((6, 4))
    check(evaluate(info_nce, x, x), math.log(6), 1e-6)


def test_duplicates_and_zero_rows_have_finite_gradients():
    x, y = draw(8, 6, 4), draw(9, 6, 4)
    x[3], y[3] = x[1], y[1]
    x[5] = 0.0
    value, grads = value_and_grad(info_nce, x, y)
    check(value, reference.info_nce(x, y))
    assert np.all(np.isfinite(grads)) and not np.any(grads[0][5])


def test_bfloat16_is_computed_in_float32():
    x = ops.cast(draw(10, 6, 4), "bfloat16")
    y = ops.cast(draw(11, 6, 4), "float16")
    loss = evaluate(info_nce, x, y)
    assert loss.dtype == "float32"
    exact = [ops.convert_to_numpy(ops.cast(z, "float32")) for z in (x, y)]
    check(loss, reference.info_nce(*exact))


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"`y`.*N=2"):
        info_nce(np.ones((2, 3)), np.ones((3, 3)))
    with pytest.raises(ValueError, match="temperature=0"):
        info_nce(np.ones((2, 3)), np.ones((2, 3)), 0)


def test_further_negatives_are_of_the_first_direction_alone():
    x, y, more = draw(1, 5, 4), draw(2, 5, 4), draw(3, 3, 4)

    def expected(x):
        a, b, c = (reference.unit(reference.array(z)) for z in (x, y, more))
        forward = log_softmax(a @ np.concatenate([b, c]).T / 0.1, axis=1)
        backward = log_softmax(a @ b.T / 0.1, axis=0)
        return -np.mean(np.diag(forward) + np.diag(backward)) / 2

    value, (gradient,) = value_and_grad(info_nce, x, others=[y, 0.1, more])
    check(value, expected(x))
    check_gradient(gradient, reference.gradient(expected, x))
