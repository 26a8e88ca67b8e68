"""Checkpoint files: any arrays, to the bit; nothing broken is read."""

import json
import pathlib
import tempfile

import ml_dtypes  # noqa: F401  NumPy learns about bfloat16
import numpy as np
from hypothesis import strategies as st

from keras_dinolm.runs import state_file
from keras_dinolm.runs.state_file import CheckpointError
from tests.properties.stores import _mutate
from tests.properties.stores import _places

_DTYPES = ("float32", "float16", "bfloat16", "int32", "int64", "bool", "uint8")
_array = st.tuples(
    st.sampled_from(_DTYPES), st.lists(st.integers(0, 3), max_size=3)
)
_FORGED = [
    -1, 0, 2**62, 1e300, None, "x", [], {}, True, "object", "O", "S9",
    "../../secret", "/etc/passwd", [2**40], [-1, -8], ["x"],
]  # fmt: skip
cases = st.fixed_dictionaries(
    {
        "groups": st.dictionaries(
            st.sampled_from(["model", "optimizer", "metrics"]),
            st.lists(_array, max_size=3),
            max_size=3,
        ),
        "seed": st.integers(0, 2**32),
        "mutation": st.one_of(
            st.none(),
            st.fixed_dictionaries(
                {
                    "kind": st.sampled_from(["flip", "cut", "grow", "remove"]),
                    "file": st.integers(0, 9),
                    "place": st.floats(0, 1, exclude_max=True),
                    "bit": st.integers(0, 7),
                }
            ),
            st.fixed_dictionaries(
                {
                    "kind": st.just("forge"),
                    "key": st.integers(0, 60),
                    "value": st.sampled_from(_FORGED),
                }
            ),
        ),
    }
)


def check(case: dict) -> None:
    """What was written is read to the bit, or refused by name."""
    rng = np.random.default_rng(case["seed"])
    groups = {
        group: [
            (f"{group} {index}", _draw(rng, *array))
            for index, array in enumerate(arrays)
        ]
        for group, arrays in case["groups"].items()
    }
    header = {"value": 0.5, "note": "é"}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name, "checkpoint")
        folder.mkdir()
        state_file.write(folder, groups, header)
        mutation = case["mutation"]
        if mutation is not None and not _change(folder, mutation):
            return
        try:
            found = state_file.read_header(folder)
            arrays = state_file.read(folder, found)
        except CheckpointError as error:
            assert mutation is not None, error
            assert str(folder) in str(error), f"names no file: {error}"
            return
        if mutation is not None and mutation["kind"] == "forge":
            # Its checksum is forged, too: what is read agrees with itself.
            return
        assert arrays.keys() == groups.keys()
        for group, expected in groups.items():
            for (name, array), (then, other) in zip(
                arrays[group], expected, strict=True
            ):
                assert name == then and array.dtype == other.dtype
                assert array.shape == other.shape
                assert array.tobytes() == other.tobytes()


def _draw(rng, dtype, shape):
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    return np.frombuffer(rng.bytes(size), dtype).reshape(shape)


def _change(folder, mutation):
    if mutation["kind"] != "forge":
        return _mutate(folder, mutation)
    path = folder / state_file.HEADER
    content = json.loads(path.read_text(encoding="utf-8"))
    places = list(_places(content["body"]))
    owner, key = places[mutation["key"] % len(places)]
    owner[key] = mutation["value"]
    content["crc32"] = state_file._checksum(content["body"])
    path.write_text(json.dumps(content), encoding="utf-8")
    return True
