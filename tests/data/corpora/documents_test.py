"""Every kind of item becomes a document, or an error says why not."""

import pytest

from keras_dinolm.data.corpora.document import Document
from keras_dinolm.data.corpora.documents import to_documents

pytestmark = pytest.mark.once


def test_every_kind_of_item_becomes_a_document():
    items = ["a", Document("b", "x"), {"text": "c", "id": 3, "label": "l"}]
    documents = list(to_documents(items))
    assert [d.text for d in documents] == ["a", "b", "c"]
    assert [d.id for d in documents] == ["0", "x", "3"]
    assert documents[2].label == "l"


@pytest.mark.parametrize("corpus", ["text", b"text", {"text": "a"}, 3])
def test_one_text_is_not_a_corpus(corpus):
    with pytest.raises(ValueError, match="iterable of documents"):
        list(to_documents(corpus))


def test_a_strange_item_is_named_with_its_place():
    with pytest.raises(ValueError, match=r"index 1: \['b'\].*list"):
        list(to_documents(["a", ["b"]]))


def test_a_table_is_not_a_corpus():
    class DataFrame:
        columns = ("text", "label")

        def __iter__(self):
            return iter(self.columns)

    with pytest.raises(ValueError, match="DataFrame with.*'text', 'label'"):
        list(to_documents(DataFrame()))
