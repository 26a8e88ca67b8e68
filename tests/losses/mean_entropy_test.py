import math

import numpy as np
import pytest
from keras import ops
from scipy.special import softmax

from keras_dinolm.losses import mean_entropy
from tests.gradients import evaluate
from tests.gradients import value_and_grad
from tests.losses import reference
from tests.losses.reference import check
from tests.losses.reference import check_gradient
from tests.losses.reference import draw


def expected(logits, temperature):
    mean = np.mean([softmax(row / temperature) for row in logits], axis=0)
    return -sum(m * np.log(m) for m in mean)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_value_and_gradient(temperature):
    logits = draw(0, 6, 5)

    def loss(logits):
        return mean_entropy(logits, temperature)

    value, (grad,) = value_and_grad(loss, logits)
    check(value, expected(logits.astype("float64"), temperature))
    check_gradient(
        grad,
        reference.gradient(lambda x: expected(x, temperature), logits),
        1e-4,
    )


def test_bounds():
    certain = 100.0 * np.eye(4)
    check(evaluate(mean_entropy, certain, temperature=0.1), math.log(4), 1e-6)
    check(evaluate(mean_entropy, 0 * certain, temperature=0.1), math.log(4))
    assert evaluate(mean_entropy, certain[[1, 1, 1]], temperature=0.1) == 0.0


def test_one_prototype_alone_has_a_finite_gradient():
    logits = np.full((3, 4), -1e4, "float32")
    logits[:, 2] = 1e4

    def loss(logits):
        return mean_entropy(logits, 0.05)

    value, (grad,) = value_and_grad(loss, logits)
    assert value == 0.0 and np.all(np.isfinite(grad))


def test_order_of_rows_and_further_axes_do_not_matter():
    logits = draw(1, 2, 3, 5)
    flat = logits.reshape(6, 5)
    shuffled = flat[[3, 0, 5, 1, 4, 2]]
    value = evaluate(mean_entropy, flat, temperature=0.2)
    for other in (logits, shuffled):
        check(evaluate(mean_entropy, other, temperature=0.2), value, 1e-6)


def test_bfloat16_is_computed_in_float32():
    logits = ops.cast(np.zeros((4, 1024)), "bfloat16")
    loss = evaluate(mean_entropy, logits, temperature=0.1)
    assert loss.dtype == "float32"
    check(loss, math.log(1024))


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="`logits` must have shape"):
        mean_entropy(np.ones(3), 0.1)
    with pytest.raises(ValueError, match="temperature=0"):
        mean_entropy(np.ones((2, 3)), 0)
