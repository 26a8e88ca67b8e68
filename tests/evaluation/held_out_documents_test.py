"""Tasks that a corpus gives by itself."""

import numpy as np
import pytest

from keras_dinolm.data import Document
from keras_dinolm.evaluation import HeldOutDocuments
from keras_dinolm.evaluation import first_sentence

WORDS = [f"word{i}" for i in range(12)]


def document(i, label=None):
    text = f"This sentence is about {WORDS[i]}. " + f"It is {WORDS[i]}. " * 12
    return Document(text, label=WORDS[i] if label is None else label)


def counts(texts):
    return np.array([[text.count(f"{w}.") for w in WORDS] for text in texts])


def test_a_perfect_encoder_finds_everything():
    documents = [document(i) for i in range(12)]
    held_out = HeldOutDocuments(documents, documents)
    assert held_out.evaluate(counts) == {"nDCG@10": 1.0, "k-NN": 1.0}


def test_without_different_labels_there_is_search_alone():
    documents = [document(i, "same") for i in range(12)]
    for train in (None, documents):
        scores = HeldOutDocuments(documents, train).evaluate(counts)
        assert scores == {"nDCG@10": 1.0}


def test_the_draw_is_that_of_the_seed_and_its_sizes_are_limits():
    documents = [document(i) for i in range(12)]

    def draw(seed):
        made = HeldOutDocuments(documents, documents, 5, 7, seed)
        return made.queries, [d.text for d in made.train]

    queries, train = draw(0)
    assert len(queries) == 5 and len(train) == 7
    assert draw(0) == draw(0) != draw(1)


def test_a_sentence_ends_with_a_full_stop_or_with_its_paragraph():
    rest = "x" * 100
    first = "Twenty letters or so"
    assert first_sentence(f"{first}.  {rest}") == (f"{first}.", rest)
    assert first_sentence(f"{first}\n \n{rest}") == (first, rest)
    assert first_sentence(f"{first} {rest}") is None
    assert first_sentence(f"Short. {rest}") is None
    assert first_sentence(f"{first}. {rest[1:]}") is None
    assert first_sentence(f"{first * 20}. {rest}") is None


def test_a_corpus_of_short_texts_is_refused():
    with pytest.raises(ValueError, match="20 to 300 characters"):
        HeldOutDocuments([Document("too short")])


def test_copies_count_once():
    """Else a search that finds the other copy is marked as wrong."""
    documents = [document(i % 12) for i in range(36)]
    held_out = HeldOutDocuments(documents)
    assert sorted(held_out.texts) == sorted(set(held_out.texts))
    assert len(held_out.texts) == 12
    assert held_out.evaluate(counts) == {"nDCG@10": 1.0}
