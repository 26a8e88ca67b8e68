"""Files that appear whole or not at all."""

import contextlib
import errno
import json
import os
import pathlib
import stat
from collections.abc import Iterator
from typing import IO
from typing import Any

from keras_dinolm import arguments
from keras_dinolm.files.space import full_disk_named
from keras_dinolm.files.space import require_space
from keras_dinolm.files.temporary import temporary
from keras_dinolm.typing import Path


@contextlib.contextmanager
def write_file(
    path: Path, mode: str = "wb", size: int | None = None
) -> Iterator[IO]:
    """Opens a file that appears under `path` only when it is complete.

    The content goes into a temporary file in the same folder, to the disk, and
    then takes the place of what is there, in one step. Whoever reads `path`
    meanwhile, or after a crash, finds the old content or the new one. What a
    killed writer of the same file left is removed first.

    A symbolic link stays one: what it points to is replaced. Pipes and devices
    are written directly.

    Args:
        path: string or path. Missing parent folders are made.
        mode: string. `"wb"` for bytes, or `"w"` for text in UTF-8.
        size: optional int. The size of the content in bytes, if it is known.
            The free space is looked at before anything is written.

    Yields:
        A file object.

    Raises:
        ValueError: for another mode.
        IsADirectoryError: if `path` is a folder.
        PermissionError: if a file is there that may not be written.
        OSError: if the disk is full. The old content stays.

    Example:

    ```python
    import keras_dinolm as kd

    with kd.files.write_file("notes.txt", "w") as file:
        file.write("whole, or not there")
    ```
    """
    arguments.choice("mode", mode, ("w", "wb"))
    encoding = None if mode == "wb" else "utf-8"
    # Following links here leaves them in place.
    path = pathlib.Path(os.path.realpath(arguments.path("path", path)))
    old = _old_file(path)
    if old is not None and not stat.S_ISREG(old.st_mode):
        with open(path, mode, encoding=encoding) as file:
            yield file
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if size is not None:
        require_space(path.parent, size, f"'{path}'")
    with full_disk_named(path), temporary(path, folder=False) as new:
        with open(new, mode, encoding=encoding) as file:
            if old is not None:
                os.chmod(new, stat.S_IMODE(old.st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    folder_to_disk(path.parent)


def write_text(path: Path, text: str) -> None:
    """Writes a text file in UTF-8, whole or not at all; see `write_file`.

    Args:
        path: string or path.
        text: string.

    Raises:
        ValueError: if the text is no text in UTF-8.

    Example:

    ```python
    import keras_dinolm as kd

    kd.files.write_text("notes.txt", "whole, or not there")
    ```
    """
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"'{path}' is not written: character {error.start} of its text, "
            f"{text[error.start]!r}, is half of a surrogate pair, which UTF-8 "
            "does not know. Repair the text first."
        ) from None
    with write_file(path, size=len(data)) as file:
        file.write(data)


def write_json(path: Path, value: Any, indent: int | None = 1) -> None:
    """Writes a JSON file, whole or not at all; see `write_file`.

    Args:
        path: string or path.
        value: what `json.dumps` takes.
        indent: optional int. See `json.dumps`.

    Example:

    ```python
    import keras_dinolm as kd

    kd.files.write_json("plan.json", {"steps": 100})
    ```
    """
    # The value may be no JSON: nothing is touched then.
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False))


def folder_to_disk(folder: Path) -> None:
    """Makes the renames in a folder survive a power failure.

    Args:
        folder: string or path.
    """
    folder = arguments.path("folder", folder)
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems know no such thing.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def _old_file(path):
    """The status of what is at `path`, or `None`; refuses what must stay."""
    try:
        old = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISDIR(old.st_mode):
        raise IsADirectoryError(
            errno.EISDIR,
            "A folder is where the file was to be written. Choose another path",
            str(path),
        )
    if not os.access(path, os.W_OK):
        raise PermissionError(
            errno.EACCES,
            "The file is read-only and is left alone. Choose another path",
            str(path),
        )
    return old
