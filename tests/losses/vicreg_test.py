import numpy as np
import pytest
from keras import ops

from keras_dinolm.losses import vicreg
from tests.gradients import evaluate
from tests.gradients import value_and_grad
from tests.losses import reference
from tests.losses.reference import check
from tests.losses.reference import check_gradient
from tests.losses.reference import draw


@pytest.mark.parametrize(
    "weights", [(25, 25, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
)
@pytest.mark.parametrize("size", [0.3, 3.0])  # below and above the hinge
def test_value_and_gradients(weights, size):
    x, y = draw(0, 8, 4) * np.float32(size), draw(1, 8, 4) * np.float32(size)
    value, grads = value_and_grad(
        vicreg, x, y, others=np.array(weights, "float32")
    )
    check(value, reference.vicreg(x, y, *weights))
    for place, grad in enumerate(grads):
        expected = reference.gradient(
            lambda z, place=place: reference.vicreg(
                *((z, y) if place == 0 else (x, z)), *weights
            ),
            (x, y)[place],
        )
        if np.any(expected):
            check_gradient(grad, expected)
        else:  # the hinge is closed
            check(grad, expected)


def test_default_weights():
    x, y = draw(2, 6, 3), draw(3, 6, 3)
    check(evaluate(vicreg, x, y), reference.vicreg(x, y, 25.0, 25.0, 1.0))


def test_constant_features_pay_the_whole_variance_term():
    x = np.ones((6, 3), "float32")
    value, grads = value_and_grad(vicreg, x, x)
    check(value, 25 * (1 - np.sqrt(1e-4)))
    assert np.all(np.isfinite(grads))


def test_one_row_counts_as_constant():
    x = draw(4, 1, 3)
    value, grads = value_and_grad(vicreg, x, x)
    check(value, 25 * (1 - np.sqrt(1e-4)))
    assert np.all(np.isfinite(grads))


def test_bfloat16_is_computed_in_float32():
    x = ops.cast(draw(5, 6, 3), "bfloat16")
    y = ops.cast(draw(6, 6, 3), "float16")
    loss = evaluate(vicreg, x, y)
    assert loss.dtype == "float32"
    exact = [ops.convert_to_numpy(ops.cast(z, "float32")) for z in (x, y)]
    check(loss, reference.vicreg(*exact))


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"`y`.*D=3"):
        vicreg(np.ones((2, 3)), np.ones((2, 4)))
