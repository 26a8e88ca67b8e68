"""A corpus: how often it is read, and what it says of itself."""

import warnings

import pytest

from keras_dinolm.data import Corpus
from keras_dinolm.data import Document
from keras_dinolm.data import read_text

pytestmark = pytest.mark.once


class Counted(Corpus):
    """Counts its passes."""

    def __init__(self, size=3):
        super().__init__("counted")
        self.size = size
        self.passes = 0

    def _read(self, dropped):
        self.passes += 1
        for index in range(self.size):
            dropped["things"] += 1
            yield Document(str(index))


def test_lists_are_made_by_one_pass():
    for make in (list, tuple, sorted, lambda c: [*c], lambda c: c[:0] + [*c]):
        corpus = Counted()
        try:
            made = make(corpus)
        except TypeError:  # documents have no order, and no slices
            continue
        assert len(made) == 3 and corpus.passes == 1


def test_the_length_reads_once_and_is_kept():
    corpus = Counted()
    assert (len(corpus), len(corpus), corpus.passes) == (3, 3, 1)
    assert bool(corpus) and not Counted(0)


def test_passes_at_the_same_time_keep_their_counts():
    corpus = Counted()
    pairs = list(zip(corpus, corpus))
    assert len(pairs) == 3
    list(corpus)
    assert (corpus.count, corpus.dropped) == (3, {"things": 3})
    next(iter(corpus))
    assert (corpus.count, corpus.dropped) == (3, {"things": 3})


def test_a_file_that_changes_is_reported_again(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\ntwo\xff\n")
    corpus = read_text(path, split="line")
    with pytest.warns(UserWarning, match="Read 1 document from 1 file"):
        list(corpus)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(corpus)
    path.write_bytes(b"one\ntwo\xff\nthree\n")
    with pytest.warns(UserWarning, match="Read 2 documents"):
        assert [d.text for d in corpus] == ["one", "three"]
    assert len(corpus) == 2
    path.unlink()
    with pytest.raises(FileNotFoundError, match="a.txt"):
        list(corpus)


@pytest.mark.parametrize("field", ["text", "id", "label", "module"])
@pytest.mark.parametrize("value", [None, 3, float("nan"), b"a"])
def test_fields_of_a_document_are_strings(field, value):
    with pytest.raises(ValueError, match=f"`{field}` of a document"):
        Document(**{"text": "a", field: value})
