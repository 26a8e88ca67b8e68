"""The moments at which a process changes names on the disk.

A kill between two of them finds every half-done change, and can be repeated:
the same number of the same work is the same moment.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable

_NAMES = {
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "shutil.rmtree",
    "shutil.move",
    "shutil.copyfile",
    "tempfile.mkstemp",
    "tempfile.mkdtemp",
}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def _changes(name, arguments):
    if name == "open":
        path, _, flags = arguments
        if isinstance(path, int) or not flags:
            return False
        return bool(flags & _WRITING) and not _elsewhere(path)
    return name in _NAMES


def _elsewhere(path):
    path = os.fsdecode(path)
    return path.startswith(("/dev/", "/proc/")) or path.endswith(".pyc")


def count_events() -> Callable[[], int]:
    """Counts from now on; returns a function that tells the count."""
    count = 0

    def hook(name, arguments):
        nonlocal count
        count += _changes(name, arguments)

    sys.addaudithook(hook)
    return lambda: count


def kill_at_event(number: int, seconds: float) -> None:
    """Kills this process at its `number`th change of a name.

    Args:
        number: int, from 1 on.
        seconds: float. With 0 the kill comes before the change; otherwise so
            long after it.
    """
    count = 0

    def kill():
        if seconds:
            time.sleep(seconds)
        os.kill(os.getpid(), signal.SIGKILL)

    def hook(name, arguments):
        nonlocal count
        if not _changes(name, arguments):
            return
        count += 1
        if count != number:
            return
        if seconds:
            threading.Thread(target=kill, daemon=True).start()
        else:
            kill()

    sys.addaudithook(hook)
