"""Where things are kept, and how files appear whole or not at all."""

import contextlib
import os
import pathlib
import sys
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

from keras_dinolm.typing import Path


def home() -> pathlib.Path:
    """The folder for caches: `KERAS_DINOLM_HOME`, or the platform's place."""
    chosen = os.environ.get("KERAS_DINOLM_HOME")
    if chosen:
        return pathlib.Path(chosen).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "~")
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return pathlib.Path(base).expanduser() / "keras_dinolm"


@contextlib.contextmanager
def write_atomically(path: Path) -> Iterator[BinaryIO]:
    """Opens a file for bytes that appears under `path` only when complete.

    If the process is killed half-way, the old content stays, beside a `*.tmp`
    file.

    Args:
        path: where the file will be.

    Yields:
        A binary file object.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"
    )
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes a private file. Give it the mode that `open` gives.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
