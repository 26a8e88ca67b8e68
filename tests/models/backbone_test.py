"""The backbone: padding, precision, saving, names, sizes."""

import re

import keras
import numpy as np
import pytest

from keras_dinolm.models.encoder.backbone import SIZES
from keras_dinolm.models.encoder.backbone import DinoLMBackbone
from tests.models import tiny


def features(backbone, inputs):
    found = backbone.predict_on_batch(inputs)
    return {k: v.astype("float64") for k, v in found.items()}


@pytest.mark.parametrize("pooling", ["mean", "attention", "weighted_mean"])
def test_padding_changes_no_feature(pooling):
    backbone = tiny.backbone(pooling=pooling, activation="swiglu")
    if pooling == "weighted_mean":
        rng = np.random.default_rng(0)
        backbone.pooler.set_weights([rng.normal(size=len(tiny.VOCABULARY))])
    if pooling == "attention":
        query = np.random.default_rng(0).normal(size=(16, 2))
        backbone.pooler.set_weights([query])
    inputs = tiny.rows()
    longer = {k: np.pad(v, ((0, 0), (0, 8))) for k, v in inputs.items()}
    longer["token_ids"][~longer["padding_mask"]] = 7  # whatever stands there
    found, expected = features(backbone, longer), features(backbone, inputs)
    np.testing.assert_allclose(
        found["pooled_output"], expected["pooled_output"], atol=2e-6
    )
    real = inputs["padding_mask"]
    np.testing.assert_allclose(
        found["sequence_output"][:, :8][real],
        expected["sequence_output"][real],
        atol=5e-6,
    )


def test_order_of_tokens_matters():
    backbone = tiny.backbone(layer_scale=None)
    inputs = tiny.rows(batch=1)
    swapped = {k: v.copy() for k, v in inputs.items()}
    swapped["token_ids"][0, 1:5] = inputs["token_ids"][0, 4:0:-1]
    a, b = features(backbone, inputs), features(backbone, swapped)
    assert np.abs(a["pooled_output"] - b["pooled_output"]).max() > 1e-3


def test_pooled_layers_are_the_mean_of_their_normed_features():
    def pooled(layers):
        backbone = tiny.backbone(num_layers=2, pooled_layers=layers)
        backbone.set_weights(weights)
        return features(backbone, inputs)["pooled_output"]

    inputs = tiny.rows()
    source = tiny.backbone(num_layers=2, layer_scale=1.0)
    weights = source.get_weights()
    layers = keras.Model(
        source.input, [source.token_embedding.output, *source.layer_outputs]
    ).predict_on_batch(inputs)
    normed = []
    for x in layers:
        x = x - x.mean(-1, keepdims=True, dtype="float64")
        normed.append(x / np.sqrt(np.square(x).mean(-1, keepdims=True) + 1e-6))
    real = inputs["padding_mask"][..., None]
    means = [(x * real).sum(1) / real.sum(1) for x in normed]
    assert np.abs(means[0] - means[2]).max() > 0.05
    for layers in [(0,), (1,), (-1,), (0, -1), (0, 1, 2)]:
        expected = np.mean([means[layer] for layer in layers], axis=0)
        np.testing.assert_allclose(pooled(layers), expected, atol=1e-5)
    # One layer has one name, and each layer counts once.
    assert tiny.backbone(pooled_layers=[1, -1, 0]).pooled_layers == (-1, 0)


def test_half_precision_follows_full_precision_and_empty_rows_are_finite():
    inputs = tiny.rows(batch=4)
    inputs["padding_mask"][-1] = False
    full = tiny.backbone()
    half = tiny.backbone(dtype="mixed_bfloat16")
    half.set_weights(full.get_weights())
    assert {w.dtype for w in half.weights} == {"float32"}
    assert {o.dtype for o in half.output.values()} == {"bfloat16"}
    found, expected = features(half, inputs), features(full, inputs)
    for name in expected:
        assert np.isfinite(expected[name]).all()
        np.testing.assert_allclose(found[name], expected[name], atol=0.15)


def test_model_file_gives_the_same_features(tmp_path):
    backbone = tiny.backbone(
        pooling="attention",
        pooled_layers=(0, -1),
        dropout=0.1,
        drop_path_rate=0.2,
        remat=True,
    )
    path = str(tmp_path / "backbone.keras")
    backbone.save(path)
    copy = keras.saving.load_model(path)
    assert isinstance(copy, DinoLMBackbone)
    assert copy.get_config() == backbone.get_config()
    inputs = tiny.rows()
    found, expected = features(copy, inputs), features(backbone, inputs)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


def test_weights_load_where_nothing_is_dropped(tmp_path):
    # The random states of a trained model are no part of a smaller one.
    path = str(tmp_path / "backbone.weights.h5")
    trained = tiny.backbone(dropout=0.1, drop_path_rate=0.1)
    trained.save_weights(path)
    plain = tiny.backbone()
    plain.load_weights(path)
    for found, expected in zip(
        plain.get_weights(), trained.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_an_optimizer_can_tell_weights_apart_by_their_paths():
    backbone = tiny.backbone(
        num_layers=2, pooling="attention", activation="swiglu"
    )
    groups = {
        r"bias$": 2 * 5,
        r"norm/(gamma|beta)$": 2 * 2 * 2 + 2,
        r"layer_scale$": 2 * 2,
        r"kernel$": 2 * 5,
        r"token_embedding": 1,
        r"register_tokens$": 1,
        r"pooler/query$": 1,
    }
    paths = [w.path for w in backbone.weights]
    assert len(set(paths)) == len(paths) == sum(groups.values())
    for pattern, count in groups.items():
        assert sum(bool(re.search(pattern, p)) for p in paths) == count
    blocks = [re.search(r"block_(\d+)/", p) for p in paths]
    assert {int(m[1]) for m in blocks if m} == {0, 1}


def test_sizes_have_the_documented_shape():
    documented = {
        "nano": (2, 128), "tiny": (4, 128), "mini": (4, 256),
        "small": (6, 384), "base": (12, 768), "large": (24, 1024),
    }  # fmt: skip
    assert {
        name: (size["num_layers"], size["hidden_dim"])
        for name, size in SIZES.items()
    } == documented
    assert all(
        size["hidden_dim"] == 64 * size["num_heads"] for size in SIZES.values()
    )
    gelu = DinoLMBackbone.from_size("nano", 10)
    swiglu = DinoLMBackbone.from_size("nano", 10, activation="swiglu")
    assert gelu.intermediate_dim == 512
    assert abs(swiglu.count_params() / gelu.count_params() - 1) < 0.01


def test_embeddings_have_the_standard_deviation_asked_for():
    backbone = tiny.backbone(vocabulary_size=4000, embedding_stddev=0.02)
    stddev = np.std(backbone.token_embedding.get_weights()[0])
    assert abs(stddev / 0.02 - 1) < 0.02  # a truncated normal has 0.88


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"num_heads": 3}, "num_heads=3"),
        ({"hidden_dim": 6, "num_heads": 2}, "even"),
        ({"num_layers": -1}, "num_layers"),
        ({"pooling": "max"}, "pooling"),
        ({"pooled_layers": (0, 2)}, "num_layers=1.*Received.*2"),
        ({"pooled_layers": ()}, "pooled_layers"),
        ({"dropout": 1.5}, "dropout"),
        ({"drop_path_rate": 1.0}, "drop_path_rate"),
    ],
)
def test_wrong_arguments_are_named(overrides, message):
    with pytest.raises(ValueError, match=message):
        tiny.backbone(**overrides)


def test_wrong_size_is_named():
    with pytest.raises(ValueError, match="nano.*huge"):
        DinoLMBackbone.from_size("huge", 10)
