"""Checks of arguments that functions of this room share."""

import math
import numbers
import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from keras_dinolm.data.store_header import checksum_of_flags

if TYPE_CHECKING:
    from keras_dinolm.data.token_store import TokenStore

# Limits of the hash of `keras_dinolm.views`.
MOST_SEED = 1 << 63
MOST_STEP = 1 << 31

_MAX_ALTERNATES = 4


def check_integer(
    name: str, value: Any, least: int, below: int | None = None
) -> int:
    """Returns `value` as an int, or raises if it is not one in the range."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < least or (below and number >= below):
        limit = f" and below {below:,}" if below else ""
        raise ValueError(
            f"`{name}` must be an integer of at least {least}{limit}. "
            f"Received: {name}={value!r}"
        )
    return number


def check_flag(name: str, value: Any) -> bool:
    """Returns `value` if it is `True` or `False`, or raises."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(
            f"`{name}` must be `True` or `False`. Received: {name}={value!r}"
        )
    return bool(value)


def check_share(name: str, value: Any, zero: bool = True) -> float:
    """Returns `value` if it is a number in [0, 1], or raises.

    With `zero=False`, 0 is refused, too.
    """
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not 0 <= value <= 1 or (value == 0 and not zero):
        raise ValueError(
            f"`{name}` must be a number in {'[' if zero else '('}0, 1]. "
            f"Received: {name}={value!r}"
        )
    return float(value)


def check_positive(name: str, value: Any) -> float:
    """Returns `value` if it is a finite number above 0, or raises."""
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not 0 < value < math.inf:
        raise ValueError(
            f"`{name}` must be a number above 0. Received: {name}={value!r}"
        )
    return float(value)


def check_views(views: Any) -> int:
    """Returns the longest window of `views`, or raises if they make none.

    Any callable with a `sequence_length` may take the place of `TextViews`.
    """
    length = getattr(views, "sequence_length", None)
    if (
        not callable(views)
        or not isinstance(length, numbers.Integral)
        or length < 2
    ):
        raise ValueError(
            "`views` must be a `keras_dinolm.views.TextViews`. "
            f"Received: views={shorten(views)} "
            f"(of type {type(views).__name__})"
        )
    # [CLS] takes one place.
    return int(length) - 1


def check_special_tokens(views: Any, tokens: "TokenStore") -> None:
    """Raises if `views` are for another tokenizer than that of a store.

    Views know the ids of special tokens, and which tokens continue a word.
    """
    theirs = getattr(views, "special_tokens", None)
    if theirs is None:
        return
    pairs = {
        f"{name}_token_id": (token_id, getattr(theirs, f"{name}_token_id"))
        for name, token_id in tokens.header["special_token_ids"].items()
    }
    table = theirs.continues
    if table is not None:
        size = tokens.header["vocabulary_size"]
        pairs["vocabulary_size"] = (size, len(table))
        if len(table) == size:
            continues = checksum_of_flags(table)
            pairs["tokens that continue a word"] = (
                tokens.header["continues"],
                continues,
            )
    for name, (there, here) in pairs.items():
        if there != here:
            raise ValueError(
                "`views` must be made with the tokenizer of the token store. "
                f"Received: {name} is {here} in `views` and {there} in "
                f"{tokens.directory}. Make `TextViews` with that tokenizer, or "
                "tokenize the corpus with this one, into another directory."
            )


def check_buckets(buckets: Any, longest: int) -> list[int]:
    """Returns window widths as a list of int, or raises.

    Args:
        buckets: ascending integers that end with `longest`, or `None` for
            half of `longest` and `longest`.
        longest: int. The longest window of the views.

    Returns:
        An ascending list of int.
    """
    if buckets is None:
        return sorted({-(-longest // 2), longest})
    try:
        if isinstance(buckets, str | bytes) or not isinstance(
            buckets, Iterable
        ):
            raise ValueError("not a list")
        widths = [check_integer("buckets", width, 1) for width in buckets]
        if sorted(set(widths)) != widths or widths[-1:] != [longest]:
            raise ValueError("not ascending to the longest window")
    except ValueError:
        raise ValueError(
            "`buckets` must be a list of ascending widths of at least 1, of "
            "which the last is `views.sequence_length - 1` ([CLS] takes one "
            f"place), here {longest}. Received: buckets={buckets!r}"
        ) from None
    return widths


def check_max_alternates(value: Any, views: Any) -> int:
    """Returns how many alternates come with a window; 0 for none.

    Raises if `views` draw from no alternates, and the number is given.
    """
    if value is not None:
        value = check_integer("max_alternates", value, 1)
        if not draws_alternates(views):
            raise ValueError(
                "`max_alternates` is for views that draw from alternates, and "
                "these do not. Leave it out, or set `alternate_probability` "
                f"of a view group. Received: max_alternates={value}"
            )
    if not draws_alternates(views):
        return 0
    return _MAX_ALTERNATES if value is None else value


def draws_alternates(views: Any) -> bool:
    """Whether `views` draw from the alternates of documents."""
    return bool(getattr(views, "draws_alternates", False))


def shorten(value: Any, length: int = 80) -> str:
    """The `repr` of a value, cut for an error message."""
    text = repr(value)
    return text if len(text) <= length else text[: length - 3] + "..."
