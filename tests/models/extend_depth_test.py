"""`extend_depth`: more blocks, and the same features at first."""

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.models.encoder.extend_depth import extend_depth
from tests import tiny
from tests.layers.arrays import to_numpy


def rows():
    mask = np.arange(9) < np.array([[9], [4], [1]])
    ids = np.random.default_rng(0).integers(5, tiny.VOCABULARY_SIZE, (3, 9))
    return {"token_ids": np.where(mask, ids, 0), "padding_mask": mask}


def features(backbone):
    outputs = backbone(rows())
    return {name: to_numpy(x) for name, x in outputs.items()}


def assert_same(first, second, **tolerance):
    first, second = features(first), features(second)
    for name, expected in first.items():
        np.testing.assert_allclose(second[name], expected, **tolerance)


@pytest.mark.parametrize("num_layers", [0, 1])
def test_features_stay(num_layers):
    old = tiny.backbone(num_layers=num_layers)
    deeper = extend_depth(old, 3)
    assert_same(old, deeper, rtol=0, atol=1e-6)
    with pytest.raises(AssertionError):
        loud = extend_depth(old, 3, layer_scale=1.0)
        assert_same(old, loud, rtol=0, atol=1e-6)
    assert len(deeper.trainable_weights) == len(
        tiny.backbone(num_layers=3).trainable_weights
    )


def test_without_blocks_it_is_the_mean_of_normalized_embeddings():
    bag = tiny.backbone(num_layers=0)
    ids, mask = rows().values()
    table = to_numpy(bag.token_embedding.embeddings).astype("float64")
    x = table[ids]
    x -= x.mean(-1, keepdims=True)
    x /= np.sqrt(np.square(x).mean(-1, keepdims=True) + 1e-6)
    weight = mask[..., None].astype("float64")
    expected = (x * weight).sum(1) / weight.sum(1)
    np.testing.assert_allclose(
        features(bag)["pooled_output"], expected, atol=1e-5
    )


def test_a_bag_chooses_its_blocks_late():
    bag = tiny.backbone(num_layers=0, num_registers=0)
    assert len(bag.trainable_weights) == 3  # embeddings, gain and offset
    deeper = extend_depth(
        bag,
        2,
        num_heads=4,
        intermediate_dim=24,
        num_registers=3,
        pooled_layers=(0, -1),
        dropout=0.1,
    )
    assert (deeper.num_heads, deeper.num_registers) == (4, 3)
    assert_same(bag, deeper, rtol=0, atol=1e-6)
    # Weights are a copy.
    deeper.token_embedding.embeddings.assign(
        -to_numpy(bag.token_embedding.embeddings)
    )
    with pytest.raises(AssertionError):
        assert_same(bag, deeper, rtol=0, atol=0.1)


def test_new_blocks_learn():
    bag = tiny.backbone(num_layers=0, num_registers=0)
    deeper = extend_depth(bag, 1)
    model = kd.models.DinoLM(deeper, [kd.objectives.InfoNCE()])
    model.compile(keras.optimizers.SGD(0.1))
    before = [to_numpy(w) for w in deeper.blocks[0].trainable_weights]
    data = tiny.batch()
    for _ in range(2):  # gains first, then what they let through
        model.train_on_batch(data)
    after = [to_numpy(w) for w in deeper.blocks[0].trainable_weights]
    assert sum(np.any(a != b) for a, b in zip(before, after)) > 6


@pytest.mark.parametrize(
    "backbone, arguments, message",
    [
        ({"num_layers": 2}, {"num_layers": 2}, "than the backbone has, 2"),
        ({}, {"num_layers": 3, "num_heads": 1}, "among drop_path_rate"),
        ({"num_layers": 0}, {"num_layers": 3, "pooling": "cls"}, "among act"),
        (
            {"num_layers": 0, "pooling": "attention"},
            {"num_layers": 3, "num_heads": 1},
            "as they are",
        ),
        ({"layer_scale": None}, {"num_layers": 3}, "of the backbone None"),
        ({}, {"num_layers": 3, "layer_scale": None}, "must be a number"),
    ],
)
def test_says_what_it_cannot_do(backbone, arguments, message):
    with pytest.raises(ValueError, match=message):
        extend_depth(tiny.backbone(**backbone), **arguments)


def test_only_our_backbone():
    with pytest.raises(ValueError, match="backbone=<Dense"):
        extend_depth(keras.layers.Dense(1), 3)
