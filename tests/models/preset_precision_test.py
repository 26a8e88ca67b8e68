"""Precision policies, and quantized layers, survive a preset exactly."""

import keras
import keras_hub
import numpy as np
import pytest

import keras_dinolm as kd
from tests.models import tiny

TEXTS = ["the quick fox", "a lazy dog jumps over the bad cat ."]


def embedder(quantized=None, **config):
    backbone = tiny.backbone(**config)
    if quantized:
        backbone.quantize(quantized)
    preprocessor = kd.models.DinoLMTextPreprocessor(tiny.tokenizer(), 16)
    return kd.models.DinoLMTextEmbedder(backbone, preprocessor)


def policies(model):
    names = {}
    for layer in model.backbone._flatten_layers(include_self=False):
        if not layer.weights:
            continue
        policy = layer.dtype_policy
        if isinstance(policy, keras.dtype_policies.DTypePolicyMap):
            policy = policy[layer.path]
        names[layer.path] = policy.name
    return names


def written(model, folder, how):
    """What comes back after the model was written."""
    if how == "keras":
        model.save(folder.with_suffix(".keras"))
        return keras.saving.load_model(folder.with_suffix(".keras"))
    if how == "save":
        model.save_to_preset(folder)
    else:
        encoder = kd.models.TextEncoder(model.backbone)
        tokenizer = model.preprocessor.tokenizer
        kd.models.export_preset(encoder, tokenizer, folder)
    return kd.models.DinoLMTextEmbedder.from_preset(folder)


@pytest.mark.parametrize("how", ["save", "export", "keras"])
@pytest.mark.parametrize(
    "policy, quantized",
    [("mixed_bfloat16", None), ("bfloat16", None), ("float32", "int8"),
     ("mixed_bfloat16", "int8"), ("float32", "float8")],
)  # fmt: skip
def test_features_and_policies_are_the_same(tmp_path, policy, quantized, how):
    model = embedder(quantized, dtype=policy)
    expected, before = model.encode(TEXTS), policies(model)
    again = written(model, tmp_path / "p", how)
    # Writing the config must not take the policies from the live layers.
    assert policies(model) == before
    np.testing.assert_array_equal(model.encode(TEXTS), expected)
    # And once more, from what was loaded.
    for found in (again, written(again, tmp_path / "p", how)):
        assert policies(found) == before
        np.testing.assert_array_equal(found.encode(TEXTS), expected)


def test_a_stock_encoder_keeps_its_precision_and_quantization(tmp_path):
    backbone = tiny.stock("BertBackbone")
    backbone.quantize("int8")
    tokenizer = keras_hub.models.BertTokenizer(tiny.VOCABULARY, lowercase=True)
    model = kd.models.DinoLMTextEmbedder(
        backbone,
        keras_hub.models.BertTextClassifierPreprocessor(tokenizer, 16),
    )
    expected, before = model.encode(TEXTS), policies(model)
    assert "int8_from_float32" in before.values()
    kd.models.export_preset(
        kd.models.TextEncoder(backbone), tokenizer, tmp_path / "p"
    )
    again = kd.models.DinoLMTextEmbedder.from_preset(tmp_path / "p")
    assert policies(again) == before
    np.testing.assert_array_equal(again.encode(TEXTS), expected)


@pytest.mark.once
def test_dtype_overrides_what_was_saved(tmp_path):
    embedder(dtype="mixed_bfloat16").save_to_preset(tmp_path / "p")
    for cls in (kd.models.DinoLMTextEmbedder, kd.models.DinoLMBackbone):
        for dtype in ("float32", "bfloat16"):
            model = cls.from_preset(tmp_path / "p", dtype=dtype)
            assert model.dtype_policy.name == dtype
            weight = model.weights[0]
            assert keras.backend.standardize_dtype(weight.dtype) == dtype
    embedder("int8").save_to_preset(tmp_path / "q")
    model = kd.models.DinoLMTextEmbedder.from_preset(
        tmp_path / "q", dtype="bfloat16"
    )
    found = set(policies(model).values())
    assert {"bfloat16", "int8_from_bfloat16"} <= found
    assert "int8_from_float32" not in found


@pytest.mark.once
def test_the_default_policy_does_not_change_what_was_saved(tmp_path):
    model = embedder()
    model.save_to_preset(tmp_path / "p")
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        again = kd.models.DinoLMTextEmbedder.from_preset(tmp_path / "p")
        assert again.backbone.dtype_policy.name == "float32"
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_array_equal(again.encode(TEXTS), model.encode(TEXTS))


@pytest.mark.once
def test_keras_hub_loads_mixed_precision_itself(tmp_path):
    model = embedder(dtype="mixed_bfloat16")
    model.save_to_preset(tmp_path / "p")
    again = keras_hub.models.TextEmbedder.from_preset(str(tmp_path / "p"))
    np.testing.assert_array_equal(again.encode(TEXTS), model.encode(TEXTS))


@pytest.mark.once
def test_heads_in_half_precision_come_back(tmp_path):
    keras.config.set_dtype_policy("bfloat16")
    try:
        model = kd.models.DinoLM(
            tiny.backbone(),
            [kd.objectives.SequenceDistillation()],
            num_prototypes=8,
            head_hidden_dim=8,
            bottleneck_dim=4,
        )
        model.export_preset(tmp_path / "p", tiny.tokenizer(), heads=True)
        again = kd.models.DinoLM.from_preset(
            tmp_path / "p", [kd.objectives.SequenceDistillation()]
        )
    finally:
        keras.config.set_dtype_policy("float32")
    for a, b in zip(model.teacher.weights, again.student.weights, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(a).astype("float32"),
            keras.ops.convert_to_numpy(b).astype("float32"),
        )
