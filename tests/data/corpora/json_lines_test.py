"""`read_jsonl`, on friendly files and hostile ones."""

import gzip
import json
import warnings

import numpy as np
import pytest

from keras_dinolm.data.corpora.json_lines import read_jsonl

pytestmark = pytest.mark.once


def test_hostile_json_lines_are_counted_and_reported_once(tmp_path):
    path = tmp_path / "docs.jsonl"
    lines = [
        json.dumps({"text": "first", "kind": "k"}).encode(),
        b'{"text": "cut',
        b"",
        b'["a list"]',
        b'{"other": 1}',
        b'{"text": "  "}',
        b'{"text": "bad \xff byte"}',
        b"[" * 100_000,
        json.dumps({"text": "last \ud800"}).encode(),
    ]
    path.write_bytes(b"\n".join(lines))
    corpus = read_jsonl(path, label_key="kind")
    with pytest.warns(UserWarning) as caught:
        documents = list(corpus)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert f"{path}:2" in message and f"{path}:8" in message
    assert [d.text for d in documents] == ["first", "last \ud800"]
    assert documents[0].label == "k" and documents[0].id.endswith(
        "docs.jsonl:1"
    )
    assert corpus.dropped["lines that are not JSON"] == 2
    assert corpus.dropped["empty documents"] == 1
    assert corpus.dropped["documents that are not utf-8"] == 1
    assert corpus.dropped["lines that are not objects (a list)"] == 1
    assert corpus.dropped["lines without 'text'"] == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(corpus) == documents
    assert len(corpus) == 2
    assert "left out: 2 lines that are not JSON" in str(corpus)


def test_json_lines_from_folders_and_gzip(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "a.jsonl").write_text('{"text": "1"}\n{"text": "2"}\n')
    with gzip.open(tmp_path / "b" / "c.jsonl.gz", "wt") as file:
        file.write('{"text": "3"}\n')
    (tmp_path / "other.csv").write_text("x")
    with pytest.warns(UserWarning, match=r"1 files of other endings \(.csv\)"):
        assert [d.text for d in read_jsonl(tmp_path)] == ["1", "2", "3"]


def test_a_damaged_gzip_file_ends_early_and_says_so(tmp_path):
    generator = np.random.default_rng(0)
    lines = [
        json.dumps({"text": str(generator.integers(1 << 60))})
        for _ in range(2000)
    ]
    data = gzip.compress("\n".join(lines).encode())
    (tmp_path / "cut.jsonl.gz").write_bytes(data[: len(data) // 2])
    corpus = read_jsonl(tmp_path / "cut.jsonl.gz")
    with pytest.warns(UserWarning, match="cannot be read"):
        assert 0 < len(list(corpus)) < 2000


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_jsonl(tmp_path / "nowhere.jsonl")


def test_a_wrong_length_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="minimum_characters='1'"):
        read_jsonl(tmp_path, minimum_characters="1")


@pytest.mark.parametrize(
    "record, text",
    [
        ({"a": {"b": "x"}}, "x"),
        ({"a": {"b": "x"}, "a.b": "y"}, "y"),
        ({"a.b": None, "a": {"b": "x"}}, None),
        ({"a": {"b": {"c": "x"}}}, None),
        ({"a": "x"}, None),
        ({"a": ["x"]}, None),
    ],
)
def test_dots_lead_into_nested_objects_unless_a_key_has_them(
    tmp_path, record, text
):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(record) + '\n{"a": {"b": "last"}}')
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        texts = [d.text for d in read_jsonl(path, text_key="a.b")]
    assert texts == [text, "last"] if text else ["last"]


def test_ids_labels_and_alternates_may_be_nested_or_numbers(tmp_path):
    path = tmp_path / "a.jsonl"
    record = {"text": "t", "meta": {"id": 7, "label": 0, "also": ["u", "v"]}}
    path.write_text(json.dumps(record))
    (document,) = read_jsonl(
        path,
        id_key="meta.id",
        label_key="meta.label",
        alternates_key="meta.also",
    )
    assert (document.id, document.label) == ("7", "0")
    assert document.alternates == ("u", "v")


@pytest.mark.parametrize(
    "value, reason",
    [
        (None, "lines without 'text'"),
        (3, "lines without a string under 'text' (but a number)"),
        (1.5, "lines without a string under 'text' (but a number)"),
        (True, "lines without a string under 'text' (but a truth value)"),
        (["a"], "lines without a string under 'text' (but a list)"),
        ({"a": "b"}, "lines without a string under 'text' (but an object)"),
        ("", "empty documents"),
    ],
)
def test_texts_that_are_no_strings_are_counted_by_kind(tmp_path, value, reason):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": value}) + '\n{"text": "b"}')
    corpus = read_jsonl(path)
    with pytest.warns(UserWarning, match=r"a\.jsonl:1"):
        assert [d.text for d in corpus] == ["b"]
    assert corpus.dropped == {reason: 1}


def test_labels_that_are_null_or_lists_are_no_labels(tmp_path):
    path = tmp_path / "a.jsonl"
    labels = [None, ["x"], "y"]
    path.write_text(
        "\n".join(json.dumps({"text": "t", "label": v}) for v in labels)
    )
    corpus = read_jsonl(path, label_key="label")
    with pytest.warns(UserWarning, match="label ''"):
        assert [d.label for d in corpus] == ["", "", "y"]
    assert len(corpus.dropped) == 2


def test_a_wrong_key_names_those_that_are_there(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"body": "t", "title": "u"}\n' * 3)
    with pytest.warns(UserWarning, match="3 lines without 'text'(?s:.*)'body'"):
        assert list(read_jsonl(path)) == []
