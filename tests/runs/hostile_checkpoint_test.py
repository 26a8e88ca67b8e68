"""Checkpoints from anywhere: refused at no cost, naming file and cure."""

import json
import os
import resource
import time
import zlib

import keras
import numpy as np
import pytest

from keras_dinolm.runs import state_file
from keras_dinolm.runs.checkpoint import Checkpoint
from keras_dinolm.runs.checkpoint import Position
from keras_dinolm.runs.state_file import CheckpointError


def build():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("adam", "mse", jit_compile=False)
    return model


@pytest.fixture
def path(tmp_path):
    """A good checkpoint."""
    model = build()
    checkpoint = Checkpoint(tmp_path)
    checkpoint.set_model(model)
    checkpoint._metrics = None
    checkpoint.position = Position(step=4)
    checkpoint.save()
    return checkpoint.folder.path(4)


def forge(path, **changes):
    """Changes the header, with a checksum that is right again.

    Args:
        **changes: `field__of__field=value`.
    """
    file = path / "checkpoint.json"
    body = json.loads(file.read_text())["body"]
    for where, value in changes.items():
        *parents, last = [
            int(k) if k.isdigit() else k for k in where.split("__")
        ]
        place = body
        for key in parents:
            place = place[key]
        place[last] = value
    crc = zlib.crc32(json.dumps(body, sort_keys=True).encode())
    file.write_text(json.dumps({"crc32": crc, "body": body}))


def sparse(path, group, size):
    """A group that says it is huge, with a file of that size."""
    forge(
        path,
        **{
            f"groups__{group}": [
                {"name": "x", "shape": [size], "dtype": "uint8", "crc32": 0}
            ]
        },
    )
    os.truncate(path / f"{group}.bin", size)


def refusal(path, match):
    start = time.monotonic()
    model = build()
    before = [keras.ops.convert_to_numpy(v) for v in model.variables]
    with pytest.raises(CheckpointError, match=match) as error:
        Checkpoint(path.parent).restore(model)
    for a, b in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(a, keras.ops.convert_to_numpy(b))
    assert time.monotonic() - start < 5
    message = str(error.value)
    assert str(path) in message
    assert any(word in message for word in ("ove the", "ove it", "Move", "use"))
    return message


ENTRY = "groups__model__0__"


@pytest.mark.once
@pytest.mark.parametrize(
    ["changes", "match"],
    [
        ({"format": "2"}, "has format '2'"),
        ({"format": 10**400}, "has format about 2"),
        ({"groups": []}, "`groups` must be a dict of lists"),
        ({"groups__model": {}}, "`groups.*model.*must be a list"),
        ({"groups__model": ["x"]}, "must be a dict"),
        ({"groups__../x": []}, "`groups.*must be a list"),
        ({"groups__extra": []}, "extra.bin is missing"),
        ({ENTRY + "name": 3}, "'name'.* must be a string"),
        ({ENTRY + "shape": "3"}, "'shape'.* must be a list of sizes"),
        ({ENTRY + "shape": [-1, -6]}, "'shape'.* must be a list of sizes"),
        ({ENTRY + "shape": [3.0, 2]}, "'shape'.* must be a list of sizes"),
        ({ENTRY + "shape": [True, 2]}, "'shape'.* must be a list of sizes"),
        ({ENTRY + "shape": [1] * 100}, "'shape'.* must be a list of sizes"),
        ({ENTRY + "shape": [2**62, 2**62]}, "instead of the about 2"),
        ({ENTRY + "shape": [2**32, 2**32]}, "instead of the about 2"),
        ({ENTRY + "shape": [10**12, 0]}, "bytes instead of"),
        ({ENTRY + "dtype": "object"}, "'dtype'.*a type of number"),
        ({ENTRY + "dtype": "O"}, "'dtype'.*a type of number"),
        ({ENTRY + "dtype": "f4,f4"}, "'dtype'.*a type of number"),
        ({ENTRY + "dtype": "(9999,9999)f4"}, "'dtype'.*a type of number"),
        ({ENTRY + "dtype": "V1000000"}, "'dtype'.*a type of number"),
        ({ENTRY + "dtype": "<U5"}, "'dtype'.*a type of number"),
        ({ENTRY + "dtype": ["f4"]}, "'dtype'.*a type of number"),
        ({ENTRY + "dtype": "finfo"}, "'dtype'.*a type of number"),
        ({ENTRY + "crc32": "1"}, "'crc32'.*an integer"),
        ({ENTRY + "crc32": 1}, "model.bin is damaged: the checksum"),
        ({"position": None}, "`position` must hold step 4"),
        ({"position__step": -1}, "`position` must hold step 4"),
        ({"position__step": 5}, "`position` must hold step 4"),
        ({"position__step": "4"}, "`position` must hold step 4"),
        ({"position__more": 1}, "`position` must hold step 4"),
        ({"backend": None}, "`backend` must be a string"),
        ({"settings": []}, "`settings` must be a dict"),
        ({"callbacks": 3}, "`callbacks` must be a dict"),
        ({"history": []}, "`history` must be"),
        ({"history": {"epoch": [0], "logs": {"a": [[]]}}}, "`history` must be"),
        ({"optimizer": "SGD"}, "another optimizer"),
        ({"optimizer": {"x": ["y"] * 10**5}}, "another optimizer"),
    ],
)
def test_a_forged_header_is_refused(changes, match, path):
    forge(path, **changes)
    assert len(refusal(path, match)) < 2_000


@pytest.mark.once
@pytest.mark.parametrize(
    ["content", "match"],
    [
        (b"", "cannot be read"),
        (b"{", "cannot be read"),
        (b"[]", "cannot be read"),
        (b"null", "cannot be read"),
        (b'{"crc32": 1}', "cannot be read"),
        (b'{"crc32": 1, "body": {}}', "its checksum is wrong"),
        (b'{"crc32": 223132457, "body": []}', "its checksum is wrong"),
        (b"\xff\xfe{}", "cannot be read"),
        (b"[" * 10**6, "cannot be read"),
        (b'{"crc32": 1, "body": ' + b'{"a":' * 10**5, "cannot be read"),
        (b'{"crc32": ' + b"9" * 10**5 + b', "body": {}}', "cannot be read"),
        (b"\x00" * 100, "cannot be read"),
    ],
    ids=range(12),
)
def test_a_header_that_is_none_is_refused(content, match, path):
    (path / "checkpoint.json").write_bytes(content)
    refusal(path, match)


@pytest.mark.once
def test_a_huge_header_is_not_read(path):
    os.truncate(path / "checkpoint.json", 1 << 40)
    refusal(path, "no header has more than")


@pytest.mark.once
@pytest.mark.parametrize("value", ["[]", "{}", "9"])
def test_a_header_of_millions_of_values_is_not_parsed(value, path):
    content = "[" + ",".join([value] * 2_000_000) + "]"
    (path / "checkpoint.json").write_text(content)
    refusal(path, "more than 1,000,000 values")


@pytest.mark.once
@pytest.mark.parametrize("group", ["model", "optimizer", "metrics", "random"])
def test_a_huge_group_is_not_read(group, path):
    """A sparse file takes no room and says that it has a terabyte."""
    sparse(path, group, 1 << 40)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refusal(path, "does not fit|small metrics and random")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200_000  # KiB


@pytest.mark.once
def test_a_random_state_that_is_none_is_refused(path):
    header = state_file.read_header(path)
    groups = state_file.read(path, header)
    groups["random"] = [
        (name, array + 1 if name == "python" else array)
        for name, array in groups["random"]
    ]
    for file in path.iterdir():
        file.unlink()
    state_file.write(path, groups, header)
    refusal(path, "random state cannot be restored")
    path_of_python = [a for n, a in groups["random"] if n != "python"]
    for file in path.iterdir():
        file.unlink()
    groups["random"] = [("numpy", path_of_python[0])]
    state_file.write(path, groups, header)
    refusal(path, "random state 'python' must have shape")


@pytest.mark.once
@pytest.mark.parametrize("name", ["checkpoint.json", "model.bin"])
@pytest.mark.parametrize("kind", ["link", "pipe", "device", "folder"])
def test_what_is_no_file_of_the_folder_is_not_opened(
    name, kind, path, tmp_path_factory
):
    file = path / name
    if kind == "link":
        secret = tmp_path_factory.mktemp("secret") / "secret"
        file.rename(secret)
        file.symlink_to(secret)
    else:
        file.unlink()
        if kind == "pipe":
            os.mkfifo(file)
        elif kind == "device":
            file.symlink_to("/dev/zero")
        else:
            file.mkdir()
    refusal(path, "outside of it|is no file")


@pytest.mark.once
def test_names_that_only_look_like_checkpoints_are_not_read(path):
    for name in ("step-00000000000000000009", "step-٠٠٠٠٠٠٠٠٠٩", "step-9"):
        (path.parent / name).mkdir()
    (path.parent / "step-0000000099").write_text("a file")
    assert Checkpoint(path.parent).folder.steps() == [4]


class Counts(keras.callbacks.Callback):
    def get_run_state(self):
        return {"count": 1}

    def set_run_state(self, state):
        self.count = state["count"]


@pytest.mark.once
@pytest.mark.parametrize("state", [None, [], {}, "x", {"counts": 1}])
def test_a_state_that_a_callback_does_not_take_is_named(state, path):
    forge(path, callbacks={"Counts": state})
    checkpoint = Checkpoint(path.parent)
    checkpoint.stateful.append(Counts())
    restored = checkpoint.load(build())
    with pytest.raises(CheckpointError, match="state of Counts that it"):
        checkpoint.restore_callbacks(restored)
