"""The room on a disk, looked at before a large file is written."""

import contextlib
import errno
import os
import pathlib
import shutil
from collections.abc import Iterator

from keras_dinolm import arguments
from keras_dinolm.typing import Path

_FULL = {
    errno.ENOSPC,
    errno.EFBIG,
    getattr(errno, "EDQUOT", errno.ENOSPC),  # Windows has none
}

# Names of files, journals and rounding to blocks take some as well.
_RESERVE = 1 << 20


def require_space(folder: Path, size: int, what: str) -> None:
    """Raises an error unless a folder's disk has room for `size` bytes.

    Some libraries, HDF5 among them, end the whole process when a disk fills up
    under them. So the room is looked at first.

    Args:
        folder: string or path. Need not exist; its parents count then.
        size: int. The bytes to come.
        what: string. What is to be written, for the message.

    Raises:
        OSError: with `errno.ENOSPC`, if the room is too small.

    Example:

    ```python
    import keras_dinolm as kd

    kd.files.require_space(".", 1000, "my notes")
    ```
    """
    folder = pathlib.Path(os.path.realpath(arguments.path("folder", folder)))
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < size + _RESERVE:
        raise OSError(
            errno.ENOSPC,
            f"{what} needs {size / 2**20:,.1f} MiB, and the disk of "
            f"'{folder}' has {free / 2**20:,.1f} MiB free. Nothing was "
            "written. Make room, or choose another folder",
        )


@contextlib.contextmanager
def full_disk_named(path: pathlib.Path) -> Iterator[None]:
    """Adds to the error of a full disk what was being written, and the cure."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL and not error.filename:
            raise OSError(
                error.errno,
                f"{error.strerror}: it was not written, and what was there "
                "before is untouched. Make room and run the same command again",
                str(path),
            ) from error
        raise
