"""Splitting texts into words in TensorFlow graph ops.

The result is that of `normalize(...).split()`, so that a tokenizer gives the
same ids inside a `tf.data` pipeline and outside of it.
"""

import functools

import numpy as np
import tensorflow as tf

from keras_dinolm.text.long_words import ANY_LONG_WORD
from keras_dinolm.text.long_words import LONG_WORD
from keras_dinolm.text.normalization import IDEOGRAPHS
from keras_dinolm.text.normalization import NUM_CODE_POINTS
from keras_dinolm.text.normalization import exceptions
from keras_dinolm.text.syllables import FINAL
from keras_dinolm.text.syllables import SYLLABLE
from keras_dinolm.typing import Tensor

_PAGE = 256


def split_words(
    inputs: Tensor, lowercase: bool, strip_accents: bool
) -> tuple[Tensor, bool]:
    """Splits texts into the words that `normalize(...).split()` gives.

    Args:
        inputs: string tensor of rank 0 or 1 (or what converts to one).
        lowercase: bool.
        strip_accents: bool.

    Returns:
        A ragged tensor of words, `[texts, (words)]`, and whether `inputs` was
        a single text.

    Raises:
        ValueError: if the rank is unknown or above 1.
    """
    texts = tf.convert_to_tensor(inputs)
    if texts.shape.rank not in (0, 1):
        raise ValueError(
            "`inputs` must be a string tensor of rank 0 or 1. "
            f"Received: shape {texts.shape}"
        )
    unbatched = texts.shape.rank == 0
    if unbatched:
        texts = texts[None]
    pages, deltas, kinds = (
        tf.constant(table) for table in _tables(lowercase, strip_accents)
    )
    points = tf.strings.unicode_decode(texts, "UTF-8", errors="replace")
    code = points.flat_values
    entry = tf.gather(pages, code // _PAGE) * _PAGE + code % _PAGE
    code = code + tf.gather(deltas, entry)
    kind = tf.gather(kinds, entry)
    # Each character becomes three: a space before it, itself, a space after
    # it. A zero means that this one is left out.
    space = tf.where(kind == _ALONE, ord(" "), 0)
    triple = tf.stack([space, tf.where(kind == _GONE, 0, code), space], 1)
    triple = points.with_flat_values(triple).merge_dims(1, 2)
    triple = tf.ragged.boolean_mask(triple, triple != 0)
    text = tf.strings.unicode_encode(triple, "UTF-8")
    text = tf.strings.regex_replace(text, SYLLABLE, r" \0 ")
    text = tf.strings.regex_replace(text, FINAL, r"\1\2 ")
    # This pattern is slow, and few texts have a long word.
    rows = tf.where(tf.strings.regex_full_match(text, f".*{ANY_LONG_WORD}.*"))
    cut = tf.strings.regex_replace(tf.gather_nd(text, rows), LONG_WORD, r"\0 ")
    text = tf.tensor_scatter_nd_update(text, rows, cut)
    return tf.strings.split(text), unbatched


_PLAIN, _GONE, _ALONE = range(3)


@functools.cache
def _tables(lowercase, strip_accents):
    """The `replacement_table` as arrays.

    Code points come in pages of 256. Most pages are equal, so each distinct
    page is stored once.

    Returns:
        Three int32 arrays: the page of each high part of a code point; what
        to add to a code point, for each entry of the distinct pages; and the
        kind of each entry.
    """
    deltas = np.zeros(NUM_CODE_POINTS, dtype="int32")
    kinds = np.full(NUM_CODE_POINTS, _PLAIN, dtype="int32")
    for low, high in IDEOGRAPHS:
        kinds[low : high + 1] = _ALONE
    for code, replacement in exceptions(lowercase, strip_accents):
        if replacement == "":
            kinds[code] = _GONE
        else:
            if len(replacement) == 3:
                kinds[code] = _ALONE
            deltas[code] = ord(replacement[len(replacement) // 2]) - code
    both = np.concatenate(
        [deltas.reshape(-1, _PAGE), kinds.reshape(-1, _PAGE)], axis=1
    )
    distinct, pages = np.unique(both, axis=0, return_inverse=True)
    return (
        pages.reshape(-1).astype("int32"),
        distinct[:, :_PAGE].reshape(-1),
        distinct[:, _PAGE:].reshape(-1),
    )
