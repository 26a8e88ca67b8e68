"""Loads presets and checkpoints that were made to do harm.

    python benchmarks/hostile_files.py                 all, on torch
    python benchmarks/hostile_files.py --backend jax --only layers

Each folder is loaded by a process that has only imported the package (a fork),
and reports what was raised, the time, and the peak memory above that of the
imports. A refusal is an error that
names the preset or checkpoint, before anything in it is made or run. Nothing
may leave a mark on the disk; no refusal may take 5 s or 1 GB. Exits with 1
otherwise. For comparison, the good files that all others were made of are
loaded, too.

Cost: one to two minutes on two cores. Machine, date and result: `RESULTS.md`,
"Hostile files".
"""

import argparse
import dataclasses
import json
import os
import pathlib
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
MARK = "executed"
SECRET = "secret.txt"
MOST_SECONDS = 5.0
MOST_MEBIBYTES = 1024.0
MOST_WAIT = 120  # seconds, after which a process is ended

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = [*SPECIAL, "the", "a", "quick", "fox", "lazy", "dog", "##s", "."]
WEIGHTS = "model.weights.h5"
EMBEDDING = "layers/reversible_embedding/vars/0"
VOCABULARY_FILE = "assets/tokenizer/vocabulary.txt"


@dataclasses.dataclass(frozen=True)
class Case:
    """One hostile folder.

    Args:
        base: string. The good folder that it is made of.
        change: callable. Takes the `pathlib.Path` of a copy, and spoils it.
        names: string. What the error must name, besides the folder.
    """

    base: str
    change: Callable[[pathlib.Path], Any]
    names: str


CASES: dict[str, Case] = {}


def case(base: str, name: str, names: str) -> Callable:
    """Registers a function that spoils a folder."""

    def register(change):
        CASES[name] = Case(base, change, names)
        return change

    return register


def edit(file: str, *path: str | int, value: Any) -> Callable:
    """A change of one value in a JSON file."""

    def change(folder):
        content = json.loads((folder / file).read_text())
        target = content
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = value
        (folder / file).write_text(json.dumps(content))

    return change


def h5(change: Callable, file: str = WEIGHTS) -> Callable:
    """A change of an HDF5 file."""

    def changed(folder):
        with h5py.File(folder / file, "r+") as weights:
            change(weights, folder)

    return changed


def add(base: str, name: str, names: str, change: Callable) -> None:
    CASES[name] = Case(base, change, names)


# === Sizes ===

for key, values in {
    "vocabulary_size": (10**10, 12, 14, -1, 1e10, "10", None, True, [13]),
    "num_layers": (10**7, 0, -3, "1"),
    "hidden_dim": (10**8, 8),
    "intermediate_dim": (10**9,),
    "num_registers": (10**9, -1),
    "num_heads": (10**9, 0, 3),
    "pooled_layers": ([0] * 10**5, [10**9], "x"),
    "dropout": (float("nan"), "x", {"class_name": "x"}),
    "max_wavelength": ("x" * 10**6,),
    "name": ({"a": 1},),
}.items():
    for index, value in enumerate(values):
        add(
            "dinolm",
            f"config {key} {index}",
            key if value == value else "config.json",
            edit("config.json", "config", key, value=value),
        )
for key in ("vocabulary_size", "num_layers", "max_sequence_length",
            "hidden_dim", "intermediate_dim", "num_segments"):  # fmt: skip
    add(
        "bert",
        f"bert {key}",
        key,
        edit("config.json", "config", key, value=10**9),
    )
for key in ("vocab_size", "num_hidden_layers", "max_position_embeddings",
            "hidden_size", "intermediate_size",
            "num_attention_heads"):  # fmt: skip
    add(
        "transformers",
        f"transformers {key}",
        key,
        edit("config.json", key, value=10**9),
    )
for key in ("num_prototypes", "head_hidden_dim", "bottleneck_dim"):
    add("heads", f"heads {key}", key, edit("heads.json", key, value=10**11))
add(
    "heads", "heads names", "heads", edit("heads.json", "heads", value=["../x"])
)
add("heads", "heads no list", "heads", edit("heads.json", "heads", value=5))
add(
    "classifier",
    "classes",
    "num_classes",
    edit("task.json", "config", "num_classes", value=10**10),
)
add(
    "classifier",
    "task's own backbone",
    "vocabulary_size",
    edit(
        "task.json", "config", "backbone", "config", "vocabulary_size",
        value=10**10,
    ),
)  # fmt: skip
for value in (10**12, -1, "8"):
    add(
        "dinolm",
        f"sequence_length {value}",
        "sequence_length",
        edit("preprocessor.json", "config", "sequence_length", value=value),
    )

# === Classes ===

for file, field in (
    ("config.json", "config.json"),
    ("tokenizer.json", "tokenizer.json"),
    ("preprocessor.json", "preprocessor.json"),
):
    for name in ("os>system", "keras>Lambda", "Lambda", 5, None):
        add(
            "dinolm",
            f"{file} is {name}",
            field,
            edit(file, "registered_name", value=name),
        )
add(
    "dinolm",
    "another backbone of keras-hub",
    "registered_name",
    edit("config.json", "registered_name", value="keras_hub>GPT2Backbone"),
)


def _lambda(folder):
    import keras

    mark = str(folder.parent / MARK)
    layer = keras.layers.Lambda(lambda x: open(mark, "w") and x)
    return keras.saving.serialize_keras_object(layer)


@case("dinolm", "a Lambda as the backbone", "config.json")
def _(folder):
    (folder / "config.json").write_text(json.dumps(_lambda(folder)))


@case("dinolm", "a Lambda in the backbone", "activation")
def _(folder):
    edit("config.json", "config", "activation", value=_lambda(folder))(folder)


@case("classifier", "a Lambda as the preprocessor", "task.json")
def _(folder):
    edit("task.json", "config", "preprocessor", value=_lambda(folder))(folder)


@case("dinolm", "a Lambda as the tokenizer", "preprocessor.json")
def _(folder):
    change = edit(
        "preprocessor.json", "config", "tokenizer", value=_lambda(folder)
    )
    change(folder)


@case("classifier", "a function of os", "activation")
def _(folder):
    value = {
        "module": "os",
        "class_name": "function",
        "config": "system",
        "registered_name": "system",
    }
    edit("task.json", "config", "activation", value=value)(folder)


@case("dinolm", "a module beside the preset", "config.json")
def _(folder):
    text = f"open({str(folder.parent / MARK)!r}, 'w')\nclass Evil: pass\n"
    (folder / "evil.py").write_text(text)
    value = {
        "module": "evil",
        "class_name": "Evil",
        "config": {},
        "registered_name": None,
    }
    (folder / "config.json").write_text(json.dumps(value))


@case("dinolm", "a backbone as a precision", "dtype")
def _(folder):
    value = json.loads((folder / "config.json").read_text())
    value["config"]["vocabulary_size"] = 10**10
    edit("config.json", "config", "dtype", value=value)(folder)


@case("dinolm", "a pattern that never ends", "config.json")
def _(folder):
    value = {
        "module": "keras.dtype_policies",
        "class_name": "DTypePolicyMap",
        "config": {
            "default_policy": "float32",
            "policy_map": {
                "(a*)*(.*)*$": {
                    "module": "keras",
                    "class_name": "DTypePolicy",
                    "config": {"name": "float32"},
                    "registered_name": None,
                }
            },
        },
        "registered_name": None,
    }
    edit("config.json", "config", "dtype", value=value)(folder)


add(
    "dinolm",
    "a build config",
    "build_config",
    edit("config.json", "build_config", value={"input_shape": [10**6] * 4}),
)
add(
    "dinolm",
    "an argument that is none",
    "does not take",
    edit("config.json", "config", "exec", value="x"),
)
add(
    "transformers",
    "another model of Hugging Face",
    "model_type",
    edit("config.json", "model_type", value="llama"),
)

# === JSON ===

for file in ("config.json", "tokenizer.json", "preprocessor.json"):
    for name, text in {
        "empty": "",
        "a list": "[]",
        "null": "null",
        "deep": "[" * 10**6,
        "deep but valid": '{"config": ' * 100 + "1" + "}" * 100,
        "not UTF-8": "\udcff",
        "a huge integer": '{"config": ' + "9" * 10**5 + "}",
    }.items():
        add(
            "dinolm",
            f"{file}: {name}",
            file,
            lambda folder, file=file, text=text: (folder / file).write_bytes(
                text.encode("utf-8", "surrogateescape")
            ),
        )


@case("dinolm", "a key twice", "vocabulary_size")
def _(folder):
    text = (folder / "config.json").read_text()
    text = text.replace(
        '"vocabulary_size"', '"vocabulary_size": 10000000000, "vocabulary_size"'
    )
    (folder / "config.json").write_text(text)


@case("dinolm", "15 MB of lists", "tokenizer.json")
def _(folder):
    (folder / "tokenizer.json").write_text("[" + "[]," * (5 << 20) + "0]")


@case("dinolm", "1 GB of JSON", "tokenizer.json")
def _(folder):
    with open(folder / "tokenizer.json", "wb") as file:
        file.truncate(1 << 30)


# === Paths ===


@case("dinolm", "a shard elsewhere", "model.weights.json")
def _(folder):
    (folder / WEIGHTS).rename(folder.parent / "stolen.weights.h5")
    value = {"weight_map": {"/layers/x/vars": "../stolen.weights.h5"}}
    (folder / "model.weights.json").write_text(json.dumps(value))


@case("dinolm", "shards that are no names", "model.weights.json")
def _(folder):
    (folder / WEIGHTS).unlink()
    (folder / "model.weights.json").write_text('{"weight_map": {"a": [[1]]}}')


@case("transformers", "safetensors elsewhere", "model.safetensors.index.json")
def _(folder):
    (folder / "model.safetensors").rename(folder.parent / "x.safetensors")
    value = {"weight_map": {"a": "../x.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(value))


@case("dinolm", "a vocabulary elsewhere", "vocabulary")
def _(folder):
    secret = str(folder.parent / SECRET)
    edit("tokenizer.json", "config", "vocabulary", value=secret)(folder)


for file in (VOCABULARY_FILE, "config.json", WEIGHTS):

    def _link(folder, file=file):
        (folder / file).rename(folder.parent / "elsewhere")
        (folder / file).symlink_to(folder.parent / "elsewhere")

    add("dinolm", f"a link to {file}", file, _link)


@case("dinolm", "a pipe", "tokenizer.json")
def _(folder):
    (folder / "tokenizer.json").unlink()
    os.mkfifo(folder / "tokenizer.json")


@case("dinolm", "an endless device", "config.json")
def _(folder):
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to("/dev/zero")


# === Weights ===


@case("dinolm", "an array in another file", EMBEDDING)
@h5
def _(file, folder):
    (folder.parent / "other.bin").write_bytes(bytes(10**5))
    shape = file[EMBEDDING].shape
    del file[EMBEDDING]
    file.create_dataset(
        EMBEDDING,
        shape,
        "float32",
        external=[(str(folder.parent / "other.bin"), 0, h5py.h5f.UNLIMITED)],
    )


@case("dinolm", "a link to another HDF5 file", EMBEDDING)
@h5
def _(file, folder):
    shutil.copy(folder / WEIGHTS, folder.parent / "other.h5")
    del file[EMBEDDING]
    file[EMBEDDING] = h5py.ExternalLink(folder.parent / "other.h5", EMBEDDING)


@case("dinolm", "a soft link", EMBEDDING)
@h5
def _(file, folder):
    file["other"] = file[EMBEDDING][()]
    del file[EMBEDDING]
    file[EMBEDDING] = h5py.SoftLink("/other")


@case("dinolm", "a virtual array", EMBEDDING)
@h5
def _(file, folder):
    shape = file[EMBEDDING].shape
    layout = h5py.VirtualLayout(shape, "float32")
    layout[:] = h5py.VirtualSource(folder.parent / "o.h5", "x", shape)
    del file[EMBEDDING]
    file.create_virtual_dataset(EMBEDDING, layout)


@case("dinolm", "terabytes that are not there", EMBEDDING)
def _(folder):
    rows, columns = 10**10, 16
    with h5py.File(folder / WEIGHTS, "r+") as file:
        del file[EMBEDDING]
        file.create_dataset(
            EMBEDDING, (rows, columns), "float32", chunks=(1024, columns)
        )
    edit("config.json", "config", "vocabulary_size", value=rows)(folder)


@case("dinolm", "a bomb of zeros", EMBEDDING)
def _(folder):
    rows = 1 << 22
    with h5py.File(folder / WEIGHTS, "r+") as file:
        del file[EMBEDDING]
        file.create_dataset(
            EMBEDDING,
            (rows, 16),
            "float32",
            data=np.zeros((rows, 16), "float32"),
            compression="gzip",
        )
    edit("config.json", "config", "vocabulary_size", value=rows)(folder)


@case("dinolm", "a file of holes", WEIGHTS)
def _(folder):
    rows = 10**9
    with h5py.File(folder / WEIGHTS, "r+") as file:
        del file[EMBEDDING]
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple((rows, 16))
        group = file[os.path.dirname(EMBEDDING)].id
        h5py.h5d.create(group, b"0", h5py.h5t.IEEE_F32LE, space, properties)
    edit("config.json", "config", "vocabulary_size", value=rows)(folder)


@case("dinolm", "strings as weights", EMBEDDING)
@h5
def _(file, folder):
    del file[EMBEDDING]
    file[EMBEDDING] = ["x"] * 13


@case("dinolm", "a group within itself", "two names")
@h5
def _(file, folder):
    file["layers/loop"] = file["layers"]


@case("dinolm", "NaN weights", "token_embedding")
@h5
def _(file, folder):
    file[EMBEDDING][3, 5] = np.nan


@case("dinolm", "infinite weights", "output_norm")
@h5
def _(file, folder):
    file["layers/layer_normalization/vars/0"][2] = np.inf


@case("dinolm", "a block of another shape", "num_layers")
@h5
def _(file, folder):
    name = "layers/encoder_block_1/mlp/up/vars/0"
    del file[name]
    file[name] = np.zeros((16, 10**6), "float32")


@case("dinolm", "weights that lack an array", "cannot be loaded")
@h5
def _(file, folder):
    del file["layers/layer_normalization/vars/1"]


@case("heads", "heads of NaN", "sequence/prototypes/0")
@lambda change: h5(change, "heads.weights.h5")
def _(file, folder):
    file["sequence/prototypes/0"][1, 1] = np.nan


@case("heads", "heads that lack an array", "sequence/projection/1")
@lambda change: h5(change, "heads.weights.h5")
def _(file, folder):
    del file["sequence/projection/1"]


@case("dinolm", "weights of HDF5's first bytes", WEIGHTS)
def _(folder):
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:700])


@case("dinolm", "weights that are a pickle", WEIGHTS)
def _(folder):
    mark = str(folder.parent / MARK).encode()
    (folder / WEIGHTS).write_bytes(b"cos\nsystem\n(S'touch " + mark + b"'\ntR.")


@case("transformers", "a header of 2**60 bytes", "model.safetensors")
def _(folder):
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 60))


@case("transformers", "tensors that are not there", "model.safetensors")
def _(folder):
    header = {
        "embeddings.word_embeddings.weight": {
            "dtype": "F32",
            "shape": [10**10, 16],
            "data_offsets": [0, 64 * 10**10],
        }
    }
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(
        struct.pack("<Q", len(text)) + text
    )
    edit("config.json", "vocab_size", value=10**10)(folder)


@case("dinolm", "a decoy without numbers", "is empty")
def _(folder):
    with h5py.File(folder / WEIGHTS, "r+") as file:
        del file[EMBEDDING]
        file.create_dataset(EMBEDDING, (10**10, 0), "float32")
    edit("config.json", "config", "vocabulary_size", value=10**10)(folder)


@case("dinolm", "a narrow decoy", "hidden_dim")
def _(folder):
    with h5py.File(folder / WEIGHTS, "r+") as file:
        del file[EMBEDDING]
        file[EMBEDDING] = np.zeros((10**6, 1), "int8")
    edit("config.json", "config", "vocabulary_size", value=10**6)(folder)


@case("heads", "heads of a narrow decoy", "sequence/projection/1")
def _(folder):
    with h5py.File(folder / "heads.weights.h5", "r+") as file:
        del file["sequence/projection/0"]
        file["sequence/projection/0"] = np.zeros((16, 10**6), "int8")
    edit("heads.json", "head_hidden_dim", value=10**6)(folder)


# === Vocabularies ===


@case("dinolm", "one token too many", VOCABULARY_FILE)
def _(folder):
    with open(folder / VOCABULARY_FILE, "a") as file:
        file.write("evil\n")


@case("dinolm", "one token too few", VOCABULARY_FILE)
def _(folder):
    (folder / VOCABULARY_FILE).write_text("\n".join(VOCABULARY[:-1]) + "\n")


@case("dinolm", "tokens in another order", "in this order")
def _(folder):
    (folder / VOCABULARY_FILE).write_text("\n".join(VOCABULARY[::-1]) + "\n")


@case("dinolm", "a vocabulary of 2 GB", VOCABULARY_FILE)
def _(folder):
    with open(folder / VOCABULARY_FILE, "ab") as file:
        file.truncate(2 << 30)


@case("dinolm", "a vocabulary that is not UTF-8", "vocabulary")
def _(folder):
    text = (folder / VOCABULARY_FILE).read_bytes().replace(b"lazy", b"l\xffzy")
    (folder / VOCABULARY_FILE).write_bytes(text)


# === Checkpoints ===


def header(change: Callable) -> Callable:
    """A change of a checkpoint's header, whose checksum is made right."""

    def changed(folder):
        import zlib

        path = folder / "checkpoint.json"
        body = json.loads(path.read_text())["body"]
        body = change(body) or body
        text = json.dumps(body, sort_keys=True)
        content = {"crc32": zlib.crc32(text.encode()), "body": body}
        path.write_text(json.dumps(content))

    return changed


for name, (key, value) in {
    "a petabyte": ("shape", [10**15]),
    "2**63 twice": ("shape", [2**63, 2]),
    "a negative shape": ("shape", [-1, 12]),
    "a shape of text": ("shape", ["x"]),
    "no shape": ("shape", None),
    "1e6 dimensions": ("shape", [1] * 10**6),
    "objects": ("dtype", "object"),
    "a long text": ("dtype", "<U999999999"),
    "a structure": ("dtype", "i4, (1000000,)f8"),
    "no dtype": ("dtype", 5),
    "a name that is none": ("name", ["x"]),
    "a checksum that is none": ("crc32", "x"),
}.items():
    add(
        "checkpoint",
        f"checkpoint: {name}",
        "",
        header(
            lambda body, key=key, value=value: body["groups"]["model"][
                0
            ].update({key: value})
        ),
    )
for name, value in {
    "no groups": None,
    "a list of groups": [1],
    "a group elsewhere": {"../model": []},
    "a group that is a number": {"model": 5},
    "an entry that is a number": {"model": [5]},
    "another format": "format",
}.items():

    def _groups(body, value=value):
        if value == "format":
            body["format"] = 10**6
        else:
            body["groups"] = value

    add("checkpoint", f"checkpoint: {name}", "", header(_groups))
for name, data in {
    "no JSON": b"{",
    "a list": b"[]",
    "deep": b"[" * 10**6,
    "not UTF-8": b"\xff\xfe",
    "a pickle": b"cos\nsystem\n(S'touch executed'\ntR.",
}.items():
    add(
        "checkpoint",
        f"checkpoint: {name}",
        "checkpoint.json",
        lambda folder, data=data: (folder / "checkpoint.json").write_bytes(
            data
        ),
    )


@case("checkpoint", "checkpoint: 2 GB of header", "checkpoint.json")
def _(folder):
    with open(folder / "checkpoint.json", "r+b") as file:
        file.truncate(2 << 30)


@case("checkpoint", "checkpoint: an array cut short", "model.bin")
def _(folder):
    path = folder / "model.bin"
    path.write_bytes(path.read_bytes()[:-1])


@case("checkpoint", "checkpoint: a flipped bit", "model.bin")
def _(folder):
    data = bytearray((folder / "model.bin").read_bytes())
    data[7] ^= 4
    (folder / "model.bin").write_bytes(data)


@case("checkpoint", "checkpoint: a link", "model.bin")
def _(folder):
    (folder / "model.bin").rename(folder.parent / "elsewhere")
    (folder / "model.bin").symlink_to(folder.parent / "elsewhere")


@case("checkpoint", "checkpoint: a pipe", "model.bin")
def _(folder):
    (folder / "model.bin").unlink()
    os.mkfifo(folder / "model.bin")


# === Good files, and how each kind is loaded ===


def make_bases(folder: pathlib.Path) -> None:
    """Writes one good folder of each kind.

    Args:
        folder: `pathlib.Path`.
    """
    import keras_hub

    import keras_dinolm as kd
    from keras_dinolm.runs import state_file

    models = kd.models
    tokenizer = models.DinoLMTokenizer(VOCABULARY)
    sizes = {
        "vocabulary_size": len(VOCABULARY),
        "num_layers": 2,
        "num_heads": 2,
        "hidden_dim": 16,
        "intermediate_dim": 32,
    }
    backbone = models.DinoLMBackbone(**sizes)
    models.export_preset(
        models.TextEncoder(backbone), tokenizer, folder / "dinolm", 16
    )
    model = models.DinoLM(
        backbone,
        [kd.objectives.SequenceDistillation()],
        num_prototypes=12,
        head_hidden_dim=8,
        bottleneck_dim=6,
    )
    model.export_preset(folder / "heads", tokenizer, heads=True)
    classifier = models.DinoLMTextClassifier(
        backbone, 3, models.DinoLMTextPreprocessor(tokenizer, 16)
    )
    classifier.save_to_preset(folder / "classifier")
    bert = keras_hub.models.BertBackbone(**sizes, max_sequence_length=16)
    models.export_preset(
        models.TextEncoder(bert),
        keras_hub.models.BertTokenizer(VOCABULARY, lowercase=True),
        folder / "bert",
    )
    _make_transformers(folder / "transformers", sizes)
    checkpoint = folder / "checkpoint"
    checkpoint.mkdir()
    arrays = [(v.path, np.asarray(v.numpy())) for v in _numpy(backbone)]
    state_file.write(checkpoint, {"model": arrays}, {"library": "0"})


def _numpy(model):
    import keras

    @dataclasses.dataclass
    class Array:
        path: str
        value: Any

        def numpy(self):
            return keras.ops.convert_to_numpy(self.value)

    return [Array(v.path, v) for v in model.weights]


def _make_transformers(folder, sizes):
    """A BERT as `save_pretrained` writes it, of random weights."""
    folder.mkdir()
    dim, wide = sizes["hidden_dim"], sizes["intermediate_dim"]
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(VOCABULARY), dim),
        "embeddings.position_embeddings.weight": (16, dim),
        "embeddings.token_type_embeddings.weight": (2, dim),
        "pooler.dense.weight": (dim, dim),
        "pooler.dense.bias": (dim,),
    }
    norms = ["embeddings.LayerNorm"]
    for index in range(sizes["num_layers"]):
        layer = f"encoder.layer.{index}"
        for part, (rows, columns) in {
            "attention.self.query": (dim, dim),
            "attention.self.key": (dim, dim),
            "attention.self.value": (dim, dim),
            "attention.output.dense": (dim, dim),
            "intermediate.dense": (wide, dim),
            "output.dense": (dim, wide),
        }.items():
            shapes[f"{layer}.{part}.weight"] = (rows, columns)
            shapes[f"{layer}.{part}.bias"] = (rows,)
        norms += [f"{layer}.attention.output.LayerNorm"]
        norms += [f"{layer}.output.LayerNorm"]
    for norm in norms:
        shapes[f"{norm}.weight"] = shapes[f"{norm}.bias"] = (dim,)
    random = np.random.default_rng(0)
    header, data = {}, b""
    for name, shape in shapes.items():
        values = random.normal(size=shape).astype("<f4").tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": list(shape),
            "data_offsets": [len(data), len(data) + len(values)],
        }
        data += values
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(
        struct.pack("<Q", len(text)) + text + data
    )
    config = {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "vocab_size": len(VOCABULARY),
        "num_hidden_layers": sizes["num_layers"],
        "num_attention_heads": sizes["num_heads"],
        "hidden_size": dim,
        "intermediate_size": wide,
        "max_position_embeddings": 16,
        "type_vocab_size": 2,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")


def make_case(bases: pathlib.Path, name: str, folder: pathlib.Path) -> None:
    """Writes the folder of a case.

    Args:
        bases: `pathlib.Path`, filled by `make_bases`.
        name: string. A key of `CASES`.
        folder: `pathlib.Path` of the folder to make.
    """
    shutil.copytree(bases / CASES[name].base, folder)
    (folder.parent / SECRET).write_text("\n".join(VOCABULARY) + "\n")
    CASES[name].change(folder)


def load(base: str, folder: pathlib.Path) -> None:
    """Loads a folder as its users would.

    Args:
        base: string. The kind of folder.
        folder: `pathlib.Path`.
    """
    import keras_dinolm as kd
    from keras_dinolm.runs import state_file

    if base == "checkpoint":
        state_file.read(folder)
    elif base == "heads":
        objectives = [kd.objectives.SequenceDistillation()]
        kd.models.DinoLM.from_preset(folder, objectives)
    elif base == "classifier":
        kd.models.DinoLMTextClassifier.from_preset(folder)
    else:
        kd.models.DinoLMTextEmbedder.from_preset(folder)


# === Fresh processes ===


class Loader:
    """A process that has imported everything, and forks for each folder.

    So that each folder is loaded by a process that has loaded nothing before,
    without an import for each.

    Args:
        backend: string.
    """

    def __init__(self, backend: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve"],
            env={
                **os.environ,
                "KERAS_BACKEND": backend,
                "PYTHONPATH": str(ROOT),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __call__(self, base: str, folder: pathlib.Path) -> dict[str, Any]:
        """What came of loading a folder, empty if the process died.

        Args:
            base: string. The kind of folder.
            folder: `pathlib.Path`.

        Returns:
            A dict of `error`, `seconds` and `mebibytes`.
        """
        process: Any = self.process
        process.stdin.write(json.dumps([base, str(folder)]) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            if line.startswith("RESULT "):
                return json.loads(line[7:])
        raise RuntimeError("the process that forks has died")


def serve() -> None:
    """Loads the folders that the input names, each in a fork."""
    import keras_dinolm.models
    import keras_dinolm.runs  # noqa: F401

    for line in sys.stdin:
        base, folder = json.loads(line)
        process = os.fork()
        if not process:
            signal.alarm(MOST_WAIT)
            _load_and_print(base, pathlib.Path(folder))
            os._exit(0)
        _, status = os.waitpid(process, 0)
        if status:
            print("RESULT {}", flush=True)


def _load_and_print(base, folder):
    os.chdir(folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    error = None
    try:
        load(base, folder)
    except Exception as found:
        error = [type(found).__name__, str(found)]
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = {
        "seconds": seconds,
        "mebibytes": (after - before) / 1024,
        "error": error,
    }
    print("RESULT " + json.dumps(result), flush=True)


def measure(name: str, bases: pathlib.Path, loader: Callable) -> dict[str, Any]:
    """One row of the table.

    Args:
        name: string. A key of `CASES`, or of the good folders.
        bases: `pathlib.Path`, filled by `make_bases`.
        loader: `Loader`.

    Returns:
        A dict.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch) / "files"
        if name in CASES:
            make_case(bases, name, folder)
            row = loader(CASES[name].base, folder)
        else:
            shutil.copytree(bases / name, folder)
            row = loader(name, folder)
        executed = (pathlib.Path(scratch) / MARK).exists()
    return {"name": name, "wrong": _wrong(name, row, executed, folder), **row}


def _wrong(name, row, executed, folder):
    if executed:
        return "code was run"
    if not row:
        return "the process died or hung"
    if name not in CASES:
        return f"refused: {row['error']}" if row["error"] else ""
    if row["error"] is None:
        return "loaded"
    message = row["error"][1]
    if str(folder) not in message or CASES[name].names not in message:
        return f"an unclear error: {row['error']}"
    if row["seconds"] > MOST_SECONDS:
        return "slow"
    if row["mebibytes"] > MOST_MEBIBYTES:
        return "large"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--only", default="", help="a part of the name")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve()
        return 0
    os.environ["KERAS_BACKEND"] = args.backend
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        bases = pathlib.Path(scratch)
        make_bases(bases)
        good = sorted(path.name for path in bases.iterdir())
        loader = Loader(args.backend)
        for name in [*good, *CASES]:
            if args.only not in name:
                continue
            row = measure(name, bases, loader)
            rows.append(row)
            print(
                f"{name:<42} {row.get('seconds', 0):6.2f} s "
                f"{row.get('mebibytes', 0):7.1f} MiB  {row['wrong'] or 'ok'}",
                flush=True,
            )
    hostile = [row for row in rows if row["name"] in CASES and row.get("error")]
    wrong = [row["name"] for row in rows if row["wrong"]]
    if hostile:
        print(
            f"\n{len(hostile)} refusals on {args.backend}: at most "
            f"{max(row['seconds'] for row in hostile):.2f} s and "
            f"{max(row['mebibytes'] for row in hostile):.0f} MiB"
        )
    print(f"wrong: {len(wrong)} {wrong or ''}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
