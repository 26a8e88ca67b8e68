"""Word n-grams as 64-bit numbers, by which copies are recognised."""

import functools
import re
import zlib

import numpy as np

_WORD = re.compile(r"[^\W_]+")


def split_words(text: str) -> list[str]:
    """The words of a text in lower case, without any punctuation."""
    return _WORD.findall(text.lower())


def hash_ngrams(words: list[str], n: int) -> np.ndarray:
    """Hashes each run of n words, in the order of the text.

    Args:
        words: list of str.
        n: int, at least 1.

    Returns:
        uint64 `[max(len(words) - n + 1, 0)]`.
    """
    count = len(words) - n + 1
    if count < 1:
        return np.zeros(0, dtype="uint64")
    hashes = np.array([_hash_word(word) for word in words], dtype="uint64")
    mixed = np.zeros(count, dtype="uint64")
    for offset in range(n):
        mixed = mixed * np.uint64(0x9E3779B97F4A7C15)
        mixed += hashes[offset : offset + count]
        mixed ^= mixed >> np.uint64(29)
    return mixed * np.uint64(0xBF58476D1CE4E5B9)


@functools.lru_cache(maxsize=1 << 18)
def _hash_word(word):
    return zlib.crc32(word.encode("utf-8", "replace"))
