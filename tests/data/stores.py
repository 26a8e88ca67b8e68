"""Texts, token stores and batches for the tests of this room."""

import keras
import numpy as np

import keras_dinolm as kd

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def prose(seed, words=60):
    """A text that shares no word triple with that of another seed."""
    generator = np.random.default_rng(seed)
    return " ".join(
        "".join(generator.choice(list("abcdefghij"), 6)) for _ in range(words)
    )


def word_tokenizer(words):
    """A tokenizer of whole words, with ids from 5 on."""
    return kd.models.DinoLMTokenizer([*SPECIALS, *words])


def build_store(texts, tokenizer, directory, **options):
    """Tokenizes in this process, without a progress bar."""
    options = {"num_workers": 0, "show_progress": False, **options}
    return kd.data.tokenize(texts, tokenizer, directory, **options)


class Windows:
    """Takes the place of `TextViews`, and returns the windows as they are."""

    sequence_length = 17

    def __call__(self, windows, seed, step):
        return windows


def take(dataset, count):
    """The first batches of a dataset, as NumPy arrays."""
    return [
        keras.tree.map_structure(np.asarray, batch)
        for batch, _ in zip(dataset, range(count))
    ]


def assert_equal(one, other):
    """Two batches are equal to the bit."""

    def check(a, b):
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_array_equal(a, b)

    keras.tree.assert_same_structure(one, other)
    keras.tree.map_structure(check, one, other)
