"""`read_parquet`: columns by name, damage named."""

import builtins
import os
import warnings

import numpy as np
import pytest

from keras_dinolm.data import read_files
from keras_dinolm.data import read_parquet

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

pytestmark = pytest.mark.once


def write(path, **columns):
    parquet.write_table(pyarrow.table(columns), path, row_group_size=100)
    return path


def test_rows_become_documents_and_the_others_are_counted(tmp_path):
    texts = [f"text {i}" for i in range(1_000)]
    texts[3], texts[700] = None, " "
    path = write(
        tmp_path / "a.PARQUET",
        body=texts,
        n=list(range(1_000)),
        topic=pyarrow.array(["x", "y"] * 500).dictionary_encode(),
    )
    corpus = read_parquet(tmp_path, "body", id_key="n", label_key="topic")
    with pytest.warns(UserWarning, match=rf"1 rows without 'body': {path}:4"):
        documents = list(corpus)
    assert [d.id for d in documents] == [
        str(i) for i in range(1_000) if i not in (3, 700)
    ]
    assert documents[1].label == "y"
    assert corpus.dropped == {"rows without 'body'": 1, "empty documents": 1}


def test_nested_columns_and_lists(tmp_path):
    rows = [{"body": "a", "also": ["b", "c"]}, {"body": "d", "also": None}]
    path = write(tmp_path / "a.parquet", page=rows)
    found = read_parquet(path, "page.body", alternates_key="page.also")
    assert [(d.text, d.alternates) for d in found] == [
        ("a", ("b", "c")),
        ("d", ()),
    ]
    path = write(
        tmp_path / "b.parquet", **{"page.body": ["e"], "page": rows[:1]}
    )
    assert [d.text for d in read_parquet(path, "page.body")] == ["e"]


def test_missing_columns_are_an_error(tmp_path):
    path = write(tmp_path / "a.parquet", body=["a"])
    with pytest.raises(ValueError, match=r"a\.parquet .*'text'.*'body'"):
        list(read_parquet(path))


def test_damaged_files_are_named_and_what_precedes_is_read(tmp_path):
    noise = np.random.default_rng(0).integers(0, 10**12, 3_000)
    path = write(tmp_path / "a.parquet", text=list(map(str, noise)))
    data = bytearray(path.read_bytes())
    generator = np.random.default_rng(1)
    for _ in range(40):
        broken = bytearray(data)
        for _ in range(20):
            broken[generator.integers(len(data))] = generator.integers(256)
        path.write_bytes(broken)
        corpus = read_parquet(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            number = len(list(corpus))
        # Digits that became other ones cannot be known.
        assert number == 3_000 or corpus.dropped
    path.write_bytes(data[: len(data) // 2])
    with pytest.warns(UserWarning, match=r"cannot be read.*a\.parquet"):
        assert list(read_parquet(path)) == []


def test_without_pyarrow_the_error_names_the_extra(tmp_path, monkeypatch):
    path = write(tmp_path / "a.parquet", text=["a"])
    original = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    for read in (read_parquet, read_files):
        with pytest.raises(ImportError, match=r"keras-dinolm\[tables\]"):
            list(read(path))


def test_a_pipe_is_refused_with_the_cure(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="Save it to a file"):
        list(read_parquet(tmp_path / "pipe"))
