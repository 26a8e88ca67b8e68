"""One shard of a token store: how it is made, written and read.

Files are written to a *scratch* folder inside the store, and moved from there
by the process that holds the lock of the store. So a worker that outlives its
parent changes nothing in the store.
"""

import hashlib
import os
import pathlib
from typing import Any

import numpy as np

from keras_dinolm import files
from keras_dinolm.data.store_check import check_file
from keras_dinolm.data.store_check import open_file
from keras_dinolm.data.store_check import shard_path
from keras_dinolm.data.store_check import type_of
from keras_dinolm.data.store_encoder import KerasHubEncoder
from keras_dinolm.data.store_encoder import encode_documents
from keras_dinolm.data.store_header import ALL_KINDS
from keras_dinolm.data.store_header import MOST
from keras_dinolm.data.store_header import check_shard
from keras_dinolm.data.store_header import checksum_of
from keras_dinolm.data.store_header import read_rendered
from keras_dinolm.data.store_header import render
from keras_dinolm.files.space import full_disk_named
from keras_dinolm.text.encoder import Encoder


def digest_texts(
    texts: list[str], alternates: list[tuple[str, ...]] | None = None
) -> str:
    """A hexadecimal digest of a list of texts.

    Args:
        texts: list of str.
        alternates: list of tuples of str, those of each text, or `None`.
    """
    digest = hashlib.blake2b(digest_size=16)

    def add(text, mark):
        data = text.encode("utf-8", "surrogatepass")
        # The mark tells the kind of text. No length reaches its bit.
        digest.update((len(data) | mark << 63).to_bytes(8, "little"))
        digest.update(data)

    for index, text in enumerate(texts):
        add(text, 0)
        for alternate in alternates[index] if alternates else ():
            add(alternate, 1)
    return digest.hexdigest()


def write_shard(
    encoder: Encoder | KerasHubEncoder,
    scratch: pathlib.Path,
    dtype: str,
    fingerprint: str,
    index: int,
    texts: list[str],
    alternates: list[tuple[str, ...]] | None = None,
) -> dict[str, Any]:
    """Tokenizes texts and writes them as a shard, with its header.

    Args:
        encoder: what `make_encoder` made.
        scratch: the folder to write to.
        dtype: `"uint16"` or `"uint32"`.
        fingerprint: str. That of the tokenizer.
        index: int. The number of the shard.
        texts: list of str.
        alternates: list of tuples of str, those of each text, or `None` if
            there are none. Those without a token are left out.

    Returns:
        The header, a dict.
    """
    rows, firsts = encode_documents(encoder, texts)
    ids = _joined(rows, dtype)
    owners, others = [], []
    if alternates:
        pairs = [
            (i, text) for i, some in enumerate(alternates) for text in some
        ]
        found = encoder([text for _, text in pairs])
        owners = [i for (i, _), row in zip(pairs, found) if row]
        others = [row for row in found if row]
    other_ids = _joined(others, dtype)
    # Positions count through a document and its alternates.
    if len(ids) + len(other_ids) > MOST:
        raise ValueError(
            f"Shard {index} has {len(ids) + len(other_ids):,} tokens; the "
            "limit is 2**31. Lower `shard_characters`, or split the longest "
            "document."
        )
    lengths = np.array([len(row) for row in rows], dtype="int64")
    before = np.cumsum(lengths) - lengths
    # A sentence without a token (only spaces) starts nothing.
    starts = np.concatenate(
        [np.zeros(0, "int64"), *(a + b for a, b in zip(firsts, before))]
    )
    header = {
        "fingerprint": fingerprint,
        "digest": digest_texts(texts, alternates),
        "documents": len(texts),
        "empty": int((lengths == 0).sum()),
        "distinct": len(set(texts)),
        "tokens": len(ids),
        "unknown": int((ids == encoder.unknown_id).sum()),
        "id_sum": int(ids.sum(dtype="int64")),
        "sentences": len(starts),
        "alternates": len(others),
        "alternate_tokens": len(other_ids),
        "alternate_unknown": int((other_ids == encoder.unknown_id).sum()),
        "alternate_id_sum": int(other_ids.sum(dtype="int64")),
        "most_alternates": 0,
    }
    arrays = {"ids": ids, "lengths": lengths, "sentences": starts}
    if others:
        per_document = np.bincount(owners, minlength=len(texts))
        header["most_alternates"] = int(per_document.max())
        arrays |= {
            "alternates": other_ids,
            "alternate_lengths": [len(row) for row in others],
            "alternate_counts": per_document,
        }
    header["checksums"] = _write_arrays(scratch, index, dtype, arrays)
    write_header(scratch, index, header)
    return header


def write_no_alternates(
    scratch: pathlib.Path, index: int, dtype: str, header: dict[str, Any]
) -> dict[str, Any]:
    """Writes the files of a shard without alternates in a corpus with some.

    Args:
        scratch: the folder to write to.
        index: int. The number of the shard.
        dtype: `"uint16"` or `"uint32"`.
        header: dict. The header of the shard.

    Returns:
        The new header, a dict.
    """
    arrays = {
        "alternates": [],
        "alternate_lengths": [],
        "alternate_counts": np.zeros(header["documents"]),
    }
    checksums = _write_arrays(scratch, index, dtype, arrays)
    header = {**header, "checksums": header["checksums"] | checksums}
    write_header(scratch, index, header)
    return header


def write_header(
    scratch: pathlib.Path, index: int, header: dict[str, Any]
) -> None:
    """Writes the header of a shard."""
    _write(shard_path(scratch, index, "json"), render(header))


def move_shard(
    scratch: pathlib.Path, directory: pathlib.Path, index: int
) -> None:
    """Moves what was written of a shard to its place.

    The header comes last, so that a shard with a header is complete. An old
    header goes first, as it is not that of the new files.
    """
    shard_path(directory, index, "json").unlink(missing_ok=True)
    for kind in (*ALL_KINDS, "json"):
        path = shard_path(scratch, index, kind)
        if path.exists():
            os.replace(path, shard_path(directory, index, kind))
    files.folder_to_disk(directory)


def _joined(rows, dtype):
    return np.concatenate(
        [np.zeros(0, dtype), *(np.array(row, dtype) for row in rows)]
    )


def _write_arrays(scratch, index, dtype, arrays):
    """Writes arrays by kind; returns their checksums by kind."""
    checksums = {}
    for kind, array in arrays.items():
        data = np.asarray(array).astype(type_of(kind, dtype)).tobytes()
        _write(shard_path(scratch, index, kind), data)
        checksums[kind] = checksum_of(data)
    return checksums


def _write(path, data):
    """Writes a file to the scratch folder, which nobody reads before the end.

    The folder is never made here: if it is gone, so is the parent process.
    """
    files.require_space(path.parent, len(data), f"'{path.name}'")
    with full_disk_named(path), open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def read_shard_header(
    directory: pathlib.Path, index: int
) -> dict[str, Any] | None:
    """Reads the header of a shard.

    Returns:
        The header, a dict; `None` if there is none.

    Raises:
        ValueError: if it is damaged.
    """
    path = shard_path(directory, index, "json")
    try:
        return check_shard(read_rendered(path), path)
    except FileNotFoundError:
        return None


def check_shard_files(
    directory: pathlib.Path,
    index: int,
    settings: dict[str, Any],
    header: dict[str, Any],
) -> None:
    """Compares the files of a shard with its header.

    Args:
        directory: path of the store.
        index: int. The number of the shard.
        settings: dict. The settings of the store.
        header: dict. The header of the shard.

    Raises:
        FileNotFoundError: if a file is missing or has the wrong size.
        ValueError: if it holds something else.
    """
    for kind in header["checksums"]:
        arguments = directory, index, kind, settings, header
        with open_file(*arguments) as file:
            check_file(file, *arguments)
