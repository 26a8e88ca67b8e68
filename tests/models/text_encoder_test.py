"""One face for every backbone, and copies that share nothing."""

import keras
import keras_hub
import numpy as np
import pytest

from keras_dinolm.models.encoder.stock_backbones import stock_backbones
from keras_dinolm.models.encoder.text_encoder import TextEncoder
from tests.gradients import compiled
from tests.layers.arrays import to_numpy
from tests.models import tiny

# It compiles each single operation that is not within a compiled function.
JAX = keras.backend.backend() == "jax"
STOCK = [cls.__name__ for cls in stock_backbones()]


def run(encoder, inputs):
    found = (compiled(encoder) if JAX else encoder)(inputs)
    return {name: to_numpy(value) for name, value in found.items()}


@pytest.mark.parametrize("name", STOCK)
def test_stock_backbones_give_token_and_sequence_features(name):
    encoder = TextEncoder(tiny.stock(name))
    inputs = tiny.rows(batch=2)
    found = run(encoder, inputs)
    mask = inputs["padding_mask"]
    assert found["tokens"].shape == (2, 8, encoder.hidden_dim)
    for row in range(2):
        np.testing.assert_allclose(
            found["sequence"][row],
            found["tokens"][row, mask[row]].mean(axis=0),
            atol=1e-5,
        )
    assert encoder.vocabulary_size == len(tiny.VOCABULARY)
    # Nothing of the padded ids is seen.
    other = {**inputs, "token_ids": np.where(mask, inputs["token_ids"], 9)}
    np.testing.assert_allclose(
        run(encoder, other)["sequence"], found["sequence"], atol=1e-5
    )
    unused = [w.path for w in encoder.trainable_weights if "pooled" in w.path]
    assert not unused


@pytest.mark.parametrize("name", ["DinoLMBackbone", "BertBackbone"])
def test_a_clone_is_equal_independent_and_trainable(name):
    ours = name == "DinoLMBackbone"
    backbone = tiny.backbone() if ours else tiny.stock(name)
    encoder = TextEncoder(backbone)
    encoder.trainable = False
    backbone.trainable = False
    clone = encoder.clone()
    assert not encoder.trainable_weights
    assert clone.trainable and clone.backbone.trainable
    inputs = tiny.rows(batch=2)
    before = run(encoder, inputs)
    np.testing.assert_array_equal(
        run(clone, inputs)["sequence"], before["sequence"]
    )
    names = [w.path for w in encoder.weights]
    assert [w.path for w in clone.weights] == names
    clone.set_weights([w + 1.0 for w in clone.get_weights()])
    np.testing.assert_array_equal(
        run(encoder, inputs)["sequence"], before["sequence"]
    )


def test_encoder_survives_serialization():
    encoder = TextEncoder(tiny.stock("BertBackbone"), pooling="cls")
    config = keras.saving.serialize_keras_object(encoder)
    copy = keras.saving.deserialize_keras_object(config)
    copy.set_weights(encoder.get_weights())
    inputs = tiny.rows(batch=2)
    found, expected = run(copy, inputs), run(encoder, inputs)
    np.testing.assert_array_equal(found["sequence"], expected["sequence"])
    np.testing.assert_array_equal(found["sequence"], found["tokens"][:, 0])


def test_declared_features_are_those_computed():
    encoder = TextEncoder(tiny.backbone(dtype="mixed_bfloat16"))
    inputs = tiny.rows(batch=2)
    symbols = {
        k: keras.KerasTensor(v.shape, dtype=v.dtype) for k, v in inputs.items()
    }
    declared = encoder(symbols)
    found = (compiled(encoder) if JAX else encoder)(inputs)
    for name, value in found.items():
        assert tuple(value.shape) == declared[name].shape
        assert (
            keras.backend.standardize_dtype(value.dtype)
            == declared[name].dtype
            == "bfloat16"
        )


@pytest.mark.parametrize("pooled_layers", [(0,), (-1,)])
def test_the_feature_of_a_text_alone(pooled_layers):
    backbone = tiny.backbone(pooled_layers=pooled_layers, dropout=0.5)
    encoder = TextEncoder(backbone)
    inputs = tiny.rows(batch=2)
    symbols = {
        k: keras.KerasTensor(v.shape, dtype=v.dtype) for k, v in inputs.items()
    }

    def alone(training):
        found = encoder(inputs, training=training, needs_tokens=False)
        assert list(found) == ["sequence"]
        return to_numpy(found["sequence"])

    whole = to_numpy(encoder(inputs, training=False)["sequence"])
    np.testing.assert_allclose(alone(False), whole, atol=1e-6)
    assert np.abs(alone(True) - alone(True)).max() > 1e-3
    declared = encoder(symbols, needs_tokens=False)
    assert list(declared) == ["sequence"]
    assert declared["sequence"].shape == whole.shape


def test_other_backbones_are_refused_with_the_list_of_supported_ones():
    inputs = keras.Input((2,))
    other = keras_hub.models.Backbone(inputs, inputs)
    for wrong in (other, "bert"):
        with pytest.raises(ValueError) as error:
            TextEncoder(wrong)
        assert all(name in str(error.value) for name in STOCK)


def test_rows_beyond_the_positions_are_refused():
    encoder = TextEncoder(tiny.stock("RobertaBackbone"))
    with pytest.raises(ValueError, match="at most 16 tokens.*20 tokens"):
        encoder(tiny.rows(length=20))


def test_pooling_that_a_preset_could_not_hold_is_refused():
    with pytest.raises(ValueError, match="build the backbone with pooling"):
        TextEncoder(tiny.backbone(pooling="mean"), pooling="cls")
    with pytest.raises(ValueError, match="DinoLMBackbone"):
        TextEncoder(tiny.stock("BertBackbone"), pooling="attention")
