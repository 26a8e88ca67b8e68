"""`read_csv`: a corpus of tables in text files."""

import collections
import csv
from collections.abc import Iterator
from typing import Any

from keras_dinolm import arguments
from keras_dinolm.data.corpora.corpus import Corpus
from keras_dinolm.data.corpora.fields import Fields
from keras_dinolm.data.corpora.file_corpus import MAXIMUM_CHARACTERS
from keras_dinolm.data.corpora.file_corpus import FileCorpus
from keras_dinolm.data.corpora.file_corpus import Limits
from keras_dinolm.data.corpora.file_corpus import Reader
from keras_dinolm.data.corpora.file_corpus import repaired
from keras_dinolm.data.corpora.files import Paths
from keras_dinolm.data.corpora.files import ending_of
from keras_dinolm.data.corpora.opening import numbered_lines

ENDINGS = (".csv", ".tsv", ".tab")
_DELIMITERS = (",", ";", "\t", "|")


def read_csv(
    paths: Paths,
    text_key: str = "text",
    id_key: str | None = None,
    label_key: str | None = None,
    minimum_characters: int = 1,
    delimiter: str | None = None,
    quoting: bool = True,
    maximum_characters: int = MAXIMUM_CHARACTERS,
    encoding: str = "utf-8",
    errors: str = "skip",
) -> Corpus:
    """A corpus of CSV or TSV files: a header line, and one document a row.

    Rows are read by the standard library, so that quoted fields may hold
    delimiters, quotes (doubled) and line ends. A row that is damaged, or has
    another number of fields than the header, is left out, counted, and named
    in the warning at the end of the first pass. Files are opened, decompressed
    and decoded as by `read_jsonl`.

    Args:
        paths: path, or list of paths, of files, folders, or patterns. Of a
            folder, all `*.csv`, `*.tsv` and `*.tab` are read in the order of
            their names, in small or capital letters, also compressed.
        text_key: str. The column of the text. Defaults to `"text"`.
        id_key: str. The column of the document's name; by default, file name
            and line number.
        label_key: str. The column of the label. Defaults to none.
        minimum_characters: int. Shorter texts (without surrounding white
            space) are left out and counted. Defaults to `1`: empty ones.
        delimiter: str. One character. Defaults to `None`: a tab for `*.tsv`
            and `*.tab`, else the one of `, ; tab |` that makes a column
            `text_key` of the header.
        quoting: bool. `False` if quotes in the file are quotes of the texts.
            Defaults to `True`.
        maximum_characters: int. Longer fields are left out and counted, so
            that an open quote does not fill the memory. Defaults to 10
            million.
        encoding: str. The encoding of files without a byte order mark.
            Defaults to `"utf-8"`.
        errors: `"skip"` leaves out and counts rows with bytes that are not in
            the encoding; `"replace"` keeps them, with U+FFFD in the place of
            such bytes. Defaults to `"skip"`.

    Returns:
        A re-iterable corpus of `Document`.

    Raises:
        FileNotFoundError: if a path does not exist, or a folder has no file of
            this kind.
        ValueError: if an argument is out of range; while reading, if a file
            lacks one of the columns, or for a second pass over a pipe.

    Example:

    ```python
    import keras_dinolm as kd

    with open("mails.csv", "w") as file:
        print("id,body", '1,"Hello, you"', sep=chr(10), file=file)
    corpus = kd.data.read_csv("mails.csv", text_key="body")
    print([document.text for document in corpus])  # ["Hello, you"]
    ```
    """
    limits = Limits(minimum_characters, maximum_characters, encoding, errors)
    fields = Fields(text_key, id_key, label_key, records="rows")
    read = csv_reader(fields, limits, delimiter, quoting)
    return FileCorpus(paths, ENDINGS, limits, read)


def csv_reader(
    fields: Fields,
    limits: Limits,
    delimiter: str | None = None,
    quoting: bool = True,
) -> Reader:
    """Makes the function that reads one file; see `FileCorpus`."""
    if delimiter is not None and (
        not isinstance(delimiter, str)
        or len(delimiter) != 1
        or delimiter in '"\r\n'
    ):
        arguments.refuse("delimiter", delimiter, "one character, or `None`")
    quoting = arguments.flag("quoting", quoting)

    def read(path, report):
        with limits.open(path, newline="") as file:
            rows = _Rows(file, path, report, limits.maximum_characters)
            first = rows.peek()
            character = delimiter or _delimiter(first, path, fields)
            iterator = rows.read(character, quoting)
            _, names = next(iterator, (1, None))
            if names is None:
                report.add("empty files", path)
                return
            _check_columns(names, fields, path)
            wanted = {key: names.index(key) for key in fields.keys()}
            for number, row in iterator:
                place = f"{path}:{number}"
                if len(row) != len(names):
                    report.add(
                        "rows with another number of fields than the header",
                        place,
                        f"The first one has {len(row)}, its header "
                        f"{len(names)}.",
                    )
                    continue
                record = {key: row[index] for key, index in wanted.items()}
                texts = "".join(record.values())
                if limits.accept(texts, place, report) is None:
                    continue
                document = fields.document(record, place, report)
                if document is not None:
                    yield repaired(document), place

    return read


def _delimiter(header, path, fields):
    if ending_of(path) in (".tsv", ".tab"):
        return "\t"
    for delimiter in _DELIMITERS:
        names = next(csv.reader([header], delimiter=delimiter), [])
        if fields.text_key in names:
            return delimiter
    return ","


def _check_columns(names, fields, path):
    for key in fields.keys():
        if names.count(key) != 1:
            often = "has no column" if key not in names else "has twice"
            raise ValueError(
                f"The header of {path} {often} {key!r}. Its columns are "
                f"{', '.join(map(repr, names[:20]))}. Name one of them by "
                "`text_key=`, `id_key=` or `label_key=`; a file without it "
                "cannot be read."
            )


class _Rows:
    """The rows of a file with the line where each begins.

    A quote that is never closed takes what follows into its field. Then only
    the line where the row began is lost, and those after it are read again.
    """

    def __init__(self, file, path, report, longest):
        self._file = numbered_lines(file, longest)
        self._path = path
        self._report = report
        self._longest = longest
        # Lines that will be read again, and those of the row being read.
        self._back: collections.deque = collections.deque()
        self._taken: list[tuple[int, str]] = []
        self._size = 0

    def peek(self) -> str:
        """The first line that is not blank."""
        for number, line in self._file:
            line = self._short(number, line).removeprefix("\ufeff")
            if line.strip():
                self._back.append((number, line))
                return line
        return ""

    def read(
        self, delimiter: str, quoting: bool
    ) -> Iterator[tuple[int, list[str]]]:
        """Yields rows, each with the number of its first line."""
        kind: Any = csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE
        reader = csv.reader(
            self, delimiter=delimiter, quoting=kind, strict=True
        )
        while True:
            self._taken, self._size = [], 0
            # The limit belongs to the process, and others have their own.
            limit = csv.field_size_limit(self._longest)
            try:
                row = next(reader, None)
            except csv.Error as error:
                self._report.add(
                    "damaged rows",
                    f"{self._path}:{self._taken[0][0]}",
                    f"The first one: {error}. Is a quote not closed? If quotes "
                    "belong to the texts, pass quoting=False.",
                )
                self._back.extendleft(reversed(self._taken[1:]))
                continue
            finally:
                csv.field_size_limit(limit)
            if row is None:
                return
            if row:
                yield self._taken[0][0], row

    def __iter__(self):
        return self

    def __next__(self) -> str:
        if self._taken and self._size > self._longest:
            raise csv.Error("the row is too long")
        if self._back:
            number, line = self._back.popleft()
        else:
            number, line = next(self._file)
            line = self._short(number, line)
        self._taken.append((number, line))
        self._size += len(line)
        return line

    def _short(self, number, line):
        if line is not None:
            return line
        self._report.add(
            f"lines above {self._longest:,} characters",
            f"{self._path}:{number}",
            "Raise `maximum_characters`.",
        )
        return "\n"
