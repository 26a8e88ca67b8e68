"""Opening a file of text once: its compression, encoding and kind."""

import codecs
import io
import lzma
import os
import pathlib
import re
import zlib
from collections.abc import Iterator
from typing import Any

from keras_dinolm import arguments
from keras_dinolm.data.corpora.compression import Rejoined
from keras_dinolm.data.corpora.compression import decompressed

# What is looked at to tell text from anything else.
_HEAD = 1 << 16

# Marks each place of a decoded text that its encoding does not know.
# No encoding decodes anything to it.
UNDECODED = "\udcff"
_HANDLER = "keras_dinolm.mark"

# The longer ones first: UTF-32 begins as UTF-16 does.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# Beginnings that no text has.
_KINDS = (
    (b"\x7fELF", "program"),
    (b"\x89PNG", "picture"),
    (b"\xff\xd8\xff", "picture"),
    (b"GIF8", "picture"),
    (b"%PDF-", "PDF; convert it, as by `pdftotext`"),
    (b"PK\x03\x04", "zip archive, or Office document; unpack or export it"),
    (b"PK\x05\x06", "zip archive; unpack it"),
    (b"\xd0\xcf\x11\xe0", "Office document; export it as text"),
    (b"7z\xbc\xaf", "7z archive; unpack it"),
    (b"SQLite format 3\0", "SQLite database"),
    (b"\x89HDF\r\n", "HDF5 file"),
    (b"\x93NUMPY", "NumPy array"),
    (b"PAR1\x15", "Parquet file; use `keras_dinolm.data.read_parquet`"),
    (b"ARROW1\0", "Arrow file; use `keras_dinolm.data.read_table`"),
    (b"\x1f\x8b", "file that was compressed twice"),
    (b"\xfd7zXZ\0", "file that was compressed twice"),
    (b"\x28\xb5\x2f\xfd", "file that was compressed twice"),
)

# Control characters, apart from white space, backspace and escape.
_CONTROL = re.compile("[\0-\x07\x0e-\x1a\x1c-\x1f\x7f]")
_MOST_CONTROL = 0.05


# What reading a damaged file raises.
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError)


class NotText(Exception):
    """A file that holds no text; the message says what it seems to be."""


def check_encoding(encoding: Any) -> str:
    """Returns the name of an encoding of text, or raises a `ValueError`."""
    name = arguments.string("encoding", encoding)
    try:
        io.TextIOWrapper(io.BytesIO(), encoding=name)
    except (LookupError, ValueError):
        arguments.refuse(
            "encoding",
            encoding,
            "an encoding that Python knows, as 'utf-8', 'cp1252', 'utf-16-le'",
        )
    return name


def open_bytes(path: pathlib.Path) -> Any:
    """Opens a file or a pipe, once, and decompresses it by its content.

    Args:
        path: path. The name says nothing about the compression.

    Returns:
        Binary stream that need not be seekable.

    Raises:
        OSError: if it cannot be opened.

    Example:

    ```python
    import gzip
    import pathlib
    from keras_dinolm.data.corpora.opening import open_bytes

    pathlib.Path("notes.txt").write_bytes(gzip.compress(b"a text"))
    with open_bytes(pathlib.Path("notes.txt")) as file:
        assert file.read() == b"a text"
    ```
    """
    raw = open(path, "rb", buffering=0)
    try:
        head, error = _read(raw, 16)
        file = io.BufferedReader(Rejoined(head, raw, error), _HEAD)
        return decompressed(file, head)
    except BaseException:
        raw.close()
        raise


def open_text(
    path: pathlib.Path, encoding: str = "utf-8", newline: str | None = None
) -> io.TextIOWrapper:
    """Opens a file or a pipe of text, once.

    A byte order mark decides about the encoding. A file is no text if it
    begins as a known format does, or if more than one in twenty characters
    of its first 64 KB are control characters other than white space,
    backspace and escape (a few are always allowed). One NUL makes no file
    binary, wherever it is.

    Args:
        path: path.
        encoding: string. The encoding of a file without a byte order mark.
        newline: string or `None`. As for the function `open`.

    Returns:
        Text stream. `UNDECODED` takes the place of what cannot be decoded.

    Raises:
        OSError: if the file cannot be opened or decompressed.
        NotText: for a file of another kind.

    Example:

    ```python
    import pathlib
    from keras_dinolm.data.corpora.opening import open_text

    pathlib.Path("notes.txt").write_text("Größe", encoding="utf-16")
    with open_text(pathlib.Path("notes.txt")) as file:
        assert file.read() == "Größe"
    ```
    """
    file = open_bytes(path)
    try:
        head, error = _read(file, _HEAD)
        if error is not None and not head:
            raise error
        for mark, marked in _MARKS:
            if head.startswith(mark):
                encoding = marked
                break
        _check_kind(head, encoding)
        return io.TextIOWrapper(
            io.BufferedReader(Rejoined(head, file, error), _HEAD),
            encoding=encoding,
            errors=_HANDLER,
            newline=newline,
        )
    except BaseException:
        file.close()
        raise


def numbered_lines(file: Any, longest: int) -> Iterator[tuple[int, str | None]]:
    """Yields the number and the text of each line of a text stream.

    Args:
        file: text stream.
        longest: int. The text of a longer line is `None`. It is skipped part
            by part, so that no line fills the memory.

    Yields:
        Pairs of a number, from 1 on, and a line with its end, or `None`.

    Example:

    ```python
    import io
    from keras_dinolm.data.corpora.opening import numbered_lines

    lines = numbered_lines(io.StringIO("ab\\nabcdefg\\nc"), longest=3)
    assert list(lines) == [(1, "ab\\n"), (2, None), (3, "c")]
    ```
    """
    number = 0
    while line := file.readline(longest + 1):
        number += 1
        if len(line) > longest and not line.endswith("\n"):
            while line and not line.endswith("\n"):
                line = file.readline(_HEAD)
            yield number, None
        else:
            yield number, line


def is_stream(path: pathlib.Path) -> bool:
    """Whether a path is a pipe or a device, which can be read only once."""
    return not os.path.isfile(path)


def _read(file, size):
    """The first bytes of a stream, and what stopped the reading if any."""
    parts, missing, error = [], size, None
    read = getattr(file, "read1", file.read)
    try:
        # Pipes give what they have, in small parts.
        while missing and (part := read(missing)):
            parts.append(part)
            missing -= len(part)
    except DAMAGED as caught:
        error = caught
    return b"".join(parts), error


def _check_kind(head, encoding):
    if encoding not in ("utf-16", "utf-32", "utf-8-sig"):
        for start, kind in _KINDS:
            if head.startswith(start):
                raise NotText(kind)
        if head[257:262] == b"ustar":
            raise NotText("tar archive; unpack it")
    text = codecs.getincrementaldecoder(encoding)("ignore").decode(head)
    control = len(_CONTROL.findall(text))
    if control <= max(4, _MOST_CONTROL * len(text)):
        return
    even, odd = head[::2], head[1::2]
    for nul, other, name in (
        (odd, even, "utf-16-le"),
        (even, odd, "utf-16-be"),
    ):
        if nul.count(0) > 0.5 * len(nul) and other.count(0) < 0.1 * len(other):
            raise NotText(f"perhaps UTF-16; then pass encoding={name!r}")
    raise NotText("convert them to UTF-8 text")


def _mark(error):
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return UNDECODED, error.end


codecs.register_error(_HANDLER, _mark)
