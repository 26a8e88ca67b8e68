"""A corpus of files that counts what it cannot use."""

import collections
import pathlib
import warnings
import zlib
from collections.abc import Iterator

from keras_dinolm.data.corpora.corpus import Corpus
from keras_dinolm.data.corpora.document import Document

BINARY = "binary files (convert them to UTF-8 text)"

_MAXIMUM_SHOWN = 5


class Report:
    """Counts what went wrong, and says so in one warning."""

    def __init__(self, dropped: collections.Counter):
        self.dropped = dropped
        self.places: dict[str, list[str]] = collections.defaultdict(list)

    def add(
        self, reason: str, path: pathlib.Path, line: int | None = None
    ) -> None:
        self.dropped[reason] += 1
        place = f"{path}:{line}" if line else str(path)
        if len(self.places[reason]) < _MAXIMUM_SHOWN:
            self.places[reason].append(place)

    def warn(self, documents: int, name: str) -> None:
        if not self.places:
            return
        lines = [
            f"Read {documents:,} documents of {name}. Some of it was left out "
            "or repaired:"
        ]
        for reason, places in sorted(self.places.items()):
            more = self.dropped[reason] - len(places)
            lines.append(
                f"  {self.dropped[reason]:,} {reason}: {', '.join(places)}"
                + (f" and {more:,} more" if more else "")
            )
        warnings.warn("\n".join(lines), stacklevel=4)


class FileCorpus(Corpus):
    """Documents of files, with one report over all of them.

    Subclasses implement `_documents`, a generator of pairs of a document and
    its line (or `None`).

    Args:
        files: list of paths.
        minimum_characters: int. Shorter documents are left out.
    """

    def __init__(self, files: list[pathlib.Path], minimum_characters: int):
        names = ", ".join(map(str, files[:3])) + (
            f" and {len(files) - 3:,} more files" if len(files) > 3 else ""
        )
        super().__init__(names)
        self.files = files
        self.minimum_characters = minimum_characters

    def _documents(
        self, path: pathlib.Path, report: Report
    ) -> Iterator[tuple[Document, int | None]]:
        raise NotImplementedError

    def _read(self):
        report = Report(self.dropped)
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
        # Only the first pass warns: a second one finds the same.
        if not self._reported:
            self._reported = True
            report.warn(count, self.name)


def decode(
    data: bytes, path: pathlib.Path, number: int | None, report: Report
) -> str:
    """Reads bytes as UTF-8; invalid ones are replaced and counted."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        report.add("places that are not UTF-8 (kept, repaired)", path, number)
        text = data.decode("utf-8", errors="replace")
    return text.removeprefix("\ufeff")
