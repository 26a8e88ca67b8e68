"""Presets: whole, atomic, and the same on every backend."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import keras_hub
import numpy as np
import pytest

from keras_dinolm.models.encoder.backbone import DinoLMBackbone
from keras_dinolm.models.encoder.text_encoder import TextEncoder
from keras_dinolm.models.presets import preset_files
from keras_dinolm.models.presets.export_preset import export_preset
from keras_dinolm.models.presets.preset_files import check_preset
from keras_dinolm.models.tasks.text_embedder import DinoLMTextEmbedder
from keras_dinolm.models.tasks.tokenizer import DinoLMTokenizer
from tests.models import tiny

BACKENDS = ["jax", "torch", "tensorflow"]
ROOT = pathlib.Path(__file__).parents[2]
TEXTS = ["the quick fox", "", "a lazy dog jumps over the bad cat ."]

# Without TensorFlow unless it is the backend: quicker, and a promise.
CHILD = """
import os, sys
if os.environ["KERAS_BACKEND"] != "tensorflow":
    sys.modules["tensorflow"] = None
import keras_hub
import numpy as np
expected = np.load("features.npz")
rows = {k: expected[k] for k in ("token_ids", "padding_mask")}
bert = keras_hub.models.Backbone.from_preset("bert")
tokenizer = keras_hub.models.Tokenizer.from_preset("bert")
assert list(tokenizer("the fox")) == expected["bert_ids"].tolist()
assert "keras_dinolm" not in sys.modules
found = bert.predict_on_batch(
    {**rows, "segment_ids": np.zeros_like(rows["token_ids"])}
)["sequence_output"]
np.testing.assert_allclose(found, expected["bert"], atol=1e-5)

import keras_dinolm.models
embedder = keras_hub.models.TextEmbedder.from_preset("dinolm")
found = embedder.encode(expected["texts"].tolist())
np.testing.assert_allclose(found, expected["dinolm"], atol=1e-5)
"""


@pytest.fixture
def preset(tmp_path):
    directory = tmp_path / "preset"
    export_preset(TextEncoder(tiny.backbone()), tiny.tokenizer(), directory)
    return directory


def bert_tokenizer():
    return keras_hub.models.BertTokenizer(tiny.VOCABULARY, lowercase=True)


@pytest.mark.parametrize("others", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_presets_give_the_same_features_on_other_backends(tmp_path, others):
    rows = tiny.rows()
    backbone = tiny.backbone(pooling="attention")
    query = np.random.default_rng(0).normal(size=(16, 2))
    backbone.pooler.set_weights([query])
    teacher = TextEncoder(backbone)
    teacher.trainable = backbone.trainable = False
    export_preset(teacher, tiny.tokenizer(), tmp_path / "dinolm")
    bert = TextEncoder(tiny.stock("BertBackbone"))
    export_preset(bert, bert_tokenizer(), tmp_path / "bert")
    embedder = DinoLMTextEmbedder.from_preset(str(tmp_path / "dinolm"))
    assert embedder.backbone.trainable_weights
    segments = np.zeros_like(rows["token_ids"])
    np.savez(
        tmp_path / "features.npz",
        **rows,
        texts=TEXTS,
        dinolm=embedder.encode(TEXTS),
        bert=bert.backbone.predict_on_batch({**rows, "segment_ids": segments})[
            "sequence_output"
        ],
        bert_ids=list(bert_tokenizer()("the fox")),
    )
    children = []
    here = BACKENDS.index(keras.backend.backend())
    for backend in (BACKENDS[here + 1 :] + BACKENDS[:here])[:others]:
        environment = {
            **os.environ,
            "KERAS_BACKEND": backend,
            "PYTHONPATH": str(ROOT),
        }
        children.append(
            subprocess.Popen(
                [sys.executable, "-c", CHILD],
                cwd=tmp_path,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    for child in children:
        output, _ = child.communicate(timeout=300)
        assert child.returncode == 0, output


def test_keras_hub_finds_our_classes(preset):
    backbone = keras_hub.models.Backbone.from_preset(str(preset))
    tokenizer = keras_hub.models.Tokenizer.from_preset(str(preset))
    assert isinstance(backbone, DinoLMBackbone)
    assert isinstance(tokenizer, DinoLMTokenizer)
    assert tokenizer.fingerprint() == tiny.tokenizer().fingerprint()
    half = DinoLMBackbone.from_preset(str(preset), dtype="mixed_bfloat16")
    assert half.compute_dtype == "bfloat16"


def test_a_new_preset_replaces_an_older_one_at_once(preset, monkeypatch):
    old = (preset / "config.json").read_text()
    other = TextEncoder(tiny.backbone(num_layers=1))

    def fail(*args, **kwargs):
        raise OSError("no space left on device")

    with monkeypatch.context() as context:
        context.setattr(DinoLMBackbone, "save_to_preset", fail)
        with pytest.raises(OSError, match="no space"):
            export_preset(other, tiny.tokenizer(), preset)
    assert (preset / "config.json").read_text() == old
    check_preset(preset)
    export_preset(other, tiny.tokenizer(), preset)
    config = json.loads((preset / "config.json").read_text())
    assert config["config"]["num_layers"] == 1
    assert [path.name for path in preset.parent.iterdir()] == ["preset"]


def test_folders_are_exchanged_without_the_system_call_too(
    tmp_path, monkeypatch
):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    monkeypatch.setattr(preset_files.ctypes, "CDLL", lambda *a, **k: object())
    preset_files._exchange(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a" / "b").exists() and (tmp_path / "b" / "a").exists()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_that_is_no_preset_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="not a preset"):
        export_preset(TextEncoder(tiny.backbone()), tiny.tokenizer(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "model.weights.h5",
        "tokenizer.json",
        "assets/tokenizer/vocabulary.txt",
    ],
)
def test_missing_and_broken_files_are_named_with_the_fix(preset, name):
    path = preset / name
    if not name.startswith("assets"):
        path.write_bytes(path.read_bytes()[:20])
        with pytest.raises(ValueError, match=f"{name}.*export_preset"):
            DinoLMBackbone.from_preset(str(preset))
    path.unlink()
    with pytest.raises(FileNotFoundError, match=f"{name}.*export_preset"):
        DinoLMTextEmbedder.from_preset(str(preset))


def test_a_preset_folder_that_does_not_exist_is_named():
    with pytest.raises(FileNotFoundError, match="no preset folder.*nowhere"):
        DinoLMTextEmbedder.from_preset("./nowhere")


@pytest.mark.parametrize("size", [len(tiny.VOCABULARY) - 1, 999])
def test_a_tokenizer_of_another_size_is_refused(tmp_path, size):
    encoder = TextEncoder(tiny.backbone(vocabulary_size=size))
    with pytest.raises(ValueError, match=f"{size} rows"):
        export_preset(encoder, tiny.tokenizer(), tmp_path / "p")
    assert not list(tmp_path.iterdir())


def test_our_tokenizer_on_a_stock_backbone_is_pointed_out(tmp_path):
    encoder = TextEncoder(tiny.stock("BertBackbone"))
    with pytest.warns(UserWarning, match="plain keras-hub"):
        export_preset(encoder, tiny.tokenizer(), tmp_path / "p")
    keras_hub.models.Backbone.from_preset(str(tmp_path / "p"))
