"""Decompressing a stream that is compressed, as its first bytes tell."""

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from typing import Any
from typing import BinaryIO

# Endings that a compressed file has; what counts is its content.
ENDINGS = (".gz", ".bz2", ".xz", ".zst")

# A window of 64 MB is what `xz -9` needs. A hostile file asks for gigabytes.
_XZ_MEMORY = 1 << 28

_SOME = 1 << 16


class Rejoined(io.RawIOBase):
    """A stream whose first bytes were read already, to look at them.

    Args:
        head: bytes. The first ones.
        rest: binary stream.
        error: what reading on raised. It is raised after `head`, so that
            nothing of a damaged file is lost that could be read.
    """

    def __init__(
        self, head: bytes, rest: Any, error: BaseException | None = None
    ):
        super().__init__()
        self._head = memoryview(head)
        self._rest = rest
        self._error = error
        # One read at a time: what came before an error is not lost with it.
        self._read = getattr(rest, "read1", rest.read)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._head:
            part = self._head[: len(buffer)]
            self._head = self._head[len(part) :]
        elif self._error is not None:
            raise self._error
        else:
            part = self._read(len(buffer)) or b""
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        if not self.closed:
            self._rest.close()
        super().close()


class _Decompressed(io.RawIOBase):
    """Bytes of one or several compressed streams, a bounded part at a time."""

    def __init__(self, file: BinaryIO, make: Callable[[], Any]):
        super().__init__()
        self._file = file
        self._make = make
        self._decompressor = make()
        self._begun = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            data = b""
            if self._decompressor.eof:
                data = self._decompressor.unused_data or self._file.read(_SOME)
                while data and not data.strip(b"\0"):  # padding between streams
                    data = self._file.read(_SOME)
                data = data.lstrip(b"\0")
                if not data:
                    return 0
                self._decompressor = self._make()
                self._begun = False
            elif self._decompressor.needs_input:
                data = self._file.read(_SOME)
                if not data and self._begun:
                    raise EOFError("the compressed file is cut off")
                if not data:
                    return 0
            self._begun = True
            found = self._decompressor.decompress(data, len(buffer))
            if found:
                buffer[: len(found)] = found
                return len(found)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def decompressed(file: Any, head: bytes) -> Any:
    """Returns a stream of what a stream holds.

    Args:
        file: binary stream, from its beginning.
        head: bytes. Its first 16 bytes, or all if there are fewer.

    Returns:
        Binary stream: `file` itself unless it is compressed by gzip, bzip2,
        xz or zstd.

    Raises:
        ImportError: for zstd, if no library is there that reads it.

    Example:

    ```python
    import gzip
    import io
    from keras_dinolm.data.corpora.compression import decompressed

    data = gzip.compress(b"a text")
    assert decompressed(io.BytesIO(data), data[:16]).read() == b"a text"
    ```
    """
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file)
    if head[:3] == b"BZh" and head[4:10] in (
        b"1AY&SY",
        b"\x17\x72\x45\x38\x50\x90",  # of an empty file
    ):
        return _buffered(_Decompressed(file, bz2.BZ2Decompressor))
    if head.startswith(b"\xfd7zXZ\0"):
        return _buffered(_Decompressed(file, _xz))
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return _zstd(file)
    return file


def _buffered(raw):
    return io.BufferedReader(raw, _SOME)


def _xz():
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)


def _zstd(file):
    try:
        from compression import zstd  # Python 3.14

        return zstd.ZstdFile(file)
    except ImportError:
        pass
    try:
        import zstandard

        return zstandard.ZstdDecompressor().stream_reader(
            file, read_across_frames=True
        )
    except ImportError:
        pass
    try:
        import pyarrow

        raw = pyarrow.CompressedInputStream(pyarrow.PythonFile(file), "zstd")
        return _buffered(Rejoined(b"", raw))
    except ImportError:
        raise ImportError(
            "Files compressed by zstd need a library that reads them: "
            "`pip install zstandard`, or `pip install keras-dinolm[tables]`. "
            "`zstd -d` unpacks the file itself."
        ) from None
