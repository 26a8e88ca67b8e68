"""Copies, against Jaccard similarities of sets of strings."""

import re

import numpy as np
import pytest

import keras_dinolm as kd

pytestmark = pytest.mark.once


def jaccard(one, other):
    """The exact similarity, of triples as strings."""

    def triples(text):
        words = re.sub(r"[\W_]+", " ", text.lower()).split()
        return {" ".join(words[i : i + 3]) for i in range(len(words) - 2)}

    a, b = triples(one), triples(other)
    return len(a & b) / len(a | b)


def make_texts(count, generator):
    """Originals and copies with more and more words replaced."""
    vocabulary = [f"word{i}" for i in range(2_000)]
    texts = []
    for number in range(count):
        words = list(generator.choice(vocabulary, 60))
        texts.append(" ".join(words))
        for share in (0.02, 0.05, 0.1, 0.2):
            copy = [
                "Other!" if generator.random() < share else word
                for word in words
            ]
            texts.append(f"{' '.join(copy)} the end{number}")
    return [texts[i] for i in generator.permutation(len(texts))]


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_what_goes_is_near_to_what_stays(threshold):
    texts = make_texts(30, np.random.default_rng(0))
    report = kd.curation.find_duplicates(texts, threshold, False)
    kept = set(report.kept.tolist())
    originals = report.details["originals"]
    assert sorted(originals) == report.removed.tolist()
    assert len(originals) > 20
    for index, original in originals.items():
        assert original in kept and original < index
        assert jaccard(texts[index], texts[original]) >= threshold
    # What MinHash misses of those at 0.5 is one in seventy.
    kept = sorted(kept)
    pairs = [
        jaccard(texts[a], texts[b])
        for place, a in enumerate(kept)
        for b in kept[:place]
    ]
    missed = sum(similarity >= threshold for similarity in pairs)
    assert missed <= (2 if threshold == 0.5 else 0)


def test_exact_copies_differ_in_white_space_alone():
    texts = ["A b c d e f g", "A b c\n d e f  g ", "a b c d e f g", "A b c d"]
    report = kd.curation.find_duplicates(texts, show_progress=False)
    assert report.counts == {"exact copy": 1, "near copy": 1}
    assert report.details["originals"] == {1: 0, 2: 0}


def test_an_exact_copy_of_a_near_copy_has_their_original():
    words = [f"w{i}" for i in range(30)]
    near = " ".join([*words[:-1], "other"])
    texts = [" ".join(words), near, "some thing else", near]
    report = kd.curation.find_duplicates(iter(texts), show_progress=False)
    assert report.details["originals"] == {1: 0, 3: 0}
    assert report.rules["near copy"].tolist() == [1]
    assert report.rules["exact copy"].tolist() == [3]


def test_empty_texts_and_no_texts():
    report = kd.curation.find_duplicates(["", " ", "a"], show_progress=False)
    assert report.kept.tolist() == [0, 2]
    assert kd.curation.find_duplicates([], show_progress=False).total == 0


@pytest.mark.parametrize("threshold", [0.4, 0, 1.1])
def test_a_threshold_that_would_miss_pairs_is_refused(threshold):
    with pytest.raises(ValueError, match=f"0.5, 1.*threshold={threshold}"):
        kd.curation.find_duplicates(["a"], threshold)
