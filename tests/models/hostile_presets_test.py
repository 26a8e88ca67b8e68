"""Foreign presets and checkpoints are refused by name, and nothing is run."""

import json
import os
import pathlib

import keras
import keras_hub
import numpy as np
import pytest

import keras_dinolm as kd
from benchmarks import hostile_files
from keras_dinolm.runs.state_file import CheckpointError
from tests.models import tiny

REFUSALS = (ValueError, FileNotFoundError, CheckpointError)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    hostile_files.make_bases(folder)
    return folder


@pytest.mark.once
@pytest.mark.parametrize("name", hostile_files.CASES)
def test_a_hostile_folder_is_refused(good, tmp_path, name):
    folder = tmp_path / "files"
    hostile_files.make_case(good, name, folder)
    case = hostile_files.CASES[name]
    with pytest.raises(
        (ValueError, FileNotFoundError, CheckpointError)
    ) as caught:
        hostile_files.load(case.base, folder)
    assert str(folder) in str(caught.value)
    assert case.names in str(caught.value)
    assert not (tmp_path / hostile_files.MARK).exists()


@pytest.mark.once
@pytest.mark.parametrize(
    "base", ["dinolm", "heads", "classifier", "bert", "transformers"]
)
def test_the_presets_that_these_were_made_of_load(good, base):
    hostile_files.load(base, good / base)


@pytest.mark.once
@pytest.mark.parametrize(
    "kind", ["AlbertBackbone", "DebertaV3Backbone", "ElectraBackbone",
             "RobertaBackbone", "DistilBertBackbone", "XLMRobertaBackbone"]
)  # fmt: skip
def test_sizes_of_all_stock_backbones_are_known(tmp_path, kind):
    tiny.stock(kind).save_to_preset(str(tmp_path / "p"))
    kd.models.check_preset(tmp_path / "p", needs_tokenizer=False)
    path = tmp_path / "p" / "config.json"
    config = json.loads(path.read_text())
    sizes = [k for k, v in config["config"].items() if type(v) is int]
    assert len(sizes) > 4
    for size in sizes:
        # DeBERTa's positions are relative, and ALBERT's blocks repeat: no
        # array has these sizes, and none is made of them.
        free = size in ("max_sequence_length", "num_layers")
        big = 10**9 if free else config["config"][size] * 2
        changed = {**config, "config": {**config["config"], size: big}}
        path.write_text(json.dumps(changed))
        with pytest.raises(ValueError, match=size):
            kd.models.check_preset(tmp_path / "p", needs_tokenizer=False)


def test_a_bert_of_hugging_face_gives_the_features_of_its_weights(good):
    """Against a forward pass in float64 NumPy."""
    embedder = kd.models.DinoLMTextEmbedder.from_preset(good / "transformers")
    tokens = embedder.encode("the fox", output_value="token_embeddings")
    arrays = _read_safetensors(good / "transformers" / "model.safetensors")
    expected = _bert(arrays, [2, 5, 8, 3])
    np.testing.assert_allclose(tokens, expected, atol=2e-4)


def _read_safetensors(path):
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    arrays = {}
    for name, entry in json.loads(data[8:start]).items():
        first, last = (start + offset for offset in entry["data_offsets"])
        array = np.frombuffer(data[first:last], "<f4").astype("float64")
        arrays[name] = array.reshape(entry["shape"])
    return arrays


def _bert(a, ids, heads=2):
    def dense(x, name):
        return x @ a[f"{name}.weight"].T + a[f"{name}.bias"]

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-12)
        return x * a[f"{name}.weight"] + a[f"{name}.bias"]

    def gelu(x):
        erf = np.vectorize(__import__("math").erf)
        return x * (1 + erf(x / np.sqrt(2))) / 2

    x = a["embeddings.word_embeddings.weight"][ids]
    x = x + a["embeddings.position_embeddings.weight"][: len(ids)]
    x = x + a["embeddings.token_type_embeddings.weight"][0]
    x = norm(x, "embeddings.LayerNorm")
    for layer in ("encoder.layer.0", "encoder.layer.1"):
        q, k, v = (
            dense(x, f"{layer}.attention.self.{part}")
            .reshape(len(ids), heads, -1)
            .swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores = scores / scores.sum(-1, keepdims=True)
        mixed = (scores @ v).swapaxes(0, 1).reshape(len(ids), -1)
        x = norm(
            x + dense(mixed, f"{layer}.attention.output.dense"),
            f"{layer}.attention.output.LayerNorm",
        )
        inner = gelu(dense(x, f"{layer}.intermediate.dense"))
        x = norm(
            x + dense(inner, f"{layer}.output.dense"),
            f"{layer}.output.LayerNorm",
        )
    return x


@pytest.mark.once
def test_links_of_the_hugging_face_cache_are_followed(good, tmp_path):
    snapshot = tmp_path / "models--x--y" / "snapshots" / "0123"
    blobs = tmp_path / "models--x--y" / "blobs"
    for folder in (snapshot / "assets/tokenizer", blobs):
        folder.mkdir(parents=True)
    for index, path in enumerate(sorted((good / "dinolm").rglob("*.*"))):
        blob = blobs / str(index)
        blob.write_bytes(path.read_bytes())
        link = snapshot / path.relative_to(good / "dinolm")
        link.symlink_to(os.path.relpath(blob, link.parent))
    kd.models.DinoLMTextEmbedder.from_preset(snapshot)


@pytest.mark.once
def test_sharded_weights_are_checked_and_loaded(tmp_path):
    backbone = tiny.backbone(num_layers=2, hidden_dim=64)
    # Keras refuses shards smaller than an array.
    backbone.save_to_preset(tmp_path / "p", max_shard_size=6e-5)
    shards = sorted((tmp_path / "p").glob("model_*.weights.h5"))
    assert len(shards) > 1
    again = kd.models.DinoLMBackbone.from_preset(tmp_path / "p")
    for a, b in zip(backbone.weights, again.weights, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b)
        )
    shards[0].unlink()
    with pytest.raises(FileNotFoundError, match=shards[0].name):
        kd.models.DinoLMBackbone.from_preset(tmp_path / "p")


@pytest.mark.once
def test_own_backbones_that_were_registered_load(tmp_path):
    @kd.models.register_backbone
    @keras.saving.register_keras_serializable(package="hostile_test")
    class Mine(keras_hub.models.BertBackbone):
        pass

    sizes = {"vocabulary_size": len(tiny.VOCABULARY), "num_layers": 1,
             "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16,
             "max_sequence_length": 16}  # fmt: skip
    tokenizer = keras_hub.models.BertTokenizer(tiny.VOCABULARY, lowercase=True)
    encoder = kd.models.TextEncoder(Mine(**sizes))
    kd.models.export_preset(encoder, tokenizer, tmp_path / "p")
    loaded = keras_hub.models.Backbone.from_preset(str(tmp_path / "p"))
    assert type(loaded) is Mine
    path = tmp_path / "p" / "config.json"
    config = json.loads(path.read_text())
    config["config"]["vocabulary_size"] = 10**10
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match="vocabulary_size must|`vocabulary_si"):
        kd.models.check_preset(tmp_path / "p")


@pytest.mark.once
def test_names_of_presets_are_no_folders():
    assert not pathlib.Path("bert_tiny_en_uncased").exists()
    kd.models.check_preset("bert_tiny_en_uncased")
    kd.models.check_preset("hf://somebody/something")
