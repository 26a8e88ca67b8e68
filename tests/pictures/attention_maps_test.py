"""Attention of a second pass against float64, for any supported encoder."""

import keras
import numpy as np
import pytest

from keras_dinolm import layers
from keras_dinolm.pictures import attention_maps
from keras_dinolm.pictures import attention_probabilities
from tests.models.tiny import rows
from tests.models.tiny import stock
from tests.pictures import pieces
from tests.pictures import reference


@pytest.fixture(scope="module")
def reader():
    return pieces.reader()


def test_probabilities_are_those_of_the_formula(reader):
    batch = rows(batch=1, length=16)
    ids, mask = batch["token_ids"], batch["padding_mask"]
    backbone = reader.encoder.backbone
    before = backbone.predict_on_batch(batch)["sequence_output"]
    found = attention_probabilities(backbone, ids, mask)
    assert found.shape == (2, 1, 2, 19, 19) and found.dtype == "float32"
    expected = reference.attention(backbone, ids, mask)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=-1), 1.0, atol=1e-5)
    # No head is flat, so the comparison means something.
    assert (found.max(axis=-1) > 0.3).any(axis=(1, 3)).all()
    padding = np.concatenate([np.zeros((1, 3), bool), ~mask], axis=1)
    assert padding.any()
    hidden = np.moveaxis(found, -1, 2)[:, padding]
    assert (hidden == 0.0).all()
    # The encoder is as it was.
    after = backbone.predict_on_batch(batch)["sequence_output"]
    np.testing.assert_array_equal(before, after)


def test_maps_name_registers_cls_and_tokens(reader):
    maps = attention_maps(reader, "The foxes ran.")
    registers = tuple(f"register {i}" for i in (1, 2, 3))
    assert maps.names == (
        *registers, "[CLS]", "the", "fox", "·es", "ran", ".",
    )  # fmt: skip
    assert maps.num_registers == 3
    expected = reference.attention(
        reader.encoder.backbone, [maps.tokens.ids], np.ones((1, 6), bool)
    )
    np.testing.assert_allclose(maps.probabilities, expected[:, 0], atol=1e-5)


def test_description_gives_the_shares_of_the_first_head(reader):
    maps = attention_maps(reader, "the fox ran")
    rows_of_text = maps.probabilities[1, 0, 3:].astype("float64")
    share = rows_of_text[:, :3].sum() / len(rows_of_text)
    first = np.trace(maps.probabilities[1, 0, 3:, 3:]) / len(rows_of_text)
    described = maps.describe(layer=1)
    assert f"Head 1: {share:.2f} to registers" in described
    assert f"{rows_of_text[:, 3].mean():.2f} to [CLS]" in described
    assert f"{first:.2f} to themselves" in described
    assert "layer 2" in described and "3 tokens" in described


def test_half_precision_is_near_and_sums_to_one():
    batch = rows(batch=1, length=16)
    arrays = (batch["token_ids"], batch["padding_mask"])
    backbone = pieces.reader().encoder.backbone
    keras.config.set_dtype_policy("mixed_bfloat16")
    half = pieces.backbone()
    half.set_weights(backbone.get_weights())
    assert half.blocks[0].compute_dtype == "bfloat16"
    found = attention_probabilities(half, *arrays)
    assert found.dtype == "float32"
    np.testing.assert_allclose(found.sum(axis=-1), 1.0, atol=1e-5)
    expected = reference.attention(backbone, *arrays)
    np.testing.assert_allclose(found[0], expected[0], atol=0.05)


def test_a_row_with_nothing_to_attend_to_is_zero():
    layer = layers.SelfAttention(2)
    x = np.random.default_rng(0).normal(size=(2, 4, 8)).astype("float32")
    layer.build(x.shape)
    mask = np.ones((2, 1, 1, 4), "bool")
    mask[1] = False
    found = keras.ops.convert_to_numpy(layer.probabilities(x, mask))
    assert (found[1] == 0.0).all()
    free = keras.ops.convert_to_numpy(layer.probabilities(x))
    np.testing.assert_allclose(found[0], free[0], atol=1e-6)


def test_encoders_of_keras_hub_give_theirs():
    # ALBERT calls one layer again and again; the others differ in less.
    backbone = stock("AlbertBackbone")
    config = {**backbone.get_config(), "num_layers": 2, "name": "two"}
    backbone = type(backbone).from_config(config)
    batch = rows(batch=2, length=6)
    ids, mask = batch["token_ids"], batch["padding_mask"]
    found = attention_probabilities(backbone, ids, mask)
    assert found.shape == (2, 2, 2, 6, 6)
    assert np.abs(found[0] - found[1]).max() > 1e-6
    np.testing.assert_allclose(found.sum(axis=-1), 1.0, atol=1e-5)
    hidden = np.moveaxis(found, -1, 2)[:, ~mask]
    assert hidden.size and (hidden == 0.0).all()
    # Against the layer's own weights, on what comes into it.
    layer = next(
        layer
        for layer in backbone.layers
        if type(layer).__name__ == "TransformerEncoder"
    )
    came_in = keras.Model(backbone.input, layer.input[0]).predict_on_batch(
        {**batch, "segment_ids": np.zeros_like(ids)}
    )
    x = came_in.astype("float64")
    weights = {w.path.split("/")[-2] + w.name: w for w in layer.weights}
    q, k = (
        np.einsum("bld,dhe->bhle", x, reference.weight(weights[f"{n}kernel"]))
        + reference.weight(weights[f"{n}bias"])[None, :, None]
        for n in ("query", "key")
    )
    scores = q @ k.swapaxes(2, 3) / np.sqrt(q.shape[-1])
    scores = np.where(mask[:, None, None], scores, -np.inf)
    np.testing.assert_allclose(found[0], reference.softmax(scores), atol=1e-5)


def test_a_backbone_that_hides_its_attention_is_named():
    batch = rows(batch=1, length=4)
    with pytest.raises(ValueError, match="DebertaV3Backbone.*attention"):
        attention_probabilities(
            stock("DebertaV3Backbone"),
            batch["token_ids"],
            batch["padding_mask"],
        )
