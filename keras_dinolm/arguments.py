"""Checks of arguments, for the whole package.

Every check returns the value as the function behind it wants it, or raises a
`ValueError` that names the argument, what it must be, and what it was. The
name is the one that the user wrote. A caller for which `None` means something
checks for it first.
"""

import math
import numbers
import os
import pathlib
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import NoReturn

import numpy as np

# How `None`, NaN, and the missing values of pandas print.
_MISSING = ("None", "nan", "<NA>", "NaT")


def number(
    name: str,
    value: Any,
    low: float | None = None,
    high: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
    meaning: str = "",
) -> float:
    """Returns a finite real number of a range as a float.

    Args:
        name: string. The argument, as the user wrote it.
        value: what the user gave. A bool is no number here.
        low: optional number. The least allowed value.
        high: optional number. The greatest allowed value.
        above: optional number. The value must be greater than this.
        below: optional number. The value must be less than this.
        meaning: optional string. What the number stands for, for the message.

    Returns:
        Float.

    Raises:
        ValueError: unless the value is such a number.

    Example:

    ```python
    from keras_dinolm import arguments

    assert arguments.number("momentum", 1, low=0, high=1) == 1.0
    ```
    """
    result = _finite(value)
    if (
        result is None
        or (low is not None and result < low)
        or (high is not None and result > high)
        or (above is not None and result <= above)
        or (below is not None and result >= below)
    ):
        limits = _range(low, high, above, below)
        refuse(name, value, f"a finite number{limits}", meaning)
    return result


def integer(
    name: str,
    value: Any,
    low: int | None = None,
    high: int | None = None,
    *,
    meaning: str = "",
) -> int:
    """Returns an integer of a range as an int.

    Args:
        name: string. The argument, as the user wrote it.
        value: what the user gave. Neither a bool nor a float is an integer
            here.
        low: optional int. The least allowed value.
        high: optional int. The greatest allowed value.
        meaning: optional string. What the number stands for, for the message.

    Returns:
        Int.

    Raises:
        ValueError: unless the value is such an integer.

    Example:

    ```python
    import numpy as np
    from keras_dinolm import arguments

    assert arguments.integer("steps", np.int64(3), low=1) == 3
    ```
    """
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if (
        not whole
        or (low is not None and value < low)
        or (high is not None and value > high)
    ):
        refuse(name, value, f"an integer{_range(low, high)}", meaning)
    return int(value)


def count(name: str, value: Any, low: int = 1, *, meaning: str = "") -> int:
    """Returns an integer in [low, 2^31), or raises a `ValueError`.

    Sizes, seeds and numbers of steps are such integers: backends compute with
    them in int32, and fail deep inside when one is larger.
    """
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or not low <= value < 2**31:
        what = f"an integer of at least {low:,} and below 2^31"
        refuse(name, value, what, meaning)
    return int(value)


def flag(name: str, value: Any) -> bool:
    """Returns `True` or `False`, or raises a `ValueError`."""
    if not isinstance(value, bool | np.bool_):
        refuse(name, value, "`True` or `False`")
    return bool(value)


def choice(name: str, value: Any, allowed: Collection[Any]) -> Any:
    """Returns one of some allowed values, or raises a `ValueError`."""
    for item in allowed:
        # `1 == True`, and an array has no single truth.
        if type(item) is type(value) and item == value:
            return item
        if isinstance(item, str) and isinstance(value, str) and item == value:
            return item
    listed = ", ".join(repr(item) for item in allowed)
    refuse(name, value, f"one of {listed}")


def string(name: str, value: Any, *, meaning: str = "") -> str:
    """Returns a string that is not empty, or raises a `ValueError`."""
    if not isinstance(value, str) or not value:
        refuse(name, value, "a string that is not empty", meaning)
    return str(value)


def path(name: str, value: Any) -> pathlib.Path:
    """Returns a path with `~` expanded, or raises a `ValueError`."""
    text = value
    if isinstance(value, os.PathLike):
        text = os.fspath(value)
    if not isinstance(text, str) or not text or "\0" in text:
        refuse(name, value, "a path: a string or a `pathlib.Path`")
    return pathlib.Path(text).expanduser()


def instance(
    name: str, value: Any, kinds: type | tuple[type, ...], what: str
) -> Any:
    """Returns an object of some class, or raises a `ValueError`.

    Args:
        name: string. The argument, as the user wrote it.
        value: what the user gave.
        kinds: class or tuple of classes.
        what: string. What the value must be, for the message, as in
            "a `keras_dinolm.views.TextViews`".

    Returns:
        The value.

    Raises:
        ValueError: if it is of another class, or is the class itself.

    Example:

    ```python
    from keras_dinolm import arguments

    arguments.instance("names", ["a"], list, "a list of names")
    ```
    """
    if not isinstance(value, kinds):
        refuse(name, value, what)
    return value


def texts(name: str, value: Any) -> Iterator[str]:
    """Iterates over the strings of a list, a generator, or one column.

    A column of pandas, polars, Arrow or Hugging Face is read as what it is, a
    sequence of strings. A table, a dict, one bare string and bytes are
    refused, since iterating over them yields column names, letters or
    integers.

    Args:
        name: string. The argument, as the user wrote it.
        value: what the user gave.

    Returns:
        An iterator of strings. It raises the error of a bad item when it
        arrives there; that of a bad `value` comes at once.

    Raises:
        ValueError: for what is no sequence of strings; names the first bad
            item.

    Example:

    ```python
    from keras_dinolm import arguments

    assert list(arguments.texts("texts", ("a", "b"))) == ["a", "b"]
    ```
    """
    _refuse_tables(name, value)
    if isinstance(value, str | bytes | bytearray | os.PathLike):
        refuse(name, value, f"a list of strings: write `{name}=[...]`")
    # A column of Arrow yields scalars of its own.
    if hasattr(value, "to_pylist"):
        value = value.to_pylist()
    if not isinstance(value, Iterable) or getattr(value, "ndim", 1) != 1:
        refuse(name, value, "a list of strings")
    return _strings_of(name, value)


def strings(name: str, value: Any) -> list[str]:
    """Returns the strings of `texts` as a list; see there."""
    return list(texts(name, value))


def matrix(name: str, value: Any, *, meaning: str = "") -> np.ndarray:
    """Returns an array of real numbers with rows and columns.

    Args:
        name: string. The argument, as the user wrote it.
        value: what the user gave. A memory map is not read.
        meaning: optional string. What the array stands for, for the message.

    Returns:
        A NumPy array `[N, D]` of any real dtype.

    Raises:
        ValueError: unless the value is such an array, with at least one row
            and one column.

    Example:

    ```python
    from keras_dinolm import arguments

    assert arguments.matrix("features", [[1, 2, 3]]).shape == (1, 3)
    ```
    """
    if value is None or isinstance(value, str | bytes):
        refuse(name, value, "an array [N, D] of real numbers", meaning)
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        refuse(name, value, "an array [N, D] of real numbers", meaning)
    # NumPy alone knows no bfloat16, whose kind is "V".
    if array.dtype.kind not in "fiu" and "float" not in str(array.dtype):
        refuse(name, value, "an array [N, D] of real numbers", meaning)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(
            f"Argument `{name}` must have shape [N, D], with at least one row "
            f"and one column. Received: {name} of shape {array.shape}"
        )
    return array


def check_finite(name: str, array: np.ndarray) -> None:
    """Raises unless all numbers of a matrix are finite.

    Args:
        name: string. The argument, as the user wrote it.
        array: array `[N, D]`.

    Raises:
        ValueError: naming the first row with NaN or infinity.

    Example:

    ```python
    import numpy as np
    from keras_dinolm import arguments

    arguments.check_finite("features", np.ones((2, 3)))
    ```
    """
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise ValueError(
            f"Argument `{name}` must be finite. Received: NaN or infinity in "
            f"{len(bad):,} of {len(array):,} rows of {name}, first in row "
            f"{bad[0]}"
        )


def field(config: Any, name: str, owner: type) -> Any:
    """Returns an entry of a configuration, or raises a `ValueError`.

    Args:
        config: what `from_config` of a class was given.
        name: string. The entry.
        owner: the class, for the message.

    Returns:
        The entry.

    Raises:
        ValueError: if the configuration is no dict, or lacks the entry.

    Example:

    ```python
    from keras_dinolm import arguments

    assert arguments.field({"dim": 3}, "dim", dict) == 3
    ```
    """
    if not isinstance(config, Mapping) or name not in config:
        raise ValueError(
            f"The configuration of a `{owner.__name__}` lacks `{name}`. It "
            "comes from another version, or was changed. "
            f"Received: {shorten(config)}"
        )
    return config[name]


def refuse(name: str, value: Any, what: str, meaning: str = "") -> NoReturn:
    """Raises the `ValueError` of an argument.

    Args:
        name: string. The argument, as the user wrote it.
        value: what the user gave.
        what: string. What it must be.
        meaning: optional string. What the argument stands for.

    Raises:
        ValueError: always.

    Example:

    ```python
    from keras_dinolm import arguments

    try:
        arguments.refuse("rate", 2, "below 1")
    except ValueError as error:
        assert "rate=2" in str(error)
    ```
    """
    colon = f": {meaning}" if meaning else ""
    raise ValueError(
        f"Argument `{name}` must be {what}{colon}. "
        f"Received: {name}={shorten(value)}"
    )


def shorten(value: Any, length: int = 80) -> str:
    """The `repr` of a value, cut for an error message."""
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= length else text[: length - 3] + "..."


def _finite(value):
    """The value as a finite float, or `None`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    try:
        result = float(value)
    except (OverflowError, ValueError):
        return None
    return result if math.isfinite(result) else None


def _range(low=None, high=None, above=None, below=None):
    """The words for a range, as in " of at least 1 and below 5"."""
    words = []
    if low is not None and high is not None:
        words.append(f"in [{low:,}, {high:,}]")
    elif low is not None:
        words.append(f"of at least {low:,}")
    elif high is not None:
        words.append(f"of at most {high:,}")
    if above is not None:
        words.append(f"above {above:,}")
    if below is not None:
        words.append(f"below {below:,}")
    return f" {' and '.join(words)}" if words else ""


def _refuse_tables(name, value):
    if isinstance(value, Mapping):
        columns = list(value)
    else:
        columns = getattr(value, "column_names", None)
        if columns is None:
            columns = getattr(value, "columns", None)
        if columns is None or callable(columns):
            return
        columns = list(columns)
    shown = ", ".join(shorten(column, 30) for column in columns[:8])
    example = shorten(columns[0], 30) if columns else "'text'"
    raise ValueError(
        f"Argument `{name}` must be a list of strings, or one column of a "
        f"table. Received a {type(value).__name__} with the columns "
        f"{shown or '(none)'}. Choose one, as in `{name}=table[{example}]`."
    )


def _strings_of(name, items):
    for index, item in enumerate(items):
        if not isinstance(item, str):
            missing = str(item) in _MISSING
            cure = (
                "a missing value; drop such rows first"
                if missing
                else f"of type {type(item).__name__}"
            )
            raise ValueError(
                f"Argument `{name}` must hold strings. Received: "
                f"{name}[{index}]={shorten(item)}, {cure}."
            )
        yield str(item)
