"""Layers pooled side by side: the feature, and who reads its width."""

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.models.encoder.text_encoder import pooled_dim
from keras_dinolm.recipes.phase import with_pooled_layers
from tests import tiny
from tests.layers.arrays import to_numpy
from tests.models import tiny as tiny_models

JOINED = {"pooled_layers": (0, -1), "pooled_join": "concatenate"}
O = kd.objectives  # noqa: E741


def rows():
    return tiny_models.rows(batch=3)


def feature(backbone):
    return to_numpy(backbone(rows())["pooled_output"]).astype("float64")


@pytest.mark.parametrize("pooling", ["attention", "weighted_mean"])
def test_parts_are_what_the_layers_pool_to_at_the_length_of_their_shares(
    pooling,
):
    first = tiny_models.backbone(
        num_layers=2, pooling=pooling, pooled_layers=(0,), layer_scale=1.0
    )
    weights = first.pooler.weights[0]
    weights.assign(np.random.default_rng(0).normal(size=weights.shape))
    last = with_pooled_layers(first, (-1,))
    both = with_pooled_layers(first, (0, -1), "concatenate", (1.0, 0.5))
    assert both.pooled_dim == 32 and first.pooled_dim == 16
    parts = [
        share * 4.0 * x / np.linalg.norm(x, axis=1, keepdims=True)
        for share, x in ((1.0, feature(first)), (0.5, feature(last)))
    ]
    expected = np.concatenate(parts, axis=1)
    np.testing.assert_allclose(feature(both), expected, atol=2e-5)
    # The encoder alone gives the same, whatever else is read.
    encoder = kd.models.TextEncoder(both)
    for options in ({"needs_tokens": False}, {"num_layers": 1}):
        found = encoder(rows(), **options)["sequence"]
        np.testing.assert_allclose(to_numpy(found), expected, atol=2e-5)


def test_one_layer_is_left_as_it_is():
    plain = tiny_models.backbone()
    joined = with_pooled_layers(plain, (-1,), "concatenate")
    assert joined.pooled_dim == joined.hidden_dim
    np.testing.assert_allclose(feature(joined), feature(plain), atol=1e-6)


def test_half_precision_and_empty_rows():
    inputs = rows()
    inputs["padding_mask"][-1] = False
    backbone = tiny_models.backbone(dtype="mixed_bfloat16", **JOINED)
    assert backbone.output["pooled_output"].dtype == "bfloat16"
    found = to_numpy(backbone(inputs)["pooled_output"]).astype("float64")
    assert np.isfinite(found).all() and not found[-1].any()
    norms = np.linalg.norm(found[:-1].reshape(2, 2, 16), axis=-1)
    np.testing.assert_allclose(norms, 4.0, atol=0.05)


@pytest.mark.once
def test_everything_trains_on_such_features():
    # Those with layers of their own, on texts and on tokens.
    objectives = [
        O.SequenceDistillation(),
        O.TokenDistillation(),
        O.VICReg(),
        O.SequenceRegression(),
        O.SIGReg(),
        O.MomentumContrast(queue_size=16),
        O.MaskedLM(),
        O.FeatureRegression(1),
    ]
    model = tiny.model(objectives, JOINED)
    model.compile(kd.optimizers.adamw(1e-3, schedule="constant"))
    monitor = kd.callbacks.CollapseMonitor()
    fitted = model.fit(tiny.Batches(2), verbose=0, callbacks=[monitor])
    values = {k: v[-1] for k, v in fitted.history.items()}
    assert np.isfinite(values["loss"])
    assert 1.0 < values["rankme"] <= 32.0
    assert -1.0 <= values["token_sequence_cosine"] <= 1.0
    head = model.student.projection("sequence").weights[0]
    assert head.shape[0] == 32
    assert model.student.projection("token").weights[0].shape[0] == 16


@pytest.mark.once
def test_tokens_cannot_share_the_head_of_wider_features():
    model = tiny.model(
        [O.SequenceDistillation(), O.TokenDistillation(head="sequence")],
        JOINED,
    )
    outputs = model(tiny.batch())
    with pytest.raises(ValueError, match="share the head 'sequence'"):
        model.evaluate_objectives(tiny.batch(), outputs)


@pytest.mark.once
def test_presets_with_heads_embed_and_classify(tmp_path):
    backbone = tiny_models.backbone(pooled_shares=(1.0, 0.5), **JOINED)
    model = kd.models.DinoLM(backbone, [O.SequenceDistillation()])
    model.export_preset(tmp_path / "p", tiny_models.tokenizer(), heads=True)
    embedder = kd.models.DinoLMTextEmbedder.from_preset(tmp_path / "p")
    assert embedder.backbone.pooled_shares == (1.0, 0.5)
    assert pooled_dim(embedder.backbone) == 32
    texts = ["the quick brown fox", "a lazy dog"]
    found = embedder.encode(texts)
    assert found.shape == (2, 32)
    assert embedder.encode(texts, truncate_dim=20).shape == (2, 20)
    assert embedder.encode([]).shape == (0, 32)
    reader = kd.pictures.TextReader.from_preset(tmp_path / "p")
    assert reader.heads == ("sequence",)

    classifier = kd.models.DinoLMTextClassifier.from_preset(
        tmp_path / "p", num_classes=2
    )
    classifier.save_to_preset(tmp_path / "c")
    again = kd.models.DinoLMTextClassifier.from_preset(tmp_path / "c")
    np.testing.assert_array_equal(
        again.predict(texts, verbose=0), classifier.predict(texts, verbose=0)
    )


@pytest.mark.once
@pytest.mark.parametrize(
    "options, message",
    [
        ({"pooled_join": "sum"}, "pooled_join='sum'"),
        ({"pooled_shares": (1.0,)}, "goes with pooled_join='concatenate'"),
        ({**JOINED, "pooled_shares": (1.0,)}, "one for each of"),
        ({**JOINED, "pooled_shares": (1.0, 0.0)}, r"pooled_shares\[1\]=0"),
    ],
)
def test_wrong_joins_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        tiny.backbone(**options)


@pytest.mark.once
def test_depth_and_context_keep_the_join():
    old = tiny.backbone(**JOINED)
    assert kd.models.extend_depth(old, 3).pooled_dim == 32
    assert kd.models.extend_context(old, 2.0, "extrapolation").pooled_dim == 32
    bag = tiny.backbone(num_layers=0, pooled_join="concatenate")
    with pytest.raises(ValueError, match="Overrides must be among"):
        kd.models.extend_depth(bag, 1, pooled_layers=(0, -1))


@pytest.mark.once
def test_a_model_file_keeps_the_join(tmp_path):
    old = tiny_models.backbone(pooled_shares=(1.0, 0.25), **JOINED)
    old.save(tmp_path / "b.keras")
    new = keras.saving.load_model(tmp_path / "b.keras")
    np.testing.assert_allclose(feature(new), feature(old), atol=1e-6)
