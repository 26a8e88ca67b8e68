import numpy as np
import pytest
from keras import ops

from keras_dinolm.losses import smooth_l1
from tests.gradients import evaluate
from tests.gradients import value_and_grad
from tests.losses import reference
from tests.losses.reference import check
from tests.losses.reference import check_gradient
from tests.losses.reference import draw

WEIGHTS = np.array([0.5, 0.0, 1.0, 0.25], "float32")


def expected(p, t, beta, weights=WEIGHTS):
    total = 0.0
    for a, b, w in zip(reference.array(p), reference.array(t), weights):
        for e in np.abs(a - b):
            if beta is None:
                h = e**2
            else:
                h = e**2 / (2 * beta) if e < beta else e - beta / 2
            total += w * h / p.shape[1]
    return total / np.sum(weights)


def narrow(p, t, w):
    return smooth_l1(p, t, 0.4, w)


def wide(p, t, w):
    return smooth_l1(p, t, 4.0, w)


def square(p, t, w):
    return smooth_l1(p, t, None, w)


@pytest.mark.parametrize(
    ("loss", "beta"), [(narrow, 0.4), (wide, 4.0), (square, None)]
)
def test_value_and_gradients(loss, beta):
    p, t = draw(0, 4, 5), draw(1, 4, 5)
    value, grads = value_and_grad(loss, p, t, others=[WEIGHTS])
    check(value, expected(p, t, beta))
    wanted = reference.gradient(lambda x: expected(x, t, beta), p)
    check_gradient(grads[0], wanted)
    check_gradient(grads[1], -wanted)


def test_unused_rows_may_hold_anything():
    p, t = draw(2, 4, 5), draw(3, 4, 5)
    wanted = expected(p, t, 0.4)
    p[1], t[1] = np.nan, np.inf
    value, grads = value_and_grad(narrow, p, t, others=[WEIGHTS])
    check(value, wanted)
    assert np.all(np.isfinite(grads)) and not np.any(grads[0][1])


def test_no_row_is_zero_without_gradient():
    p, t = draw(4, 4, 5), draw(5, 4, 5)
    value, grads = value_and_grad(narrow, p, t, others=[0 * WEIGHTS])
    assert value == 0.0 and not np.any(grads)


def test_a_perfect_prediction_has_no_gradient():
    p = draw(6, 4, 5)
    value, grads = value_and_grad(narrow, p, p, others=[WEIGHTS])
    assert value == 0.0 and not np.any(grads)


def test_bfloat16_is_computed_in_float32():
    p, t = (ops.cast(draw(s, 3, 4), "bfloat16") for s in (7, 8))
    loss = evaluate(smooth_l1, p, t)
    assert loss.dtype == "float32"
    exact = [ops.convert_to_numpy(ops.cast(x, "float32")) for x in (p, t)]
    check(loss, expected(*exact, 1.0, np.ones(3)))


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"`targets`.*D=3"):
        smooth_l1(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(ValueError, match="beta=0"):
        smooth_l1(np.ones((2, 3)), np.ones((2, 3)), 0)
