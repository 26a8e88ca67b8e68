"""Files of ours, read with errors that name the file and the cure."""

import json
import pathlib
import warnings
from typing import Any

from keras_dinolm import arguments
from keras_dinolm.typing import Path


def read_json(path: Path, what: str, fix: str) -> Any:
    """Reads a JSON file.

    Args:
        path: string or path.
        what: string. What the file is, for the message, as in "plan".
        fix: string. A sentence that says what to do if it is damaged.

    Returns:
        What `json.loads` returns.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no JSON; names the file and the fix.

    Example:

    ```python
    import keras_dinolm as kd

    kd.files.write_json("plan.json", {"steps": 100})
    plan = kd.files.read_json("plan.json", "plan", "Write it again.")
    assert plan == {"steps": 100}
    ```
    """
    path = arguments.path("path", path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise FileNotFoundError(
            error.errno, f"There is no {what} here. {fix}", str(path)
        ) from None
    except UnicodeDecodeError as error:
        raise _damaged(path, what, fix, f"not UTF-8: {error}") from None
    try:
        return parse_json(text)
    except ValueError as error:
        raise _damaged(path, what, fix, error) from None


def read_json_or_set_aside(path: Path) -> Any:
    """Reads a JSON file that can be made again.

    A damaged file is not removed, as it may hold what someone wants. It gets
    another name, `<name>.damaged`, and a warning says so.

    Args:
        path: string or path.

    Returns:
        What `json.loads` returns, or `None` if there is no such file or it
        was damaged.

    Example:

    ```python
    import keras_dinolm as kd

    assert kd.files.read_json_or_set_aside("no_file.json") is None
    ```
    """
    path = arguments.path("path", path)
    try:
        return read_json(path, "file", "")
    except FileNotFoundError:
        return None
    except ValueError as error:
        set_aside(path, error)
        return None


def set_aside(path: Path, why: object) -> pathlib.Path:
    """Renames a damaged file or folder to `<name>.damaged`, with a warning.

    Args:
        path: string or path.
        why: what is wrong with it, for the warning.

    Returns:
        The new `pathlib.Path`.

    Example:

    ```python
    import warnings

    import keras_dinolm as kd

    kd.files.write_text("plan.json", "{")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert kd.files.set_aside("plan.json", "a torn file").is_file()
    ```
    """
    path = arguments.path("path", path)
    aside = path.with_name(f"{path.name}.damaged")
    number = 2
    while aside.exists() or aside.is_symlink():
        aside = path.with_name(f"{path.name}.damaged-{number}")
        number += 1
    path.rename(aside)
    warnings.warn(
        f"'{path}' is damaged ({why}). It is now '{aside.name}', and a new one "
        "will be made.",
        stacklevel=3,
    )
    return aside


def parse_json(text: str) -> Any:
    """`json.loads`, for which every bad text is a `ValueError`.

    Args:
        text: string.

    Returns:
        What `json.loads` returns.

    Raises:
        ValueError: if it is no JSON, or nested too deeply for Python.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _damaged(path, what, fix, why):
    return ValueError(f"The {what} '{path}' is no valid JSON ({why}). {fix}")
