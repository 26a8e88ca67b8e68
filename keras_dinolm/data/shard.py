"""One shard of a token store: how it is made, written and read."""

import hashlib
import json
import pathlib
import re

import numpy as np

from keras_dinolm.data.paths import write_atomically

# The end of a sentence is white space after a full stop (with closing quotes
# or brackets), or a blank line. Splitting only at white space leaves the ids
# of a text what they are without splitting.
_SENTENCE_END = re.compile(r"(?<=[.!?。！？])[\"'”’)\]]*\s+|\n\s*\n")


def split_sentences(text):
    """The sentences of a text; joined, they are the text."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    starts = [0, *ends]
    pieces = [text[a:b] for a, b in zip(starts, [*ends, len(text)])]
    return [piece for piece in pieces if piece]


def digest_texts(texts):
    """A hexadecimal digest of a list of texts, which tells them apart."""
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def shard_paths(directory, index):
    """Paths of a shard's files: ids, lengths, sentence starts, header."""
    stem = pathlib.Path(directory) / f"shard-{index:05d}"
    endings = (".ids", ".lengths", ".sentences", ".json")
    return [stem.with_name(stem.name + ending) for ending in endings]


def write_shard(encoder, directory, dtype, fingerprint, index, texts):
    """Tokenizes texts and writes them as a shard.

    The header comes last, so a shard with a header is complete.

    Args:
        encoder: an `Encoder`.
        directory: the folder of the store.
        dtype: `"uint16"` or `"uint32"`.
        fingerprint: str. That of the tokenizer.
        index: int. The number of the shard.
        texts: list of str.

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
    ids = np.concatenate(
        [np.zeros(0, dtype), *(np.array(row, dtype) for row in rows)]
    )
    if len(ids) >= 1 << 31:
        raise ValueError(
            f"Shard {index} has {len(ids):,} tokens; the limit is 2**31. "
            "Lower `shard_characters`, or split the longest document."
        )
    owner = np.repeat(np.arange(len(texts)), counts)
    lengths = np.zeros(len(texts), dtype="int64")
    np.add.at(lengths, owner, sentence_lengths)
    # A sentence without a token (only spaces) starts nothing.
    starts = np.cumsum(sentence_lengths) - sentence_lengths
    starts = starts[sentence_lengths > 0]
    arrays = (ids, lengths.astype("<i4"), starts.astype("<i4"))
    *paths, header_path = shard_paths(directory, index)
    for path, array in zip(paths, arrays):
        with write_atomically(path) as file:
            file.write(array.astype(array.dtype.newbyteorder("<")).tobytes())
    header = {
        "fingerprint": fingerprint,
        "digest": digest_texts(texts),
        "documents": len(texts),
        "empty": int((lengths == 0).sum()),
        "distinct": len(set(texts)),
        "tokens": len(ids),
        "unknown": int((ids == encoder.unknown_id).sum()),
        "sentences": len(starts),
    }
    with write_atomically(header_path) as file:
        file.write(json.dumps(header).encode())
    return header


def read_header(directory, index):
    """The header of a complete shard, or `None`."""
    *_, path = shard_paths(directory, index)
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
