"""Presets that are known by name, here and in keras-hub."""

import collections
import pathlib

import keras_hub
import numpy as np
import pytest
from keras_hub.src.utils import preset_utils

from keras_dinolm import shipped
from keras_dinolm.models.encoder.backbone import DinoLMBackbone
from keras_dinolm.models.encoder.text_encoder import TextEncoder
from keras_dinolm.models.presets import named
from keras_dinolm.models.presets.check_preset import check_preset
from keras_dinolm.models.presets.export_preset import export_preset
from keras_dinolm.models.tasks.text_classifier import DinoLMTextClassifier
from keras_dinolm.models.tasks.text_embedder import DinoLMTextEmbedder
from keras_dinolm.models.tasks.text_preprocessor import DinoLMTextPreprocessor
from keras_dinolm.models.tasks.tokenizer import DinoLMTokenizer
from tests.models import tiny

NAME = "tiny_en"
TEXTS = ["the quick fox", "a lazy dog jumps"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A preset that is as if it had come with the package, untouched by cwd."""
    kept = preset_utils.BUILTIN_PRESETS_FOR_BACKBONE
    copies = collections.defaultdict(dict, {k: {**v} for k, v in kept.items()})
    monkeypatch.setattr(preset_utils, "BUILTIN_PRESETS_FOR_BACKBONE", copies)
    presets = dict(preset_utils.BUILTIN_PRESETS)
    monkeypatch.setattr(preset_utils, "BUILTIN_PRESETS", presets)
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "presets")
    folder = tmp_path / "presets" / NAME
    export_preset(TextEncoder(tiny.backbone()), tiny.tokenizer(), folder)
    named.register(DinoLMBackbone)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return folder


def test_every_loader_finds_a_preset_by_its_name(folder):
    expected = DinoLMTextEmbedder.from_preset(folder).encode(TEXTS)
    for cls in (DinoLMTextEmbedder, keras_hub.models.TextEmbedder):
        embedder = cls.from_preset(NAME)
        assert isinstance(embedder, DinoLMTextEmbedder)
        np.testing.assert_array_equal(embedder.encode(TEXTS), expected)
    weights = embedder.backbone.get_weights()
    for cls in (DinoLMBackbone, keras_hub.models.Backbone):
        backbone = cls.from_preset(NAME)
        for a, b in zip(backbone.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(a, b)
    for cls in (DinoLMTextClassifier, keras_hub.models.TextClassifier):
        classifier = cls.from_preset(NAME, num_classes=3)
        assert classifier.predict(TEXTS, verbose=0).shape == (2, 3)
    ids = tiny.tokenizer()(TEXTS)
    for cls in (DinoLMTokenizer, keras_hub.tokenizers.Tokenizer):
        assert cls.from_preset(NAME)(TEXTS) == ids
    rows = DinoLMTextPreprocessor.from_preset(NAME)(TEXTS)
    assert rows["token_ids"].shape == (2, 128)
    check_preset(NAME)


@pytest.mark.once
def test_classes_list_the_names(folder):
    for cls in (DinoLMBackbone, DinoLMTextEmbedder, DinoLMTokenizer):
        listed = cls.presets[NAME]["metadata"]
        assert listed["parameter_count"] == tiny.backbone().count_params()
    assert shipped.names() == [NAME]


@pytest.mark.once
def test_a_name_beside_a_folder_of_that_name(folder):
    """A string is the name, and says so; a path is the folder."""
    export_preset(
        TextEncoder(tiny.backbone(hidden_dim=8)), tiny.tokenizer(), NAME
    )
    with pytest.warns(UserWarning, match=f"write './{NAME}'"):
        assert DinoLMBackbone.from_preset(NAME).hidden_dim == 16
    for path in (pathlib.Path(NAME), f"./{NAME}"):
        assert DinoLMBackbone.from_preset(path).hidden_dim == 8


@pytest.mark.once
@pytest.mark.parametrize(
    "load",
    [
        DinoLMBackbone.from_preset,
        DinoLMTextClassifier.from_preset,
        DinoLMTextEmbedder.from_preset,
        DinoLMTextPreprocessor.from_preset,
        DinoLMTokenizer.from_preset,
        check_preset,
    ],
)
def test_an_unknown_name_is_refused_with_the_names_that_there_are(folder, load):
    with pytest.raises(ValueError, match=f"'tiny_de'.*package has {NAME}"):
        load("tiny_de")


@pytest.mark.once
def test_names_of_keras_hub_stay_its_own(folder):
    assert named.resolve("bert_tiny_en_uncased") == "bert_tiny_en_uncased"
    assert named.resolve("hf://somebody/something") == "hf://somebody/something"
