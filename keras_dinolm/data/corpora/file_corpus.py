"""A corpus of files that counts what it cannot use."""

import io
import os
import pathlib
from collections.abc import Callable
from collections.abc import Iterator

from keras_dinolm import arguments
from keras_dinolm.data.corpora.corpus import Corpus
from keras_dinolm.data.corpora.document import Document
from keras_dinolm.data.corpora.files import Paths
from keras_dinolm.data.corpora.files import find_files
from keras_dinolm.data.corpora.opening import DAMAGED
from keras_dinolm.data.corpora.opening import UNDECODED
from keras_dinolm.data.corpora.opening import NotText
from keras_dinolm.data.corpora.opening import check_encoding
from keras_dinolm.data.corpora.opening import is_stream
from keras_dinolm.data.corpora.opening import open_text
from keras_dinolm.data.corpora.report import Report

# A document of 10 million characters is a shelf of books. It is as much as
# reading holds in memory at a time, a few times over.
MAXIMUM_CHARACTERS = 10_000_000

# Pipes without a name that were opened. A second opening would find them
# empty, also that of another corpus.
_opened: set[tuple[int, int]] = set()


class Limits:
    """What of a file's text becomes documents.

    Args:
        minimum_characters: int. Shorter documents are left out.
        maximum_characters: int. Longer documents, and lines or fields that
            would be, are left out. This bounds the memory.
        encoding: string. Of files without a byte order mark.
        errors: `"skip"` leaves out documents with bytes that are not in the
            encoding, `"replace"` keeps them with U+FFFD in their place.
    """

    def __init__(
        self,
        minimum_characters: int,
        maximum_characters: int,
        encoding: str,
        errors: str,
    ):
        self.minimum_characters = arguments.count(
            "minimum_characters", minimum_characters, 0
        )
        self.maximum_characters = arguments.count(
            "maximum_characters", maximum_characters
        )
        if self.minimum_characters > self.maximum_characters:
            arguments.refuse(
                "minimum_characters",
                minimum_characters,
                f"at most maximum_characters={maximum_characters}",
            )
        self.encoding = check_encoding(encoding)
        self.errors = arguments.choice("errors", errors, ("skip", "replace"))

    def open(
        self, path: pathlib.Path, newline: str | None = None
    ) -> io.TextIOWrapper:
        """Opens a file of text; see `open_text`."""
        return open_text(path, self.encoding, newline)

    def accept(
        self, text: str | None, place: str, report: Report
    ) -> str | None:
        """Returns a piece of a file if it is short enough and was decoded.

        Args:
            text: string, or `None` for one that was too long to be read.
            place: string. Where it is.
            report: `Report` of what is left out.

        Returns:
            String, or `None`.
        """
        if text is None or len(text) > self.maximum_characters:
            report.add(
                f"documents above {self.maximum_characters:,} characters",
                place,
                "Raise `maximum_characters`, or split them (of text files, by "
                "`split='paragraph'`).",
            )
            return None
        if UNDECODED not in text:
            return text
        cure = (
            "Pass `encoding=`, as in encoding='cp1252' for Windows, or "
            "errors='replace' to keep them with U+FFFD in the place of bytes "
            "that cannot be read."
        )
        if self.errors == "skip":
            reason = f"documents that are not {self.encoding}"
            report.add(reason, place, cure)
            return None
        reason = f"documents that are not {self.encoding} (kept, with U+FFFD)"
        report.add(reason, place, cure)
        return text


def repaired(document: Document) -> Document:
    """Returns a document with U+FFFD where bytes could not be decoded."""
    fields = (document.text, document.id, document.label, *document.alternates)
    if not any(UNDECODED in field for field in fields):
        return document
    text, name, label, *others = (
        field.replace(UNDECODED, "\ufffd") for field in fields
    )
    return Document(text, name, label, document.module, others)


# From a file to its documents, with a place for messages each.
Reader = Callable[[pathlib.Path, Report], Iterator[tuple[Document, str]]]


class FileCorpus(Corpus):
    """Documents of files, with one report over all of them.

    Args:
        paths: path, or list of paths, as for `find_files`.
        endings: tuple of str. Which files of a folder count.
        limits: `Limits`.
        read_file: function from a path and a `Report` to an iterator of pairs
            of a document and its place. It opens the file once.
    """

    def __init__(
        self,
        paths: Paths,
        endings: tuple[str, ...],
        limits: Limits,
        read_file: Reader,
    ):
        found = find_files(paths, endings)
        names = ", ".join(map(str, found.files[:3]))
        if len(found.files) > 3:
            names += f" and {len(found.files) - 3:,} more files"
        super().__init__(names)
        self.files = found.files
        self.once = any(map(is_stream, found.files))
        self._found = found
        self._limits = limits
        self._read_file = read_file
        self._said: tuple | None = None
        self._opened: set[pathlib.Path] = set()

    def _read(self, dropped):
        report = Report(dropped)
        for reason, path, quiet in self._found.left_out:
            report.add(reason, path, quiet=quiet)
        count = 0
        for path in self.files:
            if is_stream(path):
                self._open_once(path)
            report.num_files += 1
            try:
                for document, place in self._read_file(path, report):
                    if self._is_long_enough(document, place, report):
                        count += 1
                        yield document
            except NotText as error:
                report.num_files -= 1
                report.add(f"binary files ({error})", path)
            except DAMAGED as error:
                # A file that was asked for by name must be there.
                if getattr(error, "errno", None) and path in self._found.named:
                    raise
                reason = getattr(error, "strerror", None) or str(error)
                report.add(
                    "files (or rests of files) that cannot be read "
                    f"({type(error).__name__})",
                    path,
                    f"The first one: {reason}.",
                )
        # Another pass speaks only if it found something else.
        said = (count, dict(dropped))
        if said != self._said:
            self._said = said
            report.warn(count, self.name)

    def _is_long_enough(self, document, place, report):
        length = len(document.text.strip())
        if length == 0:
            report.add("empty documents", place)
        elif length < self._limits.minimum_characters:
            least = self._limits.minimum_characters
            report.add(f"documents below {least} characters", place)
        else:
            return True
        return False

    def _open_once(self, path):
        """Raises if a pipe was opened before."""
        status = os.stat(path)
        key = (status.st_dev, status.st_ino)
        if path in self._opened or key in _opened:
            raise ValueError(
                f"{path} is a pipe or a device that was read already, and it "
                "can be read only once. To read it again, save it to a file "
                "(`cat > texts.jsonl`) and give its path, or keep the "
                "documents: `documents = list(corpus)`."
            )
        self._opened.add(path)
        # A pipe with a name may be opened again, for what another writer
        # sends to another corpus.
        if not os.path.exists(os.path.realpath(path)):
            _opened.add(key)
