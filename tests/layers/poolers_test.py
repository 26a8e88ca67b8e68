"""Poolers against NumPy, on padded and on empty rows."""

import keras
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


IDS = np.array([[2, 3, 4, 5, 6, 7], [0, 1, 5, 6, 6, 6], [2] * 6], "int32")
# Id 0 is special, 1 rare, and the others are between.
LOG_WEIGHTS = np.array([np.log(1e-6), 0.0, *RNG.normal(-2, 1, 6)], "float32")


def weighted_mean(**kwargs):
    layer = layers.WeightedMeanPooling(8, **kwargs)
    layer.build(TOKENS.shape)
    layer.set_weights([LOG_WEIGHTS])
    return layer


def test_weighted_mean_is_that_of_the_real_tokens():
    found = to_numpy(weighted_mean()(TOKENS, MASK, IDS))
    weights = np.exp(LOG_WEIGHTS.astype("float64"))[IDS] * MASK
    total = weights.sum(1, keepdims=True)
    weights = weights / np.where(total, total, 1.0)
    expected = np.einsum("bl,bld->bd", weights, TOKENS)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(found[2], 0.0)


def test_weighted_mean_starts_as_the_mean():
    found = layers.WeightedMeanPooling(8)(TOKENS, MASK, IDS)
    expected = layers.MeanPooling()(TOKENS, MASK)
    np.testing.assert_allclose(to_numpy(found), to_numpy(expected), atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "mixed_bfloat16"])
@pytest.mark.parametrize("log_weight", [np.log(1e-6), -500.0, 500.0])
def test_special_tokens_alone_pool_to_their_mean(dtype, log_weight):
    # In half precision e^-14 times a feature is next to nothing, and e^-500
    # is nothing anywhere.
    layer = layers.WeightedMeanPooling(3, dtype=dtype)
    layer.build((2, 4, 8))
    layer.set_weights([np.array([log_weight, 0.0, 0.0])])
    tokens = np.stack([TOKENS[0, :4], TOKENS[1, :4]])
    mask = np.array([[1, 1, 0, 0], [1, 0, 0, 0]], "bool")
    found = to_numpy(layer(tokens, mask, np.array([[0, 0, 1, 1], [0] * 4])))
    expected = [TOKENS[0, :2].mean(0), TOKENS[1, 0]]
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_half_precision_sums_many_small_weights_in_full_precision():
    # One frequent token and 4,000 rare ones: summed in half precision, the
    # total would stop growing at 256 (bfloat16) or 2,048 (float16).
    length = 4_001
    ids = np.ones((1, length), "int32")
    ids[0, 0] = 0
    tokens = np.full((1, length, 1), 0.5, "float32")
    tokens[0, 0] = 100.0
    layer = layers.WeightedMeanPooling(2, dtype="mixed_bfloat16")
    layer.build(tokens.shape)
    layer.set_weights([np.array([np.log(40.0), 0.0])])
    found = to_numpy(layer(tokens, ids >= 0, ids)).item()
    expected = (40.0 * 100.0 + 4_000 * 0.5) / 4_040.0
    assert found == pytest.approx(expected, rel=2**-8)


def test_weights_learn_and_can_be_frozen():
    # Keras' gradient by way of a step of plain descent.
    layer = weighted_mean()
    ids = keras.Input((6,), dtype="int32")
    mask = keras.Input((6,), dtype="bool")
    tokens = keras.Input((6, 8))
    model = keras.Model(
        [tokens, mask, ids], keras.ops.sum(layer(tokens, mask, ids), axis=1)
    )
    model.compile(keras.optimizers.SGD(1.0), loss=lambda y, x: x)
    model.train_on_batch([TOKENS[:1], MASK[:1], IDS[:1]], np.zeros(1))
    weights = np.exp(LOG_WEIGHTS[2:].astype("float64"))
    weights /= weights.sum()
    sums = TOKENS[0].sum(1)
    expected = LOG_WEIGHTS.astype("float64")
    expected[2:] -= weights * (sums - weights @ sums)
    np.testing.assert_allclose(
        layer.get_weights()[0], expected, rtol=0, atol=1e-5
    )
    layer.trainable = False
    assert not model.trainable_weights


@pytest.mark.parametrize("pooling", ["mean", "attention", "weighted_mean"])
def test_padding_does_not_matter(pooling):
    weighs = pooling == "weighted_mean"
    pooler = weighted_mean() if weighs else layers.get_pooler(pooling)
    noisy = TOKENS.copy()
    noisy[~MASK] = 1e6
    other = np.where(MASK, IDS, 1)
    np.testing.assert_array_equal(
        to_numpy(pooler(noisy, MASK, *[other] * weighs)),
        to_numpy(pooler(TOKENS, MASK, *[IDS] * weighs)),
    )
