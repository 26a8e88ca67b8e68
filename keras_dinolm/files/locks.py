"""One writer at a time."""

import contextlib
import json
import os
import socket
from collections.abc import Iterator

import filelock

from keras_dinolm import arguments
from keras_dinolm.typing import Path


class InUseError(RuntimeError):
    """Another process, or another object of this one, holds a lock."""


@contextlib.contextmanager
def lock(
    path: Path, timeout: float | None = None, what: str = "folder"
) -> Iterator[None]:
    """Holds a lock while the block runs.

    The system frees the lock of a process that dies, however it dies. The lock
    file stays, as removing it would let two processes hold the lock. The file
    `<name>-holder` next to it tells others who has it.

    Args:
        path: string or path of the lock file. Its folder must exist.
        timeout: optional float. Seconds to wait; forever if `None`.
        what: string. What the folder of the lock file is, for the message.

    Raises:
        InUseError: if the time is over; names the holder.

    Example:

    ```python
    import keras_dinolm as kd

    with kd.files.lock(".lock", timeout=0, what="folder of my run"):
        pass
    ```
    """
    path = arguments.path("path", path)
    holder = path.with_name(f"{path.name}-holder")
    held = filelock.FileLock(path)
    try:
        held.acquire(timeout=-1 if timeout is None else timeout)
    except filelock.Timeout:
        raise InUseError(
            f"The {what} '{path.parent}' is in use by {_named(holder)}. Wait "
            "for it, stop it, or choose another place."
        ) from None
    try:
        owner = {"pid": os.getpid(), "host": socket.gethostname()}
        with contextlib.suppress(OSError):  # it only helps the message
            holder.write_text(json.dumps(owner), encoding="utf-8")
        yield
    finally:
        held.release()


def _named(holder):
    try:
        owner = json.loads(holder.read_text(encoding="utf-8"))
        if owner["pid"] == os.getpid():
            return "this very process"
        return f"process {owner['pid']} on {owner['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
