"""Poolers against NumPy, on padded and on empty rows."""

import numpy as np
import pytest

from keras_dinolm import layers
from tests.layers.arrays import to_numpy

RNG = np.random.default_rng(0)
TOKENS = RNG.normal(size=(3, 6, 8))
MASK = np.array([[1] * 6, [1, 1, 1, 0, 0, 0], [0] * 6], "bool")


def test_mean_is_over_real_tokens():
    found = to_numpy(layers.MeanPooling()(TOKENS, MASK))
    np.testing.assert_allclose(found[0], TOKENS[0].mean(0), atol=1e-6)
    np.testing.assert_allclose(found[1], TOKENS[1, :3].mean(0), atol=1e-6)
    np.testing.assert_array_equal(found[2], 0.0)


def test_cls_is_the_first_token():
    found = to_numpy(layers.ClsPooling()(TOKENS, MASK))
    np.testing.assert_allclose(found, TOKENS[:, 0], atol=1e-6)


def test_attention_starts_as_the_mean():
    found = to_numpy(layers.AttentionPooling(2)(TOKENS, MASK))
    expected = to_numpy(layers.MeanPooling()(TOKENS, MASK))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_attention_weighs_by_softmax_of_the_scores_of_each_head():
    layer = layers.AttentionPooling(2)
    layer.build(TOKENS.shape)
    query = RNG.normal(size=(8, 2))
    layer.set_weights([query])
    found = to_numpy(layer(TOKENS, MASK))[1]
    for head, part in enumerate((slice(0, 4), slice(4, 8))):
        weights = np.exp(TOKENS[1, :3] @ query[:, head] / np.sqrt(8))
        weights /= weights.sum()
        np.testing.assert_allclose(
            found[part], weights @ TOKENS[1, :3, part], atol=1e-5
        )


@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_padding_does_not_matter(pooling):
    pooler = layers.get_pooler(pooling)
    noisy = TOKENS.copy()
    noisy[~MASK] = 1e6
    np.testing.assert_array_equal(
        to_numpy(pooler(noisy, MASK)), to_numpy(pooler(TOKENS, MASK))
    )
