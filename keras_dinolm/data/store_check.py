"""Whether the files of a token store hold what its header says."""

import os
import pathlib
import stat
import zlib
from typing import Any
from typing import BinaryIO
from typing import NoReturn

import numpy as np

from keras_dinolm.data.store_header import ALL_KINDS
from keras_dinolm.data.store_header import REPAIR
from keras_dinolm.data.store_header import check_link

# Bytes that are in memory at a time.
_BLOCK = 1 << 22


def shard_path(directory: pathlib.Path, index: int, kind: str) -> pathlib.Path:
    """The path of one file of a shard.

    Args:
        directory: path of the store.
        index: int. The number of the shard.
        kind: str. A key of `ALL_KINDS`, or `"json"` for its header.
    """
    return pathlib.Path(directory) / f"shard-{index:05d}.{kind}"


def type_of(kind: str, dtype: str) -> np.dtype:
    """The dtype of the numbers in a file.

    Args:
        kind: str. A key of `ALL_KINDS`.
        dtype: str. That of ids.
    """
    ids = kind in ("ids", "alternates")
    return np.dtype(dtype if ids else "int32").newbyteorder("<")


def open_file(
    directory: pathlib.Path,
    index: int,
    kind: str,
    settings: dict[str, Any],
    shard: dict[str, Any],
) -> BinaryIO:
    """Opens a file of a shard that is there and has the right size.

    Args:
        directory: path of the store.
        index: int. The number of the shard.
        kind: str. A key of `ALL_KINDS`.
        settings: dict. The header of the store, or its settings.
        shard: dict. The header of the shard.

    Returns:
        A binary file without a buffer.

    Raises:
        FileNotFoundError: if it is missing or has the wrong size.
        ValueError: if it is no file, or a link that leaves the folder.
    """
    path = shard_path(directory, index, kind)
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            check_link(path)
            status = os.stat(path)
    except FileNotFoundError:
        _missing(directory, path, "is missing")
    if not stat.S_ISREG(status.st_mode):
        damaged(directory, path, "is no file")
    size = shard[ALL_KINDS[kind]] * type_of(kind, settings["dtype"]).itemsize
    if status.st_size != size:
        _missing(
            directory,
            path,
            f"has {status.st_size:,} bytes instead of {size:,}",
        )
    return open(path, "rb", buffering=0)


def signature(file: BinaryIO | str) -> int:
    """A number that changes if a file is replaced or written to.

    Args:
        file: an open file, or a path.
    """
    status = os.stat(file if isinstance(file, str) else file.fileno())
    # 0 stands for a file that was never looked at.
    return hash((status.st_ino, status.st_size, status.st_mtime_ns)) or 1


def check_file(
    file: BinaryIO,
    directory: pathlib.Path,
    index: int,
    kind: str,
    settings: dict[str, Any],
    shard: dict[str, Any],
) -> None:
    """Reads all of a file, and compares it with the header.

    The checksum finds damage. A forged header can have the right checksum, so
    the numbers are looked at as well.

    Args:
        file: what `open_file` returned.
        directory: path of the store.
        index: int. The number of the shard.
        kind: str. A key of `ALL_KINDS`.
        settings: dict. The header of the store, or its settings.
        shard: dict. The header of the shard.

    Raises:
        ValueError: if the contents are others.
    """
    path = shard_path(directory, index, kind)
    dtype = type_of(kind, settings["dtype"])
    low, high, expected = _limits(kind, settings, shard)
    checksum, total, zeros, last = 0, 0, 0, -1
    outside = disorder = None
    while block := file.read(_BLOCK):
        checksum = zlib.crc32(block, checksum)
        values = np.frombuffer(block, dtype, len(block) // dtype.itemsize)
        least, most = int(values.min()), int(values.max())
        if least < low or most > high:
            outside = least if least < low else most
        total += int(values.sum(dtype="int64"))
        if kind == "lengths":
            zeros += int((values == 0).sum())
        if kind == "sentences":
            if values[0] <= last or (np.diff(values) <= 0).any():
                disorder = True
            last = int(values[-1])
    if f"{checksum:08x}" != shard["checksums"][kind]:
        damaged(
            directory,
            path,
            f"has the checksum {checksum:08x} instead of "
            f"{shard['checksums'][kind]}",
        )
    if outside is not None:
        damaged(directory, path, f"holds {outside}, not in [{low}, {high}]")
    if disorder:
        damaged(directory, path, "holds numbers that do not ascend")
    if expected is not None and total != expected:
        damaged(directory, path, f"has the sum {total:,}, not {expected:,}")
    if kind == "lengths" and zeros != shard["empty"]:
        damaged(
            directory,
            path,
            f"has {zeros:,} empty documents, not {shard['empty']:,}",
        )


def _limits(kind, settings, shard):
    """The least and greatest number of a file, and their sum or `None`."""
    highest_id = settings["vocabulary_size"] - 1
    return {
        "ids": (0, highest_id, shard["id_sum"]),
        "lengths": (0, shard["tokens"], shard["tokens"]),
        "sentences": (0, shard["tokens"] - 1, None),
        "alternates": (0, highest_id, shard["alternate_id_sum"]),
        "alternate_lengths": (
            1,
            shard["alternate_tokens"],
            shard["alternate_tokens"],
        ),
        "alternate_counts": (
            0,
            shard["most_alternates"],
            shard["alternates"],
        ),
    }[kind]


def damaged(directory: pathlib.Path, path: pathlib.Path, why: str) -> NoReturn:
    """Raises the error of a file whose contents are wrong."""
    raise ValueError(_words(directory, path, why))


def _missing(directory: pathlib.Path, path: pathlib.Path, why: str) -> NoReturn:
    raise FileNotFoundError(_words(directory, path, why))


def _words(directory, path, why):
    return (
        f"The token store {directory} is damaged: {path.name} {why}. {REPAIR}"
    )
