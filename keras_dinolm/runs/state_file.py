"""The checkpoint format: one folder, raw arrays, and a header of JSON.

    checkpoint.json   what is inside: names, shapes, dtypes, checksums
    model.bin         the arrays of that group, one after the other
    optimizer.bin     ...

Any dtype is stored as its own bytes, so nothing is rounded, and every byte is
covered by a checksum, so nothing broken is loaded. A checkpoint may come from
anywhere: sizes are compared with those of the files before anything is read.
"""

import contextlib
import json
import math
import pathlib
import re
import stat
import zlib
from collections.abc import Iterator
from typing import Any

import ml_dtypes  # numpy learns about bfloat16
import numpy as np

from keras_dinolm import files

FORMAT = 2
HEADER = "checkpoint.json"
# The header is read whole. Those of large models have a few MiB.
MOST_HEADER = 16 << 20
# What it is made of: a history of 30 numbers has as many after 30,000 epochs.
MOST_PARTS = 1_000_000
_GROUP = re.compile(r"[a-z_]{1,40}", re.ASCII)
_KIND = "biufc"  # of the dtypes: what numpy calls a number
_PIECE = 1 << 22
# As many as numpy has.
_MOST_DIMENSIONS = 64


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written, read, or does not fit."""


def write(folder, groups, header):
    """Writes a checkpoint into an empty folder.

    Args:
        folder: path of an existing, empty folder.
        groups: dict of group name to an iterable of `(name, array)`. Arrays
            are asked for one at a time.
        header: dict of what else to remember; JSON.

    Raises:
        CheckpointError: if the header is too long to be read again.
    """
    folder = pathlib.Path(folder)
    index = {}
    for group, arrays in groups.items():
        entries = []
        with open(folder / f"{group}.bin", "wb") as file:
            for name, array in arrays:
                data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
                file.write(data)
                entries.append(
                    {
                        "name": name,
                        "shape": list(np.shape(array)),
                        "dtype": str(array.dtype),
                        "crc32": zlib.crc32(data),
                    }
                )
        index[group] = entries
    body = {**header, "format": FORMAT, "groups": index}
    text = json.dumps({"crc32": _checksum(body), "body": body}).encode()
    if len(text) > MOST_HEADER or _parts(text) > MOST_PARTS:
        raise CheckpointError(
            f"{folder / HEADER} would have {len(text):,} bytes and "
            f"{_parts(text):,} values, and at most {MOST_HEADER:,} and "
            f"{MOST_PARTS:,} are read. Make epochs longer, so that the "
            "history is shorter, or keep less in the state of callbacks."
        )
    (folder / HEADER).write_bytes(text)


def is_checkpoint(folder):
    """Whether a folder is one of ours: nothing in it but a checkpoint."""
    folder = pathlib.Path(folder)
    if folder.is_symlink() or not folder.is_dir():
        return False
    names = [path.name for path in folder.iterdir()]
    return all(
        name == HEADER
        or (name.endswith(".bin") and _GROUP.fullmatch(name[:-4]))
        for name in names
    )


def read_header(folder):
    """The header of a checkpoint, compared with the sizes of its files.

    Raises:
        CheckpointError: if it is missing, broken, or of another format; names
            the file and the field.
    """
    path = pathlib.Path(folder) / HEADER
    _check_file(folder, HEADER)
    size = path.stat().st_size
    if size > MOST_HEADER:
        raise CheckpointError(
            f"{path} has {size:,} bytes, and no header has more than "
            f"{MOST_HEADER:,}: it is damaged or hostile."
        )
    try:
        text = path.read_bytes()
        if _parts(text) > MOST_PARTS:
            raise ValueError(f"it has more than {MOST_PARTS:,} values")
        content = files.parse_json(text.decode("utf-8"))
        body = content["body"]
        good = content["crc32"] == _checksum(body)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({type(error).__name__}: {error})."
        ) from error
    if not good or not isinstance(body, dict):
        raise CheckpointError(f"{path} is damaged: its checksum is wrong.")
    found = body.get("format")
    if type(found) is not int or found != FORMAT:
        raise CheckpointError(
            f"{path} has format {_short(found)}; this version reads format "
            f"{FORMAT}. It was written by keras_dinolm "
            f"{_short(body.get('library'))}."
        )
    _check_groups(folder, path, body.get("groups"))
    return body


def read(folder, header=None):
    """All arrays of a checkpoint, each verified.

    Args:
        folder: path.
        header: as `read_header` returned it, if it did before.

    Returns:
        Dict of group name to a list of `(name, array)`.

    Raises:
        CheckpointError: if a file is missing, too short, too long or damaged.
    """
    header = read_header(folder) if header is None else header
    return {
        group: [
            (entry["name"], np.frombuffer(data, dtype).reshape(entry["shape"]))
            for entry, dtype, data in _read_group(folder, group, entries)
        ]
        for group, entries in header["groups"].items()
    }


def verify(folder):
    """Reads a checkpoint in pieces, to know whether it is whole.

    Raises:
        CheckpointError: if it is not.
    """
    for group, entries in read_header(folder)["groups"].items():
        with _open(folder, group) as file:
            for entry in entries:
                left, checksum = _size(entry)[1], 0
                while left:
                    data = file.read(min(left, _PIECE))
                    if not data:
                        break
                    checksum = zlib.crc32(data, checksum)
                    left -= len(data)
                _check_data(folder, group, entry, checksum)


def _read_group(
    folder: Any, group: str, entries: list
) -> Iterator[tuple[dict, Any, bytes]]:
    with _open(folder, group) as file:
        for entry in entries:
            dtype, size = _size(entry)
            data = file.read(size)
            _check_data(folder, group, entry, zlib.crc32(data))
            yield entry, dtype, data


@contextlib.contextmanager
def _open(folder, group):
    path = pathlib.Path(folder) / f"{group}.bin"
    try:
        file = open(path, "rb")
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error}).") from error
    with file:
        yield file


def _check_data(folder, group, entry, checksum):
    if checksum != entry["crc32"]:
        raise CheckpointError(
            f"{pathlib.Path(folder) / f'{group}.bin'} is damaged: the "
            f"checksum of {entry['name']!r} is wrong."
        )


# === What a header may say ===


def _check_groups(folder, path, groups):
    def refuse(field, value, wanted):
        raise CheckpointError(
            f"{path} is damaged or hostile: `{field}` must be {wanted}. "
            f"Received: {field}={_short(value)}."
        )

    if not isinstance(groups, dict):
        refuse("groups", groups, "a dict of lists")
    for group, entries in groups.items():
        if not _GROUP.fullmatch(group) or not isinstance(entries, list):
            refuse(f"groups[{_short(group)}]", entries, "a list")
        total = 0
        for index, entry in enumerate(entries):
            field = f"groups[{group!r}][{index}]"
            if not isinstance(entry, dict):
                refuse(field, entry, "a dict")
            if not isinstance(entry.get("name"), str):
                refuse(f"{field}['name']", entry.get("name"), "a string")
            shape = entry.get("shape")
            if (
                not isinstance(shape, list)
                or len(shape) > _MOST_DIMENSIONS
                or not all(type(n) is int and n >= 0 for n in shape)
            ):
                refuse(f"{field}['shape']", shape, "a list of sizes")
            if _dtype(entry.get("dtype")) is None:
                refuse(
                    f"{field}['dtype']", entry.get("dtype"), "a type of number"
                )
            if type(entry.get("crc32")) is not int:
                refuse(f"{field}['crc32']", entry.get("crc32"), "an integer")
            total += _size(entry)[1]
        file = _check_file(folder, f"{group}.bin")
        found = file.stat().st_size
        if found != total:
            raise CheckpointError(
                f"{file} is damaged: it has {found:,} bytes instead of the "
                f"{_short(total)} of the shapes in {HEADER}."
            )


def _check_file(folder, name):
    """The path of a file that is in the folder, and is a file."""
    folder = pathlib.Path(folder)
    path = folder / name
    try:
        inside = files.inside(folder, name)
        kind = inside.stat().st_mode
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing.") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None
    if not stat.S_ISREG(kind):
        raise CheckpointError(f"{path} is no file. The checkpoint is damaged.")
    return path


def _dtype(name):
    """The dtype of a name, if it is one of numbers, else `None`."""
    if not isinstance(name, str) or len(name) > 30:
        return None
    with contextlib.suppress(TypeError, ValueError, SyntaxError):
        dtype = np.dtype(getattr(ml_dtypes, name, None) or name)
        # Those of `ml_dtypes` call themselves "void", but have no parts.
        plain = dtype.names is None and dtype.subdtype is None
        known = dtype.kind in _KIND or hasattr(ml_dtypes, dtype.name)
        if plain and known and str(dtype) == name:
            return dtype
    return None


def _size(entry):
    """`(dtype, bytes)` of an array. Python's integers do not overflow."""
    dtype = _dtype(entry["dtype"])
    if 0 in entry["shape"]:
        return dtype, 0
    return dtype, math.prod(entry["shape"]) * dtype.itemsize


def _short(value):
    if isinstance(value, int) and abs(value) >= 10**18:
        return f"about 2**{value.bit_length()}"
    if isinstance(value, str | list | dict) and len(value) > 100:
        return f"a {type(value).__name__} of length {len(value):,}"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _parts(text):
    """About how many values a JSON text has, which cost time and memory."""
    return sum(map(text.count, (b",", b"[", b"{")))


def _checksum(body):
    return zlib.crc32(json.dumps(body, sort_keys=True).encode())
