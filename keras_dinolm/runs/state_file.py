"""The checkpoint format: one folder, raw arrays, and a header of JSON.

    checkpoint.json   what is inside: names, shapes, dtypes, checksums
    model.bin         the arrays of that group, one after the other
    optimizer.bin     ...

Any dtype is stored as its own bytes, so nothing is rounded, and every byte is
covered by a checksum, so nothing broken is loaded.
"""

import json
import math
import os
import pathlib
import zlib

import ml_dtypes  # noqa: F401  numpy learns about bfloat16
import numpy as np

FORMAT = 1
HEADER = "checkpoint.json"


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written, read, or does not fit."""


def write(folder, groups, header):
    """Writes a checkpoint into an empty folder, and makes sure it is on disk.

    Args:
        folder: path of an existing, empty folder.
        groups: dict of group name to an iterable of `(name, array)`. Arrays
            are asked for one at a time.
        header: dict of what else to remember; JSON.
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
            _to_disk(file)
        index[group] = entries
    body = {**header, "format": FORMAT, "groups": index}
    content = {"crc32": _checksum(body), "body": body}
    with open(folder / HEADER, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        _to_disk(file)
    folder_to_disk(folder)


def read_header(folder):
    """The header of a checkpoint.

    Raises:
        CheckpointError: if it is missing, broken, or of another format.
    """
    path = pathlib.Path(folder) / HEADER
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        body = content["body"]
        good = content["crc32"] == _checksum(body)
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({type(error).__name__}: {error})."
        ) from error
    if not good:
        raise CheckpointError(f"{path} is damaged: its checksum is wrong.")
    if body["format"] != FORMAT:
        raise CheckpointError(
            f"{path} has format {body['format']}; this version reads format "
            f"{FORMAT}. It was written by keras_dinolm {body.get('library')}."
        )
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
    folder = pathlib.Path(folder)
    header = read_header(folder) if header is None else header
    return {
        group: _read_group(folder / f"{group}.bin", entries)
        for group, entries in header["groups"].items()
    }


def folder_to_disk(folder):
    """Flushes a folder's list of names; renames last only after that."""
    if os.name == "nt":  # Windows has no such call, and needs none
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_group(path, entries):
    dtypes = [np.dtype(entry["dtype"]) for entry in entries]
    sizes = [
        math.prod(entry["shape"]) * dtype.itemsize
        for entry, dtype in zip(entries, dtypes)
    ]
    try:
        found = path.stat().st_size
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error}).") from error
    if found != sum(sizes):
        raise CheckpointError(
            f"{path} is damaged: it has {found} bytes instead of {sum(sizes)}."
        )
    arrays = []
    with open(path, "rb") as file:
        for entry, dtype, size in zip(entries, dtypes, sizes):
            data = file.read(size)
            if zlib.crc32(data) != entry["crc32"]:
                raise CheckpointError(
                    f"{path} is damaged: the checksum of {entry['name']!r} is "
                    "wrong."
                )
            array = np.frombuffer(data, dtype).reshape(entry["shape"])
            arrays.append((entry["name"], array))
    return arrays


def _checksum(body):
    return zlib.crc32(json.dumps(body, sort_keys=True).encode())


def _to_disk(file):
    file.flush()
    os.fsync(file.fileno())
