"""Presets: whole, atomic, and the same on every backend."""

import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys

import h5py
import keras
import keras_hub
import numpy as np
import pytest

from keras_dinolm.models.encoder.backbone import DinoLMBackbone
from keras_dinolm.models.encoder.text_encoder import TextEncoder
from keras_dinolm.models.presets.check_preset import check_preset
from keras_dinolm.models.presets.export_preset import export_preset
from keras_dinolm.models.presets.finite import check_finite_array
from keras_dinolm.models.tasks.text_classifier import DinoLMTextClassifier
from keras_dinolm.models.tasks.text_embedder import DinoLMTextEmbedder
from keras_dinolm.models.tasks.text_preprocessor import DinoLMTextPreprocessor
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


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.is_file()
        and path.read_bytes()
        for path in folder.rglob("*")
    }


def writers(encoder):
    """Everything of ours that writes a preset, or a part of one."""
    preprocessor = DinoLMTextPreprocessor(tiny.tokenizer())
    embedder = DinoLMTextEmbedder(encoder.backbone, preprocessor)
    classifier = DinoLMTextClassifier(encoder.backbone, 2, preprocessor)
    return [
        lambda folder: export_preset(encoder, tiny.tokenizer(), folder),
        embedder.save_to_preset,
        classifier.save_to_preset,
        encoder.backbone.save_to_preset,
        preprocessor.save_to_preset,
        tiny.tokenizer().save_to_preset,
    ]


@pytest.mark.once
@pytest.mark.parametrize(
    "files, named",
    [
        ({"thesis.tex": "x"}, "thesis.tex"),
        ({"config.json": "{}"}, "config.json"),
        ({"config.json": '{"model_type": "bert"}'}, "config.json"),
        ({"tokenizer.json": '{"version": "1.0"}'}, "tokenizer.json"),
        ({"README.md": "mine", "a preset": ""}, "README.md"),
        ({".git/HEAD": "x", "a preset": ""}, ".git/HEAD"),
        ({"assets/photo.jpg": "x", "a preset": ""}, "assets/photo.jpg"),
        ({"assets/tokenizer/n.txt": "x", "a preset": ""}, "n.txt"),
        ({"data/1/x.csv": "x", "a preset": ""}, "data"),
        ({"empty/": "", "a preset": ""}, "empty"),
        ({"model.weights.h5": "x"}, "config.json"),
    ],
)
def test_nothing_of_the_user_is_replaced(tmp_path, preset, files, named):
    folder = tmp_path / "mine"
    if files.pop("a preset", None) is not None:
        shutil.copytree(preset, folder)
    for name, text in files.items():
        path = folder / name
        if name.endswith("/"):
            path.mkdir(parents=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    before = contents(tmp_path)
    for write in writers(TextEncoder(tiny.backbone())):
        with pytest.raises(FileExistsError, match=named):
            write(folder)
        assert contents(tmp_path) == before


@pytest.mark.once
def test_files_and_links_stay_what_they_are(tmp_path, preset):
    encoder = TextEncoder(tiny.backbone(num_layers=2))
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileExistsError):
        export_preset(encoder, tiny.tokenizer(), tmp_path / "file")
    (tmp_path / "link").symlink_to(preset)
    export_preset(encoder, tiny.tokenizer(), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    config = json.loads((preset / "config.json").read_text())
    assert config["config"]["num_layers"] == 2
    # What is linked from a preset is not the preset's.
    (preset / "metadata.json").unlink()
    (preset / "metadata.json").symlink_to(tmp_path / "file")
    with pytest.raises(FileExistsError, match="metadata.json"):
        export_preset(encoder, tiny.tokenizer(), preset)
    assert (tmp_path / "file").read_text() == "x"


def test_parts_of_a_preset_are_written_one_by_one(tmp_path):
    backbone = tiny.backbone(pooling="cls")
    tiny.tokenizer().save_to_preset(tmp_path / "p")
    backbone.save_to_preset(tmp_path / "p")
    again = DinoLMBackbone.from_preset(tmp_path / "p")
    tokenizer = DinoLMTokenizer.from_preset(tmp_path / "p")
    assert tokenizer.fingerprint() == tiny.tokenizer().fingerprint()
    for a, b in zip(backbone.weights, again.weights, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b)
        )
    # A tokenizer is not needed for a backbone, and is for an embedder.
    backbone.save_to_preset(tmp_path / "q")
    DinoLMBackbone.from_preset(tmp_path / "q")
    with pytest.raises(FileNotFoundError, match="tokenizer.json"):
        DinoLMTextEmbedder.from_preset(tmp_path / "q")


@pytest.mark.once
def test_litter_of_killed_exports_is_swept(preset):
    # What an export does, killed half-way, without imports that take seconds.
    code = """
import os, signal
from keras_dinolm import files
with files.replace_folder("preset", lambda folder: None) as folder:
    (folder / "config.json").write_text("{")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    child = subprocess.run(
        [sys.executable, "-c", code],
        cwd=preset.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert child.returncode == -signal.SIGKILL
    assert len(list(preset.parent.iterdir())) == 2
    check_preset(preset)
    export_preset(TextEncoder(tiny.backbone()), tiny.tokenizer(), preset)
    assert [path.name for path in preset.parent.iterdir()] == ["preset"]


@pytest.mark.once
@pytest.mark.parametrize("limit", ["disk", "quota"])
def test_hdf5_never_meets_a_full_disk(preset, monkeypatch, limit):
    """HDF5 ends the process there. A real quota is a limit of the file."""
    encoder = TextEncoder(tiny.backbone(hidden_dim=256, intermediate_dim=512))
    before = contents(preset)
    with monkeypatch.context() as context:
        if limit == "disk":
            usage = type(shutil.disk_usage("/"))(10**9, 10**9, 3 << 20)
            context.setattr(shutil, "disk_usage", lambda path: usage)
        else:
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            context.setattr(h5py, "File", None)
            resource.setrlimit(resource.RLIMIT_FSIZE, (5 << 20, hard))
        try:
            with pytest.raises(OSError, match="[Mm]ake room"):
                export_preset(encoder, tiny.tokenizer(), preset)
        finally:
            if limit == "quota":
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert contents(preset) == before
    assert [path.name for path in preset.parent.iterdir()] == ["preset"]


@pytest.mark.once
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_not_written(tmp_path, bad):
    backbone = tiny.backbone()
    norm = backbone.output_norm.gamma
    values = keras.ops.convert_to_numpy(norm).copy()
    values[3] = bad
    norm.assign(values)
    for write in writers(TextEncoder(backbone))[:4]:
        with pytest.raises(ValueError, match="output_norm/gamma.*1 of 16"):
            write(tmp_path / "p")
    assert not list(tmp_path.iterdir())


@pytest.mark.once
def test_large_weights_are_numbers():
    values = np.full((10,), 3e38, "float32")
    check_finite_array("w", values, "It", "")
    check_finite_array("w", -values.astype("float64") * 1e269, "It", "")
    with pytest.raises(ValueError, match="2 of 10"):
        values[:2] = np.inf, -np.inf
        check_finite_array("w", values, "It", "")


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
