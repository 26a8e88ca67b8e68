"""Tables in memory: by a named column, or an error that says so."""

import datasets
import numpy as np
import pandas
import polars
import pyarrow
import pytest

import keras_dinolm as kd
from keras_dinolm.data import read_table
from keras_dinolm.data.corpora.documents import to_documents

pytestmark = pytest.mark.once

COLUMNS = {"body": ["one", "two", "three"], "kind": ["a", "b", "a"]}

TABLES = {
    "pandas": lambda columns: pandas.DataFrame(columns),
    "pandas, categories": lambda columns: pandas.DataFrame(columns).astype(
        "category"
    ),
    "pandas, nullable": lambda columns: pandas.DataFrame(columns).astype(
        "string"
    ),
    "pandas, arrow": lambda columns: pandas.DataFrame(columns).astype(
        pandas.ArrowDtype(pyarrow.string())
    ),
    "polars": lambda columns: polars.DataFrame(columns),
    "polars, lazy": lambda columns: polars.DataFrame(columns).lazy(),
    "arrow": lambda columns: pyarrow.table(columns),
    "arrow, batch": lambda columns: pyarrow.RecordBatch.from_pydict(columns),
    "datasets": lambda columns: datasets.Dataset.from_dict(columns),
    "datasets, stream": lambda columns: datasets.Dataset.from_dict(
        columns
    ).to_iterable_dataset(),
    "dict": lambda columns: dict(columns),
    "records": lambda columns: [
        dict(zip(columns, row)) for row in zip(*columns.values())
    ],
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_named_column_of_any_table_is_a_corpus(kind):
    corpus = read_table(
        TABLES[kind](COLUMNS), text_key="body", label_key="kind"
    )
    for _ in range(2):
        assert [(d.text, d.id, d.label) for d in corpus] == [
            ("one", "0", "a"),
            ("two", "1", "b"),
            ("three", "2", "a"),
        ]
    assert len(corpus) == 3 and not corpus.dropped


@pytest.mark.parametrize("kind", TABLES)
def test_missing_cells_are_counted(kind):
    columns = {
        "body": ["one", None, " ", "four"],
        "kind": ["a", "b", None, "c"],
    }
    corpus = read_table(TABLES[kind](columns), text_key="body")
    with pytest.warns(UserWarning, match="1 rows without 'body': row 1"):
        assert [(d.text, d.id) for d in corpus] == [("one", "0"), ("four", "3")]
    assert corpus.dropped == {"rows without 'body'": 1, "empty documents": 1}


@pytest.mark.parametrize("kind", [k for k in TABLES if k != "records"])
def test_an_unknown_column_is_named_with_the_others(kind):
    with pytest.raises(ValueError, match="no column 'text'.*'body', 'kind'"):
        read_table(TABLES[kind](COLUMNS))


@pytest.mark.parametrize("kind", [k for k in TABLES if k != "records"])
def test_a_table_in_the_place_of_documents_is_refused(kind):
    table = TABLES[kind](COLUMNS)
    calls = (
        lambda: list(to_documents(table)),
        lambda: kd.data.train_tokenizer(table, show_progress=False),
        lambda: kd.evaluation.HeldOutDocuments(table),
        lambda: kd.data.stream_dataset(table, None, 8, None),
    )
    for call in calls:
        with pytest.raises(ValueError, match=r"read_table\(.*'body'"):
            call()


def test_parts_of_a_dataset_are_named():
    parts = datasets.DatasetDict(
        train=TABLES["datasets"](COLUMNS), test=TABLES["datasets"](COLUMNS)
    )
    for call in (read_table, lambda data: list(to_documents(data))):
        with pytest.raises(
            ValueError, match=r"'train', 'test'.*data\['train'\]"
        ):
            call(parts)
    rows = datasets.Dataset.from_dict({"text": ["a", "b"], "label": ["x", "y"]})
    assert [(d.text, d.label) for d in to_documents(rows)] == [
        ("a", "x"),
        ("b", "y"),
    ]


@pytest.mark.parametrize(
    "column",
    [
        pandas.Series(["one", "two"]),
        pandas.Series(["one", "two"], dtype="category"),
        pandas.Series(["one", "two"], dtype="string"),
        polars.Series(["one", "two"]),
        pyarrow.array(["one", "two"]),
        pyarrow.chunked_array([["one"], ["two"]]),
        np.array(["one", "two"]),
        np.array(["one", "two"], object),
        datasets.Dataset.from_dict({"text": ["one", "two"]})["text"],
        ("one", "two"),
        {"one": 0, "two": 1}.keys(),
    ],
    ids=lambda column: type(column).__name__,
)
def test_a_column_is_a_corpus(column):
    assert [d.text for d in to_documents(column)] == ["one", "two"]


@pytest.mark.parametrize(
    "column",
    [
        pandas.Series(["one", None]),
        pandas.Series(["one", np.nan], dtype=object),
        pandas.Series(["one", None], dtype="string"),
        pandas.Series(["one", None], dtype="category"),
        polars.Series(["one", None]),
        pyarrow.array(["one", None]),
    ],
    ids=lambda column: type(column).__name__,
)
def test_missing_values_of_a_column_are_named(column):
    with pytest.raises(ValueError, match="index 1.*missing value"):
        list(to_documents(column))


@pytest.mark.parametrize(
    "table", ["a.csv", b"a", 3, None, {"text": "one"}, {"a": [1], "b": [1, 2]}]
)
def test_what_is_no_table_is_refused(table):
    with pytest.raises(ValueError, match="`table`"):
        read_table(table)


def test_columns_of_one_name_are_refused():
    frame = pandas.DataFrame([["a", "b"]], columns=["text", "text"])
    with pytest.raises(ValueError, match="several columns of one name"):
        list(read_table(frame))
