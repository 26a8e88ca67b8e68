"""`read_table`: a corpus of one column of a table in memory."""

import os
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from keras_dinolm import arguments
from keras_dinolm.data.corpora.corpus import Corpus
from keras_dinolm.data.corpora.document import Document
from keras_dinolm.data.corpora.fields import Fields
from keras_dinolm.data.corpora.report import Report


def read_table(
    table: Any,
    text_key: str = "text",
    id_key: str | None = None,
    label_key: str | None = None,
    minimum_characters: int = 1,
    alternates_key: str | None = None,
) -> Corpus:
    """A corpus of a column of a table in memory.

    Rows whose text is missing (`None`, NaN, NA), empty or no string are left
    out, counted, and named in the warning at the end of the first pass.

    Args:
        table: DataFrame of pandas or polars (a LazyFrame is collected), Table
            or RecordBatch of Arrow, Dataset or IterableDataset of Hugging
            Face, a dict of columns, or an iterable of mappings.
        text_key: str. The column of the text. Dots lead into nested columns,
            unless a column has the dots itself. Defaults to `"text"`.
        id_key: str. The column of the document's name; by default, the number
            of the row.
        label_key: str. The column of the label. Defaults to none.
        minimum_characters: int. Shorter texts (without surrounding white
            space) are left out and counted. Defaults to `1`: empty ones.
        alternates_key: str. The column of other texts of the same meaning,
            lists of strings or single ones. Defaults to none.

    Returns:
        A corpus of `Document`, re-iterable if the table is.

    Raises:
        ValueError: if there is no such column, or `table` is no table.

    Example:

    ```python
    import keras_dinolm as kd
    import pandas

    frame = pandas.DataFrame({"body": ["a text", None], "topic": ["a", "b"]})
    corpus = kd.data.read_table(frame, text_key="body", label_key="topic")
    print(corpus)  # how many documents, and what was left out
    ```
    """
    fields = Fields(text_key, id_key, label_key, alternates_key, "rows")
    minimum_characters = arguments.count(
        "minimum_characters", minimum_characters, 0
    )
    return TableCorpus(table, fields, minimum_characters)


class TableCorpus(Corpus):
    """Documents of the rows of a table; made by `read_table`.

    Args:
        table: as for `read_table`.
        fields: `Fields`.
        minimum_characters: int.
    """

    def __init__(self, table: Any, fields: Fields, minimum_characters: int):
        super().__init__(f"a table of type {type(table).__name__}")
        if hasattr(table, "collect_schema") and hasattr(table, "collect"):
            table = table.collect()  # a LazyFrame
        _check_table(table)
        names = column_names(table)
        for key in fields.keys() if names is not None else ():
            if key not in names and key.split(".")[0] not in names:
                raise ValueError(
                    f"The table has no column {key!r}. Its columns are "
                    f"{', '.join(arguments.shorten(n, 30) for n in names)}. "
                    "Name one of them by `text_key=`, `id_key=`, `label_key=` "
                    "or `alternates_key=`."
                )
        self.once = isinstance(table, Iterator)
        self._table = table
        self._names = names
        self._fields = fields
        self._least = minimum_characters
        self._said: tuple | None = None

    def _read(self, dropped):
        report = Report(dropped)
        report.num_files = 1
        count = 0
        for index, record in enumerate(self._records()):
            place = f"row {index}"
            document = self._fields.document(record, place, report)
            if document is None:
                continue
            length = len(document.text.strip())
            if length < max(self._least, 1):
                reason = (
                    f"documents below {self._least} characters"
                    if length
                    else "empty documents"
                )
                report.add(reason, place)
                continue
            count += 1
            if document.id == place:
                document = Document(
                    document.text,
                    str(index),
                    document.label,
                    alternates=document.alternates,
                )
            yield document
        said = (count, dict(dropped))
        if said != self._said:
            self._said = said
            report.warn(count, self.name)

    def _records(self) -> Iterator[Mapping]:
        if self._names is None:
            yield from self._table
            return
        names = [
            key if key in self._names else key.split(".")[0]
            for key in self._fields.keys()
        ]
        names = list(dict.fromkeys(names))
        if hasattr(self._table, "select_columns"):  # of Hugging Face
            yield from self._table.select_columns(names)
            return
        columns = [_values(self._table[name]) for name in names]
        for row in zip(*columns, strict=True):
            yield dict(zip(names, row))


def column_names(table: Any) -> list | None:
    """The names of the columns of a table, or `None` if it is none.

    Args:
        table: anything.

    Returns:
        List, or `None`.

    Example:

    ```python
    import pandas
    from keras_dinolm.data.corpora.tables import column_names

    assert column_names(pandas.DataFrame({"text": []})) == ["text"]
    assert column_names(["text"]) is None
    ```
    """
    if isinstance(table, Mapping):
        return list(table)
    if hasattr(table, "collect_schema"):  # a LazyFrame of polars
        return list(table.collect_schema().names())
    names = getattr(table, "column_names", None)
    if names is None or callable(names):
        schema = getattr(table, "schema", None)
        names = getattr(schema, "names", None)
    if names is None or callable(names):
        names = getattr(table, "columns", None)
    if names is None or callable(names):
        return None
    return list(names)


def cure(table: Any) -> str:
    """What to write in the place of a table where documents are wanted.

    Args:
        table: a table.

    Returns:
        String: a sentence for an error message.

    Example:

    ```python
    import pandas
    from keras_dinolm.data.corpora.tables import cure

    print(cure(pandas.DataFrame({"body": ["a text"]})))
    ```
    """
    names = column_names(table) or []
    if names and all(_is_table(table, name) for name in names):
        return (
            f"It has the parts {', '.join(map(repr, names))}: choose one, as "
            f"in `data[{names[0]!r}]`."
        )
    shown = ", ".join(arguments.shorten(name, 30) for name in names[:8])
    name = "text" if "text" in names or not names else names[0]
    return (
        f"Choose a column: `keras_dinolm.data.read_table(table, "
        f"text_key={name!r})`. Its columns are {shown or '(none)'}."
    )


def _is_table(table, name):
    return (
        isinstance(table, Mapping)
        and not isinstance(table[name], str | list | tuple)
        and column_names(table[name]) is not None
    )


def _check_table(table):
    if isinstance(table, Mapping):
        names = list(table)
        if names and all(_is_table(table, name) for name in names):
            raise ValueError(
                f"Argument `table` must be one table. {cure(table)} Received: "
                f"a {type(table).__name__} of tables"
            )
        lengths = {
            len(column) if hasattr(column, "__len__") else -1
            for column in table.values()
            if not isinstance(column, str)
        }
        strings = any(isinstance(v, str) for v in table.values())
        if strings or len(lengths) != 1:
            arguments.refuse(
                "table", table, "a dict of columns, lists of one length"
            )
        return
    if (
        isinstance(table, str | bytes | os.PathLike)
        or column_names(table) is None
        and not isinstance(table, Iterable)
    ):
        arguments.refuse(
            "table",
            table,
            "a table in memory. For files, use `keras_dinolm.data.read_csv`, "
            "`read_parquet` or `read_jsonl`",
        )


def _values(column):
    """A column as an iterable of plain values."""
    if getattr(column, "ndim", 1) != 1:
        raise ValueError(
            "The table has several columns of one name. Rename them first."
        )
    if hasattr(column, "to_pylist"):
        return column.to_pylist()
    return column
