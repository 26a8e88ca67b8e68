"""Rows of task files, each with its place for messages."""

import csv
import json
import pathlib
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

from keras_dinolm.arguments import shorten
from keras_dinolm.data.corpora.compression import ENDINGS as COMPRESSED
from keras_dinolm.data.corpora.files import ending_of
from keras_dinolm.data.corpora.opening import DAMAGED
from keras_dinolm.data.corpora.opening import UNDECODED
from keras_dinolm.data.corpora.opening import NotText
from keras_dinolm.data.corpora.opening import numbered_lines
from keras_dinolm.data.corpora.opening import open_text
from keras_dinolm.typing import Path

ENDINGS = (".tsv", ".jsonl", ".csv")
_JSON = (".jsonl", ".ndjson", ".json")

# Far above any text of a task. A hostile file, a few kilobytes long, unpacks
# to a line that fills the memory.
_LONGEST = 10_000_000


def find_file(folder: Path, name: str, endings: Sequence[str]) -> pathlib.Path:
    """The one file of a name in a folder: `train.tsv`, `train.jsonl.gz`, ...

    Args:
        folder: Path.
        name: String. The name without its ending.
        endings: Strings. The endings that it may have; that of a compression
            may follow.

    Returns:
        Path.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If there are several, as one of them would go unread.
    """
    folder = pathlib.Path(folder)
    names = [
        name + ending + compressed
        for ending in endings
        for compressed in ("", *COMPRESSED)
    ]
    found = [folder / name for name in names if (folder / name).exists()]
    if len(found) > 1:
        raise ValueError(
            f"{folder} holds {name!r} more than once: "
            f"{', '.join(path.name for path in found)}. Keep one of them."
        )
    if not found:
        shown = ", ".join(name + ending for ending in endings)
        raise FileNotFoundError(
            f"No {name!r} in {folder}: it must hold one of {shown} (or the "
            f"same with {', '.join(COMPRESSED)})."
        )
    return found[0]


def find_split(folder: Path, split: str) -> pathlib.Path:
    """The file of a split in a folder; see `find_file`."""
    return find_file(folder, split, ENDINGS)


def rows(
    path: Path, columns: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[tuple[str, list[Any]]]:
    """Yields `(place, values of the columns)` of each row of a file.

    Args:
        path: A `.jsonl` file of one object a line; a `.csv` file, in which
            fields may be quoted; or else a TSV file: a header line, no
            quoting. It may be compressed by gzip, bzip2, xz or zstd, and is
            UTF-8 unless it has another byte order mark.
        columns: Sequence of strings: header names, or keys.
        optional: The same, of those that may be missing and then are `None`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: With file and line, for a row that lacks a column, or has
            more or fewer fields than the header; for a file that is damaged,
            no text, or without rows.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"No such file: {path}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder, and must be a file.")
    read = _tsv_rows
    if ending_of(path) in _JSON:
        read = _json_rows
    elif ending_of(path) == ".csv":
        read = _csv_rows
    count = 0
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
            f"Received: {shorten(value)}"
        )
    return value


def check_label(place: str, name: str, value: Any) -> str:
    """Returns a label as a string; an integer of a JSON file is one, too.

    Raises:
        ValueError: If it is empty, or anything else.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and value.strip():
        return value
    raise ValueError(
        f"{place}: {name!r} must be a string that is not empty, or an "
        f"integer; one label for each text. Received: {shorten(value)}"
    )


def _json_rows(path, columns, optional):
    for place, line in _lines(path):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except RecursionError:
            raise ValueError(
                f"{place}: not JSON that can be read (nested too deep). "
                f"Received: {shorten(line)}"
            ) from None
        except ValueError as error:
            array = line.lstrip()[:1] == "["
            raise ValueError(
                f"{place}: not JSON ({error}). Each line must be one JSON "
                "object" + (", and no array is around them." if array else ".")
            ) from None
        if not isinstance(record, dict):
            raise ValueError(
                f"{place}: each line must be a JSON object. Received: "
                f"{line[:80]!r}"
            )
        missing = [column for column in columns if column not in record]
        if missing:
            raise ValueError(
                f"{place}: no {missing[0]!r}. The object has the keys "
                f"{shorten(sorted(record), 300)}."
            )
        yield place, [record.get(key) for key in (*columns, *optional)]


def _tsv_rows(path, columns, optional):
    lines = _lines(path)
    place, line = next(lines, (f"{path}:1", ""))
    pick = _picker(place, line.split("\t"), columns, optional)
    for place, line in lines:
        if not line:
            continue
        fields = line.split("\t")
        for field in fields:
            # A quote alone may be one of the text. Doubled inside a pair of
            # quotes, it was written by a library that quotes.
            inner = field[1:-1]
            if field[:1] == field[-1:] == '"' and '""' in inner:
                if '"' not in inner.replace('""', ""):
                    raise ValueError(
                        f"{place}: the field {shorten(field)} is quoted as in "
                        "CSV, and this reader of TSV knows no quoting. Write "
                        "the text itself, or save the file as .csv, which is "
                        "read with quoting."
                    )
        yield place, pick(place, fields)


def _csv_rows(path, columns, optional):
    number = f"{path}:1"

    def lines():
        nonlocal number
        for place, line in _lines(path, newline=""):
            number = place
            yield line

    limit = csv.field_size_limit()
    reader = csv.reader(lines(), strict=True)
    pick = None
    while True:
        try:
            csv.field_size_limit(_LONGEST)
            fields = next(reader, None)
        except csv.Error as error:
            raise ValueError(
                f"{number}: not CSV ({error}). Is a quote not closed?"
            ) from None
        finally:
            csv.field_size_limit(limit)
        if fields is None:
            break
        if pick is None:
            pick = _picker(number, fields, columns, optional)
        elif fields:
            yield number, pick(number, fields)
    if pick is None:
        _picker(number, [""], columns, optional)


def _picker(place, header, columns, optional):
    """The function that takes the values of the columns from a row."""
    missing = [column for column in columns if column not in header]
    if missing:
        raise ValueError(
            f"{place}: the header has no column {missing[0]!r}. Its columns "
            f"are {shorten(header, 300)}. Name another, or add a header line "
            "of names"
            + (
                "."
                if any(column in header for column in columns)
                else " separated by tabs (in a .csv file, by commas; quoted "
                "fields are read from .csv files alone)."
            )
        )
    for column in (*columns, *optional):
        if header.count(column) > 1:
            raise ValueError(
                f"{place}: the header has the column {column!r} "
                f"{header.count(column)} times. Rename all but one."
            )
    indices = {name: index for index, name in enumerate(header)}
    wanted = [indices.get(name) for name in (*columns, *optional)]

    def pick(place, fields):
        if len(fields) != len(header):
            raise ValueError(
                f"{place}: {len(fields)} fields where the header has "
                f"{len(header)}. In TSV, fields are separated by tabs and hold "
                "none, and there is no quoting; save texts with tabs or line "
                "ends as .jsonl or .csv."
            )
        return [None if i is None else fields[i] for i in wanted]

    return pick


def _lines(path, newline="\n"):
    """Yields place and text of each line, or says what is wrong where."""
    place = f"{path}:0"
    try:
        with open_text(path, newline=newline) as file:
            for number, line in numbered_lines(file, _LONGEST):
                place = f"{path}:{number}"
                if line is None:
                    raise ValueError(
                        f"{place}: a line of more than {_LONGEST:,} "
                        "characters, which no text of a task has."
                    )
                if UNDECODED in line:
                    column = line.index(UNDECODED)
                    raise ValueError(
                        f"{place}: not UTF-8 (at character {column}). Convert "
                        "the file, as by `iconv -f cp1252 -t utf-8`."
                    )
                if newline:
                    line = line.rstrip("\r\n")
                yield place, line.removeprefix("\ufeff")
    except NotText as error:
        raise ValueError(f"{path} is no text file ({error}).") from None
    except DAMAGED as error:
        if getattr(error, "errno", None):
            raise
        raise ValueError(
            f"{path} is damaged after line {place.rsplit(':', 1)[1]} "
            f"({error}). Copy it once more."
        ) from None
