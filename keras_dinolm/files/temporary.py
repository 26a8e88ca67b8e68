"""Temporary files and folders beside their goal, and the litter of dead ones.

A writer holds a lock of the system on its temporary file. The system frees it
when the process dies, however it dies. So whoever gets the lock of such a file
knows that nobody writes it any more, and may remove it.
"""

import contextlib
import os
import pathlib
import re
import secrets
import shutil
from collections.abc import Iterator

from keras_dinolm.typing import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

# The `~` keeps our names apart from those that editors and users choose.
_NAME = re.compile(r"\.(.+)\.[0-9a-f]{16}~dinolm", re.DOTALL)
# File systems allow 255 bytes.
_LONGEST = 200


@contextlib.contextmanager
def temporary(target: pathlib.Path, folder: bool) -> Iterator[pathlib.Path]:
    """Makes an empty file or folder beside `target`, removed at the end.

    Args:
        target: `pathlib.Path` of what will be replaced.
        folder: bool. Whether to make a folder.

    Yields:
        `pathlib.Path`. A caller that moves it away leaves nothing to remove.
    """
    stem = target.name.encode()[:_LONGEST].decode(errors="ignore")
    while True:
        path = target.with_name(f".{stem}.{secrets.token_hex(8)}~dinolm")
        if folder:
            path.mkdir()
        else:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))
        lock = _lock(path)
        # Someone who sweeps may have come between making and locking.
        if path.exists():
            break
        _release(lock)
    try:
        yield path
    finally:
        with contextlib.suppress(OSError):
            remove(path)
        _release(lock)


def sweep(folder: Path, name: str | None = None) -> list[pathlib.Path]:
    """Removes the temporary files that killed processes left in a folder.

    What a living process writes is left alone, and so is everything with
    another name than those that `keras_dinolm.files` gives.

    Args:
        folder: string or path. Subfolders are not searched.
        name: optional string. Sweep only what was to become this file.

    Returns:
        List of the paths that were removed.

    Example:

    ```python
    import keras_dinolm as kd

    kd.files.write_text("notes.txt", "whole")
    assert not kd.files.sweep(".")  # nobody was killed
    ```
    """
    swept = []
    stem = name and name.encode()[:_LONGEST].decode(errors="ignore")
    try:
        found = list(os.scandir(os.fspath(folder)))
    except (FileNotFoundError, NotADirectoryError):
        return swept
    for entry in found:
        match = _NAME.fullmatch(entry.name)
        if not match or entry.is_symlink() or (stem and match[1] != stem):
            continue
        path = pathlib.Path(entry.path)
        lock = _lock(path)
        if lock is None:
            continue
        with contextlib.suppress(OSError):
            remove(path)
            swept.append(path)
        _release(lock)
    return swept


def remove(path: pathlib.Path) -> None:
    """Removes a file or a folder of ours, if it is there.

    Args:
        path: `pathlib.Path`. A symbolic link is removed, not its target.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _lock(path):
    """A descriptor that holds the lock of a path, or `None` if it is taken."""
    if fcntl is None:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held, or a file system without locks
        os.close(descriptor)
        return None
    return descriptor


def _release(descriptor):
    if descriptor is not None:
        os.close(descriptor)
