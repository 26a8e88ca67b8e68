import numpy as np
import pytest
from keras import ops
from scipy.special import softmax

from keras_dinolm.losses import centered_softmax
from tests.gradients import evaluate
from tests.gradients import value_and_grad
from tests.losses.reference import check
from tests.losses.reference import draw


@pytest.mark.parametrize("temperature", [0.04, 1.0])
@pytest.mark.parametrize("shape", [(6, 9), (1, 4)])
def test_agrees_with_scipy(shape, temperature):
    logits = draw(0, *shape) * np.float32(50 * temperature)
    center = draw(1, shape[1]) * np.float32(50 * temperature)
    expected = softmax(
        (logits.astype("float64") - center) / temperature, axis=-1
    )
    check(evaluate(centered_softmax, logits, center, temperature), expected)


def test_constant_features_become_uniform_when_centered():
    logits = np.repeat(draw(2, 1, 9), 6, axis=0)
    probs = evaluate(centered_softmax, logits, logits[0], 0.04)
    check(probs, np.full((6, 9), 1 / 9))


def test_huge_logits_stay_finite():
    logits, center = draw(3, 6, 9) * 1e4, draw(4, 9) * 1e4
    probs = evaluate(centered_softmax, logits, center, 0.04)
    check(probs.sum(axis=1), np.ones(6))


def test_carries_no_gradient():
    def loss(logits, center):
        probs = centered_softmax(logits, center, 0.1)
        return ops.sum(ops.square(probs))

    _, grads = value_and_grad(loss, draw(5, 6, 3), draw(6, 3))
    assert not np.any(grads[0]) and not np.any(grads[1])


def test_bfloat16_is_computed_in_float32():
    logits = ops.cast(draw(7, 4, 6), "bfloat16")
    center = ops.cast(draw(8, 6), "float16")
    probs = evaluate(centered_softmax, logits, center, 0.1)
    assert probs.dtype == "float32"
    exact = [
        ops.convert_to_numpy(ops.cast(x, "float32")) for x in (logits, center)
    ]
    check(
        probs,
        softmax((exact[0].astype("float64") - exact[1]) / 0.1, axis=-1),
    )


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"`center`.*K=3.*\(4,\)"):
        centered_softmax(np.ones((2, 3)), np.ones(4), 0.1)
    with pytest.raises(ValueError, match="temperature=-1"):
        centered_softmax(np.ones((2, 3)), np.ones(3), -1)
