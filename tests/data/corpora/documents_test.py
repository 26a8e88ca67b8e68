"""Every kind of item becomes a document, or an error says why not."""

import pathlib

import numpy as np
import pytest

from keras_dinolm.data import stream_dataset
from keras_dinolm.data import train_tokenizer
from keras_dinolm.data.corpora.document import Document
from keras_dinolm.data.corpora.documents import to_documents

pytestmark = pytest.mark.once


def test_every_kind_of_item_becomes_a_document():
    items = ["a", Document("b", "x"), {"text": "c", "id": 3, "label": "l"}]
    documents = list(to_documents(items))
    assert [d.text for d in documents] == ["a", "b", "c"]
    assert [d.id for d in documents] == ["0", "x", "3"]
    assert documents[2].label == "l"


@pytest.mark.parametrize(
    "corpus",
    [
        "text",
        b"text",
        {"text": "a"},
        3,
        None,
        pathlib.Path("a.txt"),
        Document("a"),
        np.array("a"),
        np.array([["a"]]),
        lambda: ["a"],
    ],
)
def test_one_text_is_not_a_corpus(corpus):
    with pytest.raises(ValueError, match="`corpus`.*iterable of documents"):
        list(to_documents(corpus))
    with pytest.raises(ValueError, match="`texts`.*iterable of documents"):
        stream_dataset(corpus, None, 8, None)


@pytest.mark.parametrize(
    "item, cure",
    [
        (["b"], r"\['b'\].*list"),
        (b"b", r"decode"),
        (3, "type int"),
        (None, "missing value"),
        (float("nan"), "missing value"),
        ({"body": "b"}, r"keys are 'body'.*read_table"),
        ({"text": None}, "keys are 'text'"),
        (pathlib.Path("b.txt"), "read_files"),
    ],
)
def test_a_strange_item_is_named_with_its_place(item, cure):
    with pytest.raises(ValueError, match=f"index 1: .*{cure}"):
        list(to_documents(["a", item]))


@pytest.mark.parametrize(
    "name",
    ["a.txt", "no/such/file.JSONL", "a.csv.gz", "~/x.md", "my notes.txt"],
)
def test_names_of_files_are_no_texts(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if " " in name:
        pathlib.Path(name).write_text("a text")
    for call in (train_tokenizer, lambda texts: list(to_documents(texts))):
        with pytest.raises(ValueError, match="name of a file.*read_files"):
            call([name, "b.txt"])
    # Who means it says so.
    assert list(to_documents([Document(name)]))[0].text == name
    assert len(list(to_documents(["See my notes.txt", name]))) == 2
