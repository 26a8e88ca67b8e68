"""Which backend to use where nobody chose one."""

import importlib.util
import json
import os
import pathlib

# By the steps that fit into minutes on a CPU, compilation included. Measured
# by `benchmarks/backends.py`.
FASTEST_FIRST = ("tensorflow", "torch", "jax")
# Into keras.json, at its first import, whatever is installed.
WRITTEN_BY_KERAS = "tensorflow"


def choose_backend() -> str:
    """Sets `KERAS_BACKEND`, unless it is set, to the fastest that is installed.

    Keras reads the variable once, when it is imported, so call this before.
    Without it, Keras takes TensorFlow, and fails where that is missing.

    Returns:
        The backend: that of `KERAS_BACKEND` if it is set; or that of your
        `~/.keras/keras.json`, unless Keras wrote that itself; or the fastest
        that is installed, for training of minutes on a CPU.

    Raises:
        ImportError: if no backend is installed.

    Example:

    ```python
    from keras_dinolm.backend import choose_backend

    print(choose_backend())
    ```
    """
    if not os.environ.get("KERAS_BACKEND"):
        os.environ["KERAS_BACKEND"] = default_backend()
    return os.environ["KERAS_BACKEND"]


def default_backend() -> str:
    """The backend to use when `KERAS_BACKEND` is not set.

    Returns:
        That of Keras' own configuration, unless Keras wrote that itself, or
        the fastest that is installed.

    Raises:
        ImportError: if no backend is installed.
    """
    home = pathlib.Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    try:
        chosen = json.loads((home / "keras.json").read_text())["backend"]
    except (OSError, ValueError, KeyError, TypeError):
        chosen = None
    first = () if chosen == WRITTEN_BY_KERAS else (chosen,)
    for name in (*first, *FASTEST_FIRST):
        if name in FASTEST_FIRST and is_installed(name):
            return name
    raise ImportError(
        "No backend is installed. Install one of: "
        + ", ".join(f"pip install {name}" for name in FASTEST_FIRST)
        + "."
    )


def is_installed(backend: str) -> bool:
    """Whether a backend could be imported, found without importing it.

    Args:
        backend: string.

    Returns:
        A bool.
    """
    return (
        backend in FASTEST_FIRST
        and importlib.util.find_spec(backend) is not None
    )
