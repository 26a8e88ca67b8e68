"""Temporary files and folders beside their goal, and the litter of dead ones.

A writer holds a lock of the system on its temporary file. The system frees it
when the process dies, however it dies. So whoever gets the lock of such a file
knows that nobody writes it any more, and may remove it.
"""

import contextlib
import itertools
import os
import pathlib
import re
import shutil
from collections.abc import Iterator

from keras_dinolm import arguments
from keras_dinolm.typing import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

# The `~` keeps our names apart from those that editors and users choose.
_NAME = re.compile(r"\.(.+)\.\d+~dinolm", re.DOTALL)
# File systems allow 255 bytes.
_LONGEST = 200


@contextlib.contextmanager
def temporary(target: pathlib.Path, folder: bool) -> Iterator[pathlib.Path]:
    """Makes an empty file or folder beside `target`, removed after an error.

    What a killed process left there for the same target is removed first. The
    block must end with the new file in its place: its name is free then, and
    another writer may have it already.

    Args:
        target: `pathlib.Path` of what will be replaced.
        folder: bool. Whether to make a folder.

    Yields:
        `pathlib.Path`.
    """
    # A name need not be UTF-8.
    stem = os.fsdecode(os.fsencode(target.name)[:_LONGEST])
    for number in itertools.count():
        path = target.with_name(f".{stem}.{number}~dinolm")
        remove_litter(path)
        if (lock := _make(path, folder)) is not None:
            break
    try:
        yield path
    except BaseException:
        if lock.holds(path) or not lock.known:
            with contextlib.suppress(OSError):
                remove(path)
        raise
    finally:
        lock.release()


def sweep(folder: Path) -> list[pathlib.Path]:
    """Removes the temporary files that killed processes left in a folder.

    What a living process writes is left alone, and so is everything with
    another name than those that `keras_dinolm.files` gives.

    Args:
        folder: string or path. Subfolders are not searched.

    Returns:
        List of the paths that were removed.

    Example:

    ```python
    import keras_dinolm as kd

    kd.files.write_text("notes.txt", "whole")
    assert not kd.files.sweep(".")  # nobody was killed
    ```
    """
    folder = arguments.path("folder", folder)
    try:
        found = [entry.path for entry in os.scandir(os.fspath(folder))]
    except (FileNotFoundError, NotADirectoryError):
        return []
    litter = map(pathlib.Path, filter(_is_ours, found))
    return [path for path in litter if remove_litter(path)]


def remove_litter(path: pathlib.Path, trust: bool = False) -> bool:
    """Removes a temporary file or folder unless a living process writes it.

    Args:
        path: `pathlib.Path`.
        trust: bool. Whether to remove it also where there are no locks, and
            nothing is known about other writers.

    Returns:
        Boolean. Whether it was removed.
    """
    lock = _Lock(path)
    try:
        dead = lock.held or (trust and not lock.known)
        if dead:
            remove(path)
        return dead
    except OSError:
        return False
    finally:
        lock.release()


def remove(path: pathlib.Path) -> None:
    """Removes a file or a folder of ours, if it is there.

    Args:
        path: `pathlib.Path`. A symbolic link is removed, not its target.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_ours(path):
    return _NAME.fullmatch(os.path.basename(path)) and not os.path.islink(path)


def _make(path, folder):
    """Makes a file or folder; returns its lock, or `None` if it is taken."""
    try:
        if folder:
            path.mkdir()
        else:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))
    except FileExistsError:
        return None
    lock = _Lock(path)
    # Someone who sweeps may have come between making and locking.
    return lock if lock.held or not lock.known else None


class _Lock:
    """The lock of the system on the file that bears a name now.

    `held` says whether we have it. `known` is `False` where the system or the
    file system has no such locks: nothing is known about other writers there.
    """

    def __init__(self, path):
        self.held = False
        self.known = fcntl is not None
        self._descriptor = None
        if not self.known:
            return
        try:
            self._descriptor = os.open(path, os.O_RDONLY)
        except OSError:  # it is gone
            return
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        except OSError:
            self.known = False
            return
        # The name may have gone to another file since it was opened.
        self.held = self.holds(path)

    def holds(self, path):
        """Whether the name still belongs to what was locked."""
        if self._descriptor is None:
            return False
        try:
            there = os.lstat(path)
        except OSError:
            return False
        return os.path.samestat(os.fstat(self._descriptor), there)

    def release(self):
        if self._descriptor is not None:
            os.close(self._descriptor)
