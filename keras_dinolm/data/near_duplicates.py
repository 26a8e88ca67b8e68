"""Finding texts that are nearly the same.

Two texts are near duplicates if the sets of their word triples overlap: their
Jaccard similarity (shared over all triples) reaches a threshold. MinHash with
banding finds candidates, the exact similarity decides, so nothing is dropped
by chance.

Libraries such as `datasketch` hash one document at a time in Python, which
takes minutes for the 35,000 documents of `installed_docs`. Here NumPy hashes
all of them together in seconds, and the whole method is this file.

Reference:
    [Broder, 1997](https://ieeexplore.ieee.org/document/666900)
"""

import zlib

import numpy as np

from keras_dinolm import arguments
from keras_dinolm.data.corpora.documents import progress
from keras_dinolm.text.ngrams import hash_ngrams
from keras_dinolm.text.ngrams import split_words

_TRIPLE = 3
# 32 bands of 3 rows: a pair of similarity 0.5 becomes a candidate with
# probability 0.986, one of 0.6 with 0.9996, one of 0.1 with 0.03.
_BANDS = 32
_ROWS = 3


def find_near_duplicates(
    texts: list[str], threshold: float = 0.5, show_progress: bool = False
) -> list[int | None]:
    """For each text, the earlier text that makes it superfluous.

    Texts are taken in order. One is superfluous if it is a near duplicate of
    an earlier one that is not superfluous itself. So what is kept has no near
    duplicates, and the first of similar texts is the one that stays.

    Args:
        texts: list of str, or a column of a table.
        threshold: float in (0, 1]. Jaccard similarity of the sets of word
            triples from which texts count as near duplicates. Defaults to
            `0.5`.
        show_progress: bool. Whether to show a progress bar. Defaults to
            `False`.

    Returns:
        A list: the index of the earlier text, or `None` for texts to keep.

    Raises:
        ValueError: if `threshold` is out of range, or `texts` holds something
            else.

    Example:

    ```python
    import keras_dinolm as kd

    texts = ["one two three four five", "a b c d", "one two three four six"]
    kd.data.find_near_duplicates(texts)  # [None, None, 0]
    ```
    """
    threshold = arguments.number("threshold", threshold, high=1, above=0)
    show_progress = arguments.flag("show_progress", show_progress)
    texts = arguments.strings("texts", texts)
    sets = [_triples(text) for text in texts]
    bands = _band_hashes(sets)
    kept: dict[int, list[int]] = {}
    original: list[int | None] = [None] * len(texts)
    order = range(len(texts))
    for i in progress(order, "Near duplicates", show_progress, sets):
        keys = bands[i].tolist()
        tried = set()
        for key in keys:
            for j in kept.get(key, ()):
                if j not in tried:
                    tried.add(j)
                    if _jaccard(sets[i], sets[j]) >= threshold:
                        original[i] = j
                        break
            if original[i] is not None:
                break
        else:
            for key in keys:
                kept.setdefault(key, []).append(i)
    return original


def _triples(text):
    """The sorted distinct hashes of the word triples of a text."""
    words = split_words(text)
    if len(words) < _TRIPLE:
        # Too short for a triple: only the very same words are equal.
        return np.array([zlib.crc32(repr(words).encode())], dtype="uint64")
    return np.unique(hash_ngrams(words, _TRIPLE))


def _jaccard(a, b):
    if min(len(a), len(b)) == 0:
        return 0.0
    shared = len(np.intersect1d(a, b, assume_unique=True))
    return shared / (len(a) + len(b) - shared)


def _band_hashes(sets):
    """MinHash signatures, folded to one number per band: uint64 [N, bands]."""
    if not sets:
        return np.zeros((0, _BANDS), dtype="uint64")
    generator = np.random.default_rng(0)
    starts = np.cumsum([0] + [len(s) for s in sets[:-1]])
    everything = np.concatenate(sets)
    result = np.empty((len(sets), _BANDS), dtype="uint64")
    for band in range(_BANDS):
        folded = np.full(len(sets), band, dtype="uint64")
        for _ in range(_ROWS):
            odd = generator.integers(1, 1 << 63, dtype="uint64") | np.uint64(1)
            # Multiply-shift hashing: the high bits of the wrapped product.
            hashes = (everything * odd) >> np.uint64(16)
            smallest = np.minimum.reduceat(hashes, starts)
            folded = (folded ^ smallest) * np.uint64(0x94D049BB133111EB)
            folded ^= folded >> np.uint64(31)
        result[:, band] = folded
    return result
