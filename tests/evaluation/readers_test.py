"""Task files: what is read, and which line is at fault."""

import gzip
import json

import pytest

from keras_dinolm.evaluation import read_beir
from keras_dinolm.evaluation import read_labelled_texts
from keras_dinolm.evaluation import read_tagged_words
from keras_dinolm.evaluation import read_text_pairs

pytestmark = pytest.mark.once


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        data = text if isinstance(text, bytes) else text.encode()
        path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
        return path

    return write


def test_columns_are_found_by_name_in_any_order(write):
    path = write("a.tsv", 'label\tid\ttext\nx\t1\tone "two"\n\ny\t2\tédith\n')
    assert read_labelled_texts(path) == (['one "two"', "édith"], ["x", "y"])
    assert read_labelled_texts(path, label="id").labels == ["1", "2"]


@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz"])
def test_a_byte_order_mark_and_windows_line_ends_are_no_content(write, name):
    path = write(name, "\ufefftext\tlabel\r\none\tx\r\n")
    assert read_labelled_texts(path) == (["one"], ["x"])


def test_json_lines_with_words_are_joined(write):
    record = {"tokens": ["play", "it"], "tags": ["O", "B-x"], "intent": "music"}
    path = write("a.jsonl.gz", json.dumps(record) + "\n\n")
    found = read_labelled_texts(path, text="tokens", label="intent")
    assert found == (["play it"], ["music"])
    assert read_tagged_words(path) == ([["play", "it"]], [["O", "B-x"]])


def test_pairs_with_labels_or_scores(write):
    path = write("a.tsv", "score\ts1\ts2\n3.8\ta\tb\n0\tc\td\n")
    assert read_text_pairs(path, "score") == (["a", "c"], ["b", "d"], [3.8, 0])
    path = write("b.tsv", "label\ts1\ts2\nneutral\ta\tb\n")
    assert read_text_pairs(path).targets == ["neutral"]


def beir(write, **changes):
    files = {
        "corpus.jsonl": '{"_id": "b", "title": "T", "text": "t"}\n'
        '{"_id": "a", "title": "", "text": "u", "more": 1}\n'
        '{"_id": "c", "text": ""}\n',
        "queries.jsonl": '{"_id": "2", "text": "q"}\n'
        '{"_id": "1", "text": "r"}\n{"_id": "3", "text": "s"}\n',
        "qrels/test.tsv": "query-id\tcorpus-id\tscore\n"
        "1\ta\t2\n2\tb\t1\n1\tb\t0\n3\ta\t0\n",
    }
    for name, text in {**files, **changes}.items():
        folder = write(name, text).parent
    return folder.parent


def test_beir_in_the_order_of_its_files(write):
    found = read_beir(beir(write))
    assert found.documents == ["T t", "u", ""]
    assert found.queries == ["q", "r"]  # nothing is relevant to "s"
    assert found.relevant == [{0: 1.0}, {1: 2.0, 0: 0.0}]


@pytest.mark.parametrize(
    "text, message",
    [
        ("text\tlabel\na\tx\nb\n", r"a.tsv:3: 1 fields .* has 2"),
        ("text\tlabel\na\tx\ty\n", r"a.tsv:2: 3 fields"),
        ("text\tlabel\n \tx\n", r"a.tsv:2: 'text' must .* not empty"),
        ("text\tlabel\na\t\n", r"a.tsv:2: 'label' must"),
        ("text\tLabel\na\tx\n", r"a.tsv:1: .* no column 'label'"),
        (b"text\tlabel\n\xff\tx\n", r"a.tsv:2: not UTF-8"),
        ("text\tlabel\n", r"a.tsv has no rows"),
        ("", r"a.tsv:1: .* no column 'text'"),
    ],
)
def test_bad_rows_of_a_table_are_named(write, text, message):
    with pytest.raises(ValueError, match=message):
        read_labelled_texts(write("a.tsv", text))


@pytest.mark.parametrize(
    "line, message",
    [
        ('{"tokens": ["a"]', "a.jsonl:2: not JSON"),
        ("[1]", "a.jsonl:2: .* JSON object"),
        ('{"tokens": ["a"]}', r"a.jsonl:2: no 'tags'.*\['tokens'\]"),
        ('{"tokens": ["a"], "tags": []}', "one tag a word.* 1 words"),
        ('{"tokens": [], "tags": []}', "a.jsonl:2: .* list of words"),
        ('{"tokens": ["a b"], "tags": ["O"]}', "white space.*'a b'"),
        ('{"tokens": ["a"], "tags": ["X"]}', "a.jsonl:2.*'X'"),
    ],
)
def test_bad_rows_of_tagged_words_are_named(write, line, message):
    good = '{"tokens": ["a"], "tags": ["O"]}\n'
    with pytest.raises(ValueError, match=message):
        read_tagged_words(write("a.jsonl", good + line))


@pytest.mark.parametrize("score", ["much", "", "nan", "inf"])
def test_scores_are_finite_numbers(write, score):
    path = write("a.tsv", f"score\ts1\ts2\n{score}\ta\tb\n")
    with pytest.raises(ValueError, match="a.tsv:2: 'score' must be a finite"):
        read_text_pairs(path, "score")


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("corpus.jsonl", '{"_id": "a", "text": "t"}\n' * 2, "corpus.jsonl:2"),
        ("corpus.jsonl", '{"_id": "b", "text": null}', "'text' must be a str"),
        ("corpus.jsonl", '{"_id": "b", "text": "t"}', "no _id 'a' in corpus"),
        ("queries.jsonl", '{"_id": "2", "text": "q"}', "_id '1' in queries"),
        ("qrels/test.tsv", "query-id\tscore\n", "no column 'corpus-id'"),
    ],
)
def test_bad_rows_of_beir_are_named(write, name, text, message):
    with pytest.raises(ValueError, match=message):
        read_beir(beir(write, **{name: text}))


@pytest.mark.parametrize("score, message", [(-1, "negative"), (0, "no query")])
def test_judgements_must_say_something(write, score, message):
    qrels = f"query-id\tcorpus-id\tscore\n1\ta\t{score}\n"
    with pytest.raises(ValueError, match=message):
        read_beir(beir(write, **{"qrels/test.tsv": qrels}))


def test_missing_files_are_named(tmp_path, write):
    with pytest.raises(FileNotFoundError, match="a.tsv"):
        read_labelled_texts(tmp_path / "a.tsv")
    with pytest.raises(FileNotFoundError, match="dev.tsv"):
        read_beir(beir(write), "dev")
