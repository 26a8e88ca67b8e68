"""Backbones whose pooler weighs tokens: copies, presets, training."""

import json

import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.models.encoder.lora import enable_lora
from keras_dinolm.recipes.phase import with_pooled_layers
from tests import tiny
from tests.layers.arrays import to_numpy
from tests.models import tiny as tiny_models

LOG_WEIGHTS = np.random.default_rng(0).normal(-1, 1, tiny.VOCABULARY_SIZE)
LOG_WEIGHTS[:5] = np.log(1e-6)


def backbone(**overrides):
    made = tiny.backbone(
        pooling="weighted_mean", embedding_stddev=1.0, **overrides
    )
    made.pooler.log_weights.assign(LOG_WEIGHTS)
    return made


def rows():
    mask = np.arange(9) < np.array([[9], [4], [1]])
    ids = np.random.default_rng(0).integers(5, tiny.VOCABULARY_SIZE, (3, 9))
    ids[:, 0] = 2  # [CLS]
    return {"token_ids": np.where(mask, ids, 0), "padding_mask": mask}


def pooled(backbone):
    return to_numpy(backbone(rows())["pooled_output"])


def test_a_bag_is_the_weighted_mean_of_normalized_embeddings():
    bag = backbone(num_layers=0)
    ids, mask = rows().values()
    x = to_numpy(bag.token_embedding.embeddings).astype("float64")[ids]
    x -= x.mean(-1, keepdims=True)
    x /= np.sqrt(np.square(x).mean(-1, keepdims=True) + 1e-6)
    weights = np.exp(LOG_WEIGHTS)[ids] * mask
    weights /= weights.sum(1, keepdims=True)
    expected = np.einsum("bl,bld->bd", weights, x)
    np.testing.assert_allclose(pooled(bag), expected, atol=1e-5)
    # A text of [CLS] alone is not lost.
    np.testing.assert_allclose(pooled(bag)[2], x[2, 0], atol=1e-5)


def test_the_feature_of_a_text_alone():
    encoder = kd.models.TextEncoder(
        backbone(num_layers=2, pooled_layers=(0, 1))
    )
    alone = encoder(rows(), needs_tokens=False)
    assert list(alone) == ["sequence"]
    for found in (alone, encoder(rows(), num_layers=1)):
        np.testing.assert_allclose(
            to_numpy(found["sequence"]), pooled(encoder.backbone), atol=1e-6
        )


COPIES = {
    "extend_depth": lambda b: kd.models.extend_depth(b, 3),
    "extend_context": lambda b: kd.models.extend_context(
        b, 1.0, "interpolation"
    ),
    "with_pooled_layers": lambda b: with_pooled_layers(b, (-1,)),
    "clone": lambda b: kd.models.TextEncoder(b).clone().backbone,
    "config": lambda b: type(b).from_config(b.get_config()),
}


@pytest.mark.once
@pytest.mark.parametrize("name", sorted(COPIES))
def test_copies_keep_the_weights(name):
    old = backbone(num_layers=0 if name == "extend_depth" else 1)
    old.pooler.trainable = False
    new = COPIES[name](old)
    assert new.pooling == "weighted_mean"
    if name == "config":
        new.set_weights(old.get_weights())
    np.testing.assert_array_equal(
        to_numpy(new.pooler.log_weights), LOG_WEIGHTS.astype("float32")
    )
    np.testing.assert_allclose(pooled(new), pooled(old), atol=1e-5)


@pytest.mark.once
def test_lora_leaves_them_and_its_merged_copy_has_them():
    encoder = kd.models.TextEncoder(backbone())
    enable_lora(encoder, 2)
    assert not encoder.backbone.pooler.log_weights.trainable
    copy = encoder.clone().backbone
    np.testing.assert_allclose(pooled(copy), pooled(encoder.backbone), atol=0)


def tiny_tokenizer_backbone():
    size = len(tiny_models.VOCABULARY)
    made = tiny_models.backbone(pooling="weighted_mean", num_layers=0)
    made.pooler.log_weights.assign(LOG_WEIGHTS[:size])
    return made


def export(folder):
    encoder = kd.models.TextEncoder(tiny_tokenizer_backbone())
    kd.models.export_preset(encoder, tiny_models.tokenizer(), folder)
    return encoder.backbone


@pytest.mark.parametrize(
    "dtype",
    ["float32", pytest.param("mixed_bfloat16", marks=pytest.mark.once)],
)
def test_a_preset_keeps_them(tmp_path, dtype):
    old = export(tmp_path / "preset")
    embedder = kd.models.DinoLMTextEmbedder.from_preset(
        tmp_path / "preset", dtype=dtype
    )
    pooler = embedder.backbone.pooler
    np.testing.assert_array_equal(
        to_numpy(pooler.log_weights), to_numpy(old.pooler.log_weights)
    )
    texts = ["the quick brown fox", "a lazy dog", "the", ""]
    tokens = embedder.preprocessor(texts)
    expected = to_numpy(old(tokens)["pooled_output"])
    tolerance = 1e-5 if dtype == "float32" else 0.05
    np.testing.assert_allclose(embedder.encode(texts), expected, atol=tolerance)
    # The weights count: a plain mean is something else.
    old.pooler.log_weights.assign(np.zeros(len(tiny_models.VOCABULARY)))
    plain = to_numpy(old(tokens)["pooled_output"])
    assert np.abs(plain - expected).max() > 0.1


@pytest.mark.once
def test_a_preset_whose_weights_are_of_another_vocabulary(tmp_path):
    import h5py

    folder = tmp_path / "preset"
    export(folder)
    with h5py.File(folder / "model.weights.h5", "r+") as file:
        variables = file["layers/weighted_mean_pooling/vars"]
        del variables["0"]
        variables["0"] = np.zeros(7, "float32")
    with pytest.raises(ValueError, match="`vocabulary_size` must be 7"):
        kd.models.check_preset(folder)
    config = json.loads((folder / "config.json").read_text())
    assert config["config"]["pooling"] == "weighted_mean"


def test_they_learn_without_decay_at_a_rate_of_their_own():
    student = backbone(num_layers=0, dtype="mixed_bfloat16")
    model = kd.models.DinoLM(student, [kd.objectives.InfoNCE()])
    model.compile(
        kd.optimizers.AdamW(
            1e-3, weight_decay=100.0, multipliers={"log_weights$": 5.0}
        )
    )
    model.train_on_batch(tiny.batch())
    moved = to_numpy(student.pooler.log_weights) - LOG_WEIGHTS
    used = np.unique(tiny.batch()["local"]["token_ids"])
    used = used[used >= 5]
    # The first step of Adam is as long as the rate. Decay by a tenth of the
    # weights would be seen.
    np.testing.assert_allclose(np.abs(moved[used]).max(), 5e-3, rtol=0.01)
    assert np.abs(moved).max() < 5.1e-3
    unused = np.setdiff1d(np.arange(5, tiny.VOCABULARY_SIZE), used)
    np.testing.assert_allclose(moved[unused], 0.0, atol=1e-6)


@pytest.mark.once
def test_frozen_weights_do_not_learn():
    student = backbone(num_layers=0)
    student.pooler.trainable = False
    model = kd.models.DinoLM(student, [kd.objectives.InfoNCE()])
    paths = [v.path for v in model.trainable_variables]
    assert paths and not any("log_weights" in path for path in paths)
