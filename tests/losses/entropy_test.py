import math

import numpy as np
import pytest
from keras import ops
from scipy.stats import entropy as scipy_entropy

from keras_dinolm.losses import entropy
from tests.gradients import evaluate
from tests.gradients import value_and_grad
from tests.losses.reference import check
from tests.losses.reference import check_gradient
from tests.losses.reference import draw_probs


def test_value_agrees_with_scipy():
    probs = draw_probs(0, 7, 9).astype("float64")
    probs /= probs.sum(axis=1, keepdims=True)
    check(evaluate(entropy, probs), scipy_entropy(probs, axis=1).mean())
    check(evaluate(entropy, probs[:1]), scipy_entropy(probs[0]))


def test_gradient():
    probs = np.random.default_rng(1).dirichlet(np.ones(5), 4)
    probs = probs.astype("float32")
    _, (grad,) = value_and_grad(entropy, probs)
    check_gradient(grad, -(np.log(probs.astype("float64")) + 1) / 4)


def test_bounds():
    certain = evaluate(entropy, np.eye(3))
    assert certain == 0.0 and not np.signbit(certain)
    check(evaluate(entropy, np.full((3, 3), 1 / 3)), math.log(3), 1e-6)


def test_zeros_have_finite_gradients():
    _, (grad,) = value_and_grad(entropy, np.eye(3, dtype="float32"))
    assert np.all(np.isfinite(grad))


def test_further_axes_are_more_rows():
    probs = draw_probs(2, 2, 3, 5)
    flat = probs.reshape(6, 5)
    check(evaluate(entropy, probs), evaluate(entropy, flat), 1e-6)


def test_bfloat16_is_computed_in_float32():
    probs = np.full((4, 1024), 1 / 1024)
    loss = evaluate(entropy, ops.cast(probs, "bfloat16"))
    assert loss.dtype == "float32"
    check(loss, math.log(1024))


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match="`probs` must have shape"):
        entropy(np.ones(3))
