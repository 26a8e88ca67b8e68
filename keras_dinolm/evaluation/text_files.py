"""Rows of task files, each with its place for messages."""

import gzip
import json
import pathlib
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

from keras_dinolm.typing import Path

ENDINGS = (".tsv", ".tsv.gz", ".jsonl", ".jsonl.gz")


def find_split(folder: Path, split: str) -> pathlib.Path:
    """The file of a split in a folder: `train.tsv`, `train.jsonl.gz`, ...

    Raises:
        FileNotFoundError: If there is none.
    """
    folder = pathlib.Path(folder)
    for ending in ENDINGS:
        path = folder / (split + ending)
        if path.is_file():
            return path
    names = ", ".join(split + ending for ending in ENDINGS)
    raise FileNotFoundError(
        f"No split {split!r} in {folder}: it must hold one of {names}."
    )


def rows(
    path: Path, columns: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[tuple[str, list[Any]]]:
    """Yields `(place, values of the columns)` of each row of a file.

    Args:
        path: A `.jsonl` file of one object a line, or else a TSV file: a
            header line, no quoting. Either may end in `.gz`.
        columns: Sequence of strings: header names, or keys.
        optional: The same, of those that may be missing and then are `None`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: With file and line, for a row that lacks a column, or has
            more or fewer fields than the header; for a file without rows.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No such file: {path}")
    is_json = path.name.removesuffix(".gz").endswith(".jsonl")
    read, count = (_json_rows if is_json else _tsv_rows), 0
    for place, values in read(path, columns, optional):
        count += 1
        yield place, values
    if not count:
        raise ValueError(f"{path} has no rows.")


def check_string(place: str, name: str, value: Any) -> str:
    """Raises a `ValueError` unless the value is a string that says something.

    Returns:
        The value.
    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError(
            f"{place}: {name!r} must be a string that is not empty. "
            f"Received: {value!r}"
        )
    return value


def _json_rows(path, columns, optional):
    for place, line in _lines(path):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{place}: not JSON ({error}).") from None
        if not isinstance(record, dict):
            raise ValueError(
                f"{place}: each line must be a JSON object. Received: "
                f"{line[:80]!r}"
            )
        missing = [column for column in columns if column not in record]
        if missing:
            raise ValueError(
                f"{place}: no {missing[0]!r}. The object has the keys "
                f"{sorted(record)}."
            )
        yield place, [record.get(key) for key in (*columns, *optional)]


def _tsv_rows(path, columns, optional):
    lines = _lines(path)
    place, line = next(lines, (f"{path}:1", ""))
    header = line.split("\t")
    missing = [column for column in columns if column not in header]
    if missing:
        raise ValueError(
            f"{place}: the header has no column {missing[0]!r}. Its columns "
            f"are {header}. Name another, or add a header line of names "
            "separated by tabs."
        )
    indices = {name: index for index, name in enumerate(header)}
    wanted = [indices.get(name) for name in (*columns, *optional)]
    for place, line in lines:
        if not line:
            continue
        fields = line.split("\t")
        if len(fields) != len(header):
            raise ValueError(
                f"{place}: {len(fields)} fields where the header has "
                f"{len(header)}. Fields are separated by tabs and hold none; "
                "there is no quoting."
            )
        yield place, [None if i is None else fields[i] for i in wanted]


def _lines(path):
    open_file = gzip.open if path.suffix == ".gz" else open
    with open_file(path, "rb") as file:
        for number, data in enumerate(file, 1):
            place = f"{path}:{number}"
            try:
                line = data.decode("utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(f"{place}: not UTF-8 ({error}).") from None
            yield place, line.rstrip("\r\n").removeprefix("\ufeff")
