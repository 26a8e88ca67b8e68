"""`find_near_duplicates`: exact, and in the order of the texts."""

import numpy as np
import pytest

from keras_dinolm.data.near_duplicates import find_near_duplicates
from tests.data.stores import prose

pytestmark = pytest.mark.once


def test_what_is_kept_has_no_near_duplicate():
    texts, sources = [], []
    generator = np.random.default_rng(0)
    for source in range(40):
        words = prose(source).split()
        for _ in range(3):
            copy = list(words)
            for place in generator.choice(len(words), 2, replace=False):
                copy[place] = "changed"
            texts.append(" ".join(copy))
            sources.append(source)
    originals = find_near_duplicates(texts, threshold=0.5)
    kept = [i for i, original in enumerate(originals) if original is None]
    assert kept == list(range(0, 120, 3))
    for i, original in enumerate(originals):
        assert original is None or sources[i] == sources[original]


def test_threshold_is_the_exact_similarity():
    # 18 triples, of which a text with another last word shares 17: 17 / 19.
    words = prose(1, words=20).split()
    texts = [" ".join(words), " ".join([*words[:-1], "other"])]
    assert find_near_duplicates(texts, 17 / 19) == [None, 0]
    assert find_near_duplicates(texts, 17 / 19 + 1e-6) == [None, None]


def test_short_and_empty_texts_are_compared_whole():
    texts = ["", "two words", "two words", "two others", ""]
    assert find_near_duplicates(texts) == [None, None, 1, None, 0]
    assert find_near_duplicates([]) == []


@pytest.mark.parametrize("threshold", [0, 1.5, float("nan"), "0.5"])
def test_a_wrong_threshold_is_an_error(threshold):
    with pytest.raises(ValueError, match="`threshold` must be .* above 0"):
        find_near_duplicates([], threshold)
