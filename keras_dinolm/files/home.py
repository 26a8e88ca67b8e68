"""The folder for caches."""

import os
import pathlib
import sys


def home() -> pathlib.Path:
    """The folder for caches: `KERAS_DINOLM_HOME`, or the platform's place.

    Returns:
        `pathlib.Path`. It need not exist yet.
    """
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
