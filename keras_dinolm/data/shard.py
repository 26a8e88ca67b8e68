"""One shard of a token store: how it is made, written and read."""

import hashlib
import json
import pathlib
from typing import Any

import numpy as np

from keras_dinolm.data.paths import write_atomically
from keras_dinolm.text.encoder import Encoder
from keras_dinolm.text.sentences import split_sentences
from keras_dinolm.typing import Path


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


def shard_paths(directory: Path, index: int) -> list[pathlib.Path]:
    """Paths of a shard's files: ids, lengths, sentence starts, header."""
    return _paths(directory, index, ".ids", ".lengths", ".sentences", ".json")


def alternates_paths(directory: Path, index: int) -> list[pathlib.Path]:
    """Paths of a shard's alternates: ids, lengths, how many a document has.

    The files are there if any document of the corpus has alternates.
    """
    endings = (".alternates", ".alternate_lengths", ".alternate_counts")
    return _paths(directory, index, *endings)


def _paths(directory, index, *endings):
    stem = pathlib.Path(directory) / f"shard-{index:05d}"
    return [stem.with_name(stem.name + ending) for ending in endings]


def write_shard(
    encoder: Encoder,
    directory: Path,
    dtype: str,
    fingerprint: str,
    index: int,
    texts: list[str],
    alternates: list[tuple[str, ...]] | None = None,
) -> dict[str, Any]:
    """Tokenizes texts and writes them as a shard.

    The header comes last, so a shard with a header is complete.

    Args:
        encoder: an `Encoder`.
        directory: the folder of the store.
        dtype: `"uint16"` or `"uint32"`.
        fingerprint: str. That of the tokenizer.
        index: int. The number of the shard.
        texts: list of str.
        alternates: list of tuples of str, those of each text, or `None` if
            there are none. Those without a token are left out.

    Returns:
        The header, a dict.
    """
    sentences, counts = [], []
    for text in texts:
        pieces = split_sentences(text)
        sentences.extend(pieces)
        counts.append(len(pieces))
    rows = encoder(sentences)
    sentence_lengths = np.array([len(row) for row in rows], dtype="int64")
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
    if len(ids) + len(other_ids) >= 1 << 31:
        raise ValueError(
            f"Shard {index} has {len(ids) + len(other_ids):,} tokens; the "
            "limit is 2**31. Lower `shard_characters`, or split the longest "
            "document."
        )
    owner = np.repeat(np.arange(len(texts)), counts)
    lengths = np.zeros(len(texts), dtype="int64")
    np.add.at(lengths, owner, sentence_lengths)
    # A sentence without a token (only spaces) starts nothing.
    starts = np.cumsum(sentence_lengths) - sentence_lengths
    starts = starts[sentence_lengths > 0]
    *paths, header_path = shard_paths(directory, index)
    _write(paths, ids, lengths, starts)
    header = {
        "fingerprint": fingerprint,
        "digest": digest_texts(texts, alternates),
        "documents": len(texts),
        "empty": int((lengths == 0).sum()),
        "distinct": len(set(texts)),
        "tokens": len(ids),
        "unknown": int((ids == encoder.unknown_id).sum()),
        "sentences": len(starts),
    }
    if others:
        per_document = np.bincount(owners, minlength=len(texts))
        _write(
            alternates_paths(directory, index),
            other_ids,
            [len(row) for row in others],
            per_document,
        )
        header |= {
            "alternates": len(others),
            "alternate_tokens": len(other_ids),
            "alternate_unknown": int((other_ids == encoder.unknown_id).sum()),
            "most_alternates": int(per_document.max()),
        }
    with write_atomically(header_path) as file:
        file.write(json.dumps(header).encode())
    return header


def write_no_alternates(
    directory: Path, index: int, dtype: str, documents: int
) -> None:
    """Writes the files of a shard without alternates in a corpus with some."""
    paths = alternates_paths(directory, index)
    if not all(path.exists() for path in paths):
        _write(paths, np.zeros(0, dtype), [], np.zeros(documents))


def _joined(rows, dtype):
    return np.concatenate(
        [np.zeros(0, dtype), *(np.array(row, dtype) for row in rows)]
    )


def _write(paths, ids, *integers):
    arrays = [ids, *(np.asarray(array, "<i4") for array in integers)]
    for path, array in zip(paths, arrays, strict=True):
        with write_atomically(path) as file:
            file.write(array.astype(array.dtype.newbyteorder("<")).tobytes())


def read_header(directory: Path, index: int) -> dict[str, Any] | None:
    """Reads the header of a complete shard, or returns `None`."""
    *_, path = shard_paths(directory, index)
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
