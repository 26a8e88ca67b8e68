"""The files of teacher features: how they are named, written and checked.

A shard holds the features of some documents: `shard-00000.pooled`, one row a
document; `shard-00000.tokens`, one row a token, if there are any; and
`shard-00000.json`, which is written last, so that a shard with it is whole.
"""

import pathlib
from typing import Any

import numpy as np

from keras_dinolm import files
from keras_dinolm.data.store_check import shard_path
from keras_dinolm.data.store_header import checksum_of

KIND = "teacher features"
SETTINGS = "settings.json"
FORMAT = 1
DTYPE = np.dtype("<f2")
PATTERNS = (SETTINGS, "shard-*")
_COUNTS = ("documents", "tokens", "cut", "uncovered")
_REPAIR = (
    "Call `keras_dinolm.data.teacher_features` again with the same arguments: "
    "it computes what is damaged again. Or remove the folder."
)


def read_settings(directory: pathlib.Path) -> dict[str, Any]:
    """Reads what teacher features are of.

    Args:
        directory: path of the folder.

    Returns:
        A dict.

    Raises:
        FileNotFoundError: if there are none.
        ValueError: if the file is damaged, or of another version.
    """
    path = directory / SETTINGS
    if not path.is_file():
        raise FileNotFoundError(
            f"No teacher features in {directory}. Compute them with "
            "`keras_dinolm.data.teacher_features(teacher, texts, tokens, "
            f"{str(directory)!r})`."
        )
    value = files.read_json(path, "settings file", _REPAIR)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ValueError(
            f"{path} is not the settings of teacher features of format "
            f"{FORMAT}. {_REPAIR}"
        )
    numbers = ("dim", "seed", "num_documents", "shard_documents")
    if not all(
        type(value.get(name)) is int and value[name] >= 0 for name in numbers
    ) or not all(
        isinstance(value.get(name), str) for name in ("teacher", "store")
    ):
        raise ValueError(f"{path} is damaged. {_REPAIR}")
    return value


def write_shard(
    directory: pathlib.Path,
    index: int,
    pooled: np.ndarray,
    tokens: np.ndarray | None,
    counts: dict[str, int],
) -> dict[str, Any]:
    """Writes the features of some documents.

    Args:
        directory: path of the folder.
        index: int. The number of the shard.
        pooled: float16 `[documents, dim]`.
        tokens: float16 `[tokens, dim]`, or `None`.
        counts: dict. What else the header says.

    Returns:
        The header of the shard, a dict.
    """
    # An old header is not that of the new files.
    files.remove(shard_path(directory, index, "json"))
    arrays = (
        {"pooled": pooled}
        if tokens is None
        else {
            "pooled": pooled,
            "tokens": tokens,
        }
    )
    checksums = {}
    for kind, array in arrays.items():
        data = np.ascontiguousarray(array, dtype=DTYPE).tobytes()
        path = shard_path(directory, index, kind)
        with files.write_file(path, size=len(data)) as file:
            file.write(data)
        checksums[kind] = checksum_of(data)
    header = {
        "documents": len(pooled),
        "tokens": 0 if tokens is None else len(tokens),
        **counts,
        "checksums": checksums,
    }
    files.write_json(shard_path(directory, index, "json"), header)
    return header


def read_shard(
    directory: pathlib.Path, index: int, dim: int, contents: bool = True
) -> dict[str, Any] | None:
    """Reads the header of a shard, and compares its files with it.

    Args:
        directory: path of the folder.
        index: int. The number of the shard.
        dim: int. Size of the features.
        contents: bool. Whether to compare checksums, too.

    Returns:
        The header; `None` if there is no such shard.

    Raises:
        ValueError: if the header or a file is damaged.
    """
    path = shard_path(directory, index, "json")
    if not path.is_file():
        return None
    header = files.read_json(path, "header of a shard", _REPAIR)
    ok = isinstance(header, dict) and all(
        type(header.get(name)) is int and header[name] >= 0 for name in _COUNTS
    )
    checksums = header.get("checksums") if ok else None
    if not isinstance(checksums, dict) or not header["documents"]:
        raise ValueError(f"{path} is damaged. {_REPAIR}")
    rows = {"pooled": header["documents"], "tokens": header["tokens"]}
    for kind, checksum in checksums.items():
        file = shard_path(directory, index, kind)
        size = rows[kind] * dim * DTYPE.itemsize if kind in rows else -1
        if not file.is_file() or file.stat().st_size != size:
            raise ValueError(
                f"{file} is missing or has a wrong size. {_REPAIR}"
            )
        if contents and checksum_of(file.read_bytes()) != checksum:
            raise ValueError(f"{file} is damaged: wrong checksum. {_REPAIR}")
    return header
