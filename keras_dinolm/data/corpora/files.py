"""Corpora in files: JSON lines and plain text, whole folders, compressed."""

import collections
import gzip
import json
import os
import pathlib
import warnings
import zlib

from keras_dinolm.data.corpora.documents import Corpus
from keras_dinolm.data.corpora.documents import Document
from keras_dinolm.data.corpora.documents import is_list_of_strings

_MAXIMUM_SHOWN = 5
_BINARY = "binary files (convert them to UTF-8 text)"


def read_jsonl(
    paths,
    text_key="text",
    id_key=None,
    label_key=None,
    minimum_characters=1,
    alternates_key=None,
):
    """A corpus of JSON lines: one object per line.

    The files are read anew in each pass, line by line, so they may be larger
    than memory. A line that cannot be used (no JSON, no text, bytes that are
    not UTF-8) stops nothing: it is counted, and one warning a pass names the
    first such places.

    Args:
        paths: path, or list of paths, of files or folders (searched for
            `*.jsonl`, `*.jsonl.gz`, `*.ndjson`, `*.ndjson.gz`). Files that
            end in `.gz` are decompressed on the way.
        text_key: str. The key of the text. Defaults to `"text"`.
        id_key: str. The key of the document's name; by default, file name and
            line number.
        label_key: str. The key of the label. Defaults to none.
        minimum_characters: int. Shorter texts (without surrounding white
            space) are left out and counted. Defaults to `1`: empty ones.
        alternates_key: str. The key of other texts of the same meaning, a
            list of strings or a single one; a line may lack it. Defaults to
            none.

    Returns:
        A re-iterable corpus of `Document`.

    Raises:
        FileNotFoundError: if a path does not exist, or a folder has no file of
            this kind.

    Example:

    ```python
    import keras_dinolm as kd

    with open("docs.jsonl", "w") as file:
        print('{"body": "a text"}', file=file)
        print('{"body": ""}', file=file)
    corpus = kd.data.read_jsonl("docs.jsonl", text_key="body")
    print(corpus)  # how many documents, and what was left out
    ```
    """
    files = find_files(paths, (".jsonl", ".ndjson"))
    return _JsonLines(
        files, text_key, id_key, label_key, minimum_characters, alternates_key
    )


def read_text(paths, split="file", minimum_characters=1, label=None):
    """A corpus of plain text files.

    Args:
        paths: path, or list of paths, of files or folders (searched for
            `*.txt`, `*.md`, `*.rst` and the same with `.gz`).
        split: `"file"`, `"paragraph"` (separated by blank lines) or
            `"line"`: what is one document. Defaults to `"file"`.
        minimum_characters: int. Shorter documents (without surrounding white
            space) are left out and counted. Defaults to `1`: empty ones.
        label: str. One label for all; by default, the name of the folder
            that holds the file.

    Returns:
        A re-iterable corpus of `Document`. Binary files and bytes that are not
        UTF-8 are counted and reported once a pass.

    Raises:
        FileNotFoundError: if a path does not exist, or a folder has no file of
            this kind.
        ValueError: if `split` is unknown.

    Example:

    ```python
    import keras_dinolm as kd

    with open("notes.txt", "w") as file:
        print("One note.", "", "Another.", sep=chr(10), file=file)
    corpus = kd.data.read_text("notes.txt", split="paragraph")
    len(corpus)  # 2
    ```
    """
    if split not in ("file", "paragraph", "line"):
        raise ValueError(
            "`split` must be one of 'file', 'paragraph', 'line'. "
            f"Received: split={split!r}"
        )
    files = find_files(paths, (".txt", ".md", ".rst"))
    return _TextFiles(files, split, minimum_characters, label)


def find_files(paths, endings):
    """All files of the given paths, in a fixed order.

    Args:
        paths: path or list of paths, of files or folders.
        endings: tuple of str. Which files of a folder count; `.gz` may
            follow.

    Returns:
        A list of `pathlib.Path`.

    Raises:
        FileNotFoundError: if a path is missing or a folder has no such file.
    """
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    files = []
    for path in map(pathlib.Path, paths):
        if not path.exists():
            raise FileNotFoundError(
                f"No such file or folder: {path} (in {pathlib.Path.cwd()})"
            )
        if not path.is_dir():
            files.append(path)
            continue
        found = sorted(
            file
            for file in path.rglob("*")
            if file.is_file()
            and file.name.removesuffix(".gz").endswith(endings)
        )
        if not found:
            raise FileNotFoundError(
                f"The folder {path} has no file that ends in "
                f"{', '.join(endings)} (or the same with .gz). Name the files "
                "themselves if they are called otherwise."
            )
        files.extend(found)
    return files


class _Report:
    """Counts what went wrong, and says so once."""

    def __init__(self, dropped):
        self.dropped = dropped
        self.places = collections.defaultdict(list)

    def add(self, reason, path, line=None):
        self.dropped[reason] += 1
        place = f"{path}:{line}" if line else str(path)
        if len(self.places[reason]) < _MAXIMUM_SHOWN:
            self.places[reason].append(place)

    def warn(self, documents, name):
        if not self.places:
            return
        lines = [f"{name}: read {documents:,} documents; in the source"]
        for reason, places in sorted(self.places.items()):
            more = self.dropped[reason] - len(places)
            lines.append(
                f"  {self.dropped[reason]:,} {reason}: {', '.join(places)}"
                + (f" and {more:,} more" if more else "")
            )
        warnings.warn("\n".join(lines), stacklevel=4)


class _Files(Corpus):
    """Documents of files, with one report over all of them."""

    def __init__(self, files, minimum_characters):
        names = ", ".join(map(str, files[:3])) + (
            f" and {len(files) - 3:,} more files" if len(files) > 3 else ""
        )
        super().__init__(names)
        self.files = files
        self.minimum_characters = minimum_characters

    def _documents(self, path, report):
        raise NotImplementedError

    def _read(self):
        report = _Report(self.dropped)
        count = 0
        for path in self.files:
            try:
                for document, line in self._documents(path, report):
                    length = len(document.text.strip())
                    if length == 0:
                        report.add("empty documents", path, line)
                    elif length < self.minimum_characters:
                        report.add(
                            "documents below "
                            f"{self.minimum_characters} characters",
                            path,
                            line,
                        )
                    else:
                        count += 1
                        yield document
            except (OSError, EOFError, zlib.error) as error:
                reason = "files (or rests of files) that cannot be read"
                report.add(f"{reason} ({type(error).__name__})", path)
        # Once for the object: a second pass finds the same.
        if not self._reported:
            self._reported = True
            report.warn(count, self.name)


class _JsonLines(_Files):
    def __init__(
        self,
        files,
        text_key,
        id_key,
        label_key,
        minimum_characters,
        alternates_key,
    ):
        super().__init__(files, minimum_characters)
        self.text_key = text_key
        self.id_key = id_key
        self.label_key = label_key
        self.alternates_key = alternates_key

    def _documents(self, path, report):
        if _is_binary(path):
            report.add(_BINARY, path)
            return
        with _open(path) as file:
            for number, line in enumerate(file, 1):
                line = _decode(line, path, number, report)
                if not line.strip():
                    continue
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError):
                    report.add("lines that are not JSON", path, number)
                    continue
                document = self._document(record, path, number, report)
                if document is not None:
                    yield document, number

    def _document(self, record, path, number, report):
        if not isinstance(record, dict):
            report.add("lines that are not JSON objects", path, number)
            return None
        text = record.get(self.text_key)
        if not isinstance(text, str):
            reason = f"lines without a string under {self.text_key!r}"
            report.add(reason, path, number)
            return None
        name, label = f"{path.name}:{number}", ""
        if self.id_key is not None:
            if self.id_key in record:
                name = str(record[self.id_key])
            else:
                reason = f"lines without {self.id_key!r} (kept, named by line)"
                report.add(reason, path, number)
        if self.label_key is not None:
            if self.label_key in record:
                label = str(record[self.label_key])
            else:
                reason = f"lines without {self.label_key!r} (kept, label '')"
                report.add(reason, path, number)
        alternates = record.get(self.alternates_key) or ()
        if isinstance(alternates, str):
            alternates = (alternates,)
        if not is_list_of_strings(alternates):
            reason = (
                f"lines whose {self.alternates_key!r} is no list of strings "
                "(kept, without it)"
            )
            report.add(reason, path, number)
            alternates = ()
        return Document(text, name, label, alternates=tuple(alternates))


class _TextFiles(_Files):
    def __init__(self, files, split, minimum_characters, label):
        super().__init__(files, minimum_characters)
        self.split = split
        self.label = label

    def _documents(self, path, report):
        if _is_binary(path):
            report.add(_BINARY, path)
            return
        label = path.parent.name if self.label is None else self.label
        with _open(path) as file:
            if self.split == "file":
                text = _decode(file.read(), path, None, report)
                yield Document(text, path.name, label), None
                return
            for number, text in self._pieces(file, path, report):
                yield Document(text, f"{path.name}:{number}", label), number

    def _pieces(self, file, path, report):
        """Line number and text of each non-blank line or paragraph."""
        paragraph, first = [], 1
        for number, line in enumerate(file, 1):
            line = _decode(line, path, number, report).rstrip("\r\n")
            if not line.strip():
                if paragraph:
                    yield first, "\n".join(paragraph)
                paragraph = []
            elif self.split == "line":
                yield number, line
            else:
                first = first if paragraph else number
                paragraph.append(line)
        if paragraph:
            yield first, "\n".join(paragraph)


def _open(path):
    return gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb")


def _is_binary(path):
    with _open(path) as file:
        return b"\0" in file.read(8_192)


def _decode(data, path, number, report):
    """Bytes as text; invalid ones are replaced and counted."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        report.add("places that are not UTF-8 (kept, repaired)", path, number)
        text = data.decode("utf-8", errors="replace")
    return text.removeprefix("\ufeff")
