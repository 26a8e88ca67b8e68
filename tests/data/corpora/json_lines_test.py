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
    assert [d.text for d in documents] == [
        "first",
        "bad \ufffd byte",
        "last \ud800",
    ]
    assert documents[0].label == "k" and documents[0].id.endswith(
        "docs.jsonl:1"
    )
    assert corpus.dropped["lines that are not JSON"] == 2
    assert corpus.dropped["empty documents"] == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(corpus) == documents
    assert len(corpus) == 3
    assert "left out: 2 lines that are not JSON" in str(corpus)


def test_json_lines_from_folders_and_gzip(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "a.jsonl").write_text('{"text": "1"}\n{"text": "2"}\n')
    with gzip.open(tmp_path / "b" / "c.jsonl.gz", "wt") as file:
        file.write('{"text": "3"}\n')
    (tmp_path / "ignored.csv").write_text("x")
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
