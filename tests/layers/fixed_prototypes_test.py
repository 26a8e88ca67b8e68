"""Given centroids, and means over near tokens, against NumPy."""

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.layers.near_tokens import mean_of_near_tokens
from tests import tiny
from tests.gradients import evaluate

RNG = np.random.default_rng(0)


def test_scores_are_cosines_also_in_half_precision():
    centroids, x = RNG.normal(size=(5, 4)), RNG.normal(size=(2, 3, 4))
    unit = centroids / np.linalg.norm(centroids, axis=1, keepdims=True)
    expected = x @ unit.T / np.linalg.norm(x, axis=-1, keepdims=True)
    for policy in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(policy)
        try:
            layer = kd.layers.FixedPrototypes(3 * centroids)
        finally:
            keras.config.set_dtype_policy("float32")
        found = tiny.values([layer(x.astype("float32"))])[0]
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert not layer.trainable_variables


def test_a_shape_gives_random_unit_directions():
    layer = kd.layers.FixedPrototypes((50, 8))
    (found,) = tiny.values(layer.weights)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    # Spread over the sphere: no direction in common.
    assert np.linalg.norm(found.mean(axis=0)) < 0.4


@pytest.mark.parametrize("window", [0, 1, 3, 9])
def test_means_are_over_near_text_alone(window):
    x = RNG.normal(size=(2, 2, 6, 3)).astype("float32")
    is_text = RNG.random((2, 2, 6)) < 0.7
    x[~is_text] = np.nan
    found = evaluate(mean_of_near_tokens, x, is_text, window=window)
    expected = np.zeros(x.shape)
    for b, v, i in np.ndindex(*is_text.shape):
        near = [
            x[b, v, j]
            for j in range(6)
            if abs(i - j) <= window and is_text[b, v, j]
        ]
        if near:
            expected[b, v, i] = np.mean(near, axis=0, dtype="float64")
    np.testing.assert_allclose(found, expected, atol=1e-6)
