"""Presets: the same bits back, and nothing hostile is believed."""

import functools
import json
import pathlib
import resource
import shutil
import tempfile
import time
import warnings

import numpy as np
from hypothesis import strategies as st

import keras_dinolm as kd
from tests.properties.stores import _places

_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_VOCABULARY = [*_SPECIALS, "a", "fox", "##es", "."]
round_trips = st.fixed_dictionaries(
    {
        "num_layers": st.sampled_from([1, 2]),
        "num_registers": st.sampled_from([0, 2]),
        "pooling": st.sampled_from(
            ["cls", "mean", "attention", "weighted_mean"]
        ),
        "seed": st.integers(0, 2**32),
        "lowercase": st.booleans(),
        "sequence_length": st.integers(4, 600),
    }
)


def _backbone(seed, **options):
    made = kd.models.DinoLMBackbone(
        vocabulary_size=len(_VOCABULARY),
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
        **options,
    )
    rng = np.random.default_rng(seed)
    for variable in made.weights:
        if "float" in str(variable.dtype):
            variable.assign(rng.normal(size=variable.shape))
    return made


def check_round_trip(case: dict) -> None:
    """Weights and settings come back to the bit."""
    case = dict(case)
    lowercase = case.pop("lowercase")
    length = case.pop("sequence_length")
    backbone = _backbone(**case)
    tokenizer = kd.models.DinoLMTokenizer(_VOCABULARY, lowercase=lowercase)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name, "preset")
        kd.models.export_preset(
            kd.models.TextEncoder(backbone),
            tokenizer,
            folder,
            sequence_length=length,
        )
        found = kd.models.DinoLMTextEmbedder.from_preset(folder)
    for one, other in zip(
        found.backbone.get_weights(), backbone.get_weights(), strict=True
    ):
        assert one.dtype == other.dtype and one.tobytes() == other.tobytes()
    assert found.preprocessor.sequence_length == length
    again = found.preprocessor.tokenizer
    assert again.fingerprint() == tokenizer.fingerprint()


# === Hostile ones ===

_FORGED = [
    -1, 0, 10**7, 10**10, 10**11, 2**62, 1e300, None, "x", [], {}, True,
    "../../secret", "/etc/passwd", "os>system", "builtins>eval", "keras>Lambda",
    [1, 2], {"class_name": "Lambda"}, "float99", "é" * 99,
]  # fmt: skip
mutations = st.one_of(
    st.fixed_dictionaries(
        {
            "kind": st.just("forge"),
            "file": st.integers(0, 20),
            "key": st.integers(0, 200),
            "value": st.sampled_from(_FORGED),
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(
                ["flip", "cut", "grow", "remove", "empty", "nest", "link"]
            ),
            "file": st.integers(0, 20),
            "place": st.floats(0, 1, exclude_max=True),
            "bit": st.integers(0, 7),
        }
    ),
)
loaders = st.sampled_from(["embedder", "backbone", "tokenizer", "classifier"])
hostile = st.fixed_dictionaries({"mutation": mutations, "loader": loaders})


@functools.cache
def _good():
    """The files of a whole preset, by name."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name, "preset")
        kd.models.export_preset(
            kd.models.TextEncoder(_backbone(0, num_layers=1)),
            kd.models.DinoLMTokenizer(_VOCABULARY),
            folder,
        )
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }


def check_hostile(case: dict) -> None:
    """It loads, or is refused by name within 5 s and 1 GB."""
    root = pathlib.Path(tempfile.mkdtemp())
    try:
        folder = root / "preset"
        _write(folder, case["mutation"])
        begin, peak = time.monotonic(), _peak()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                _load(case["loader"], str(folder))
            except (ValueError, FileNotFoundError) as error:
                assert str(folder) in str(error), f"names no file: {error}"
        assert time.monotonic() - begin < 5.0, "took too long"
        assert _peak() - peak < 1 << 30, "took too much memory"
    finally:
        shutil.rmtree(root)


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _load(loader, folder):
    if loader == "embedder":
        kd.models.DinoLMTextEmbedder.from_preset(folder).encode("a fox")
    elif loader == "backbone":
        kd.models.DinoLMBackbone.from_preset(folder)
    elif loader == "tokenizer":
        kd.models.DinoLMTokenizer.from_preset(folder)
    else:
        kd.models.DinoLMTextClassifier.from_preset(folder, num_classes=2)


def _write(folder, mutation):
    files = dict(_good())
    names = sorted(files)
    if mutation["kind"] == "forge":
        names = [name for name in names if name.endswith(".json")]
    name = names[mutation["file"] % len(names)]
    data = bytearray(files[name])
    place = int(mutation.get("place", 0) * len(data))
    if mutation["kind"] == "forge":
        value = json.loads(data)
        owner, key = _pick(value, mutation["key"])
        owner[key] = mutation["value"]
        data = json.dumps(value).encode()
    elif mutation["kind"] == "flip" and data:
        data[place] ^= 1 << mutation["bit"]
    elif mutation["kind"] == "cut":
        del data[place:]
    elif mutation["kind"] == "grow":
        data += b"\1\2"
    elif mutation["kind"] == "empty":
        data = b""
    elif mutation["kind"] == "nest":
        data = b"[" * 100_000
    files[name] = bytes(data)
    if mutation["kind"] in ("remove", "link"):
        del files[name]
    for path, content in files.items():
        path = folder / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    if mutation["kind"] == "link":
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to("/etc/hostname")


def _pick(value, number):
    places = list(_places(value))
    return places[number % len(places)]
