"""Checks of views, and of what depends on them."""

import numbers
from collections.abc import Iterable
from typing import TYPE_CHECKING
from typing import Any

from keras_dinolm import arguments
from keras_dinolm.data.store_header import checksum_of_flags

if TYPE_CHECKING:
    from keras_dinolm.data.token_store import TokenStore

# Limits of the hash of `keras_dinolm.views`.
MOST_SEED = 1 << 63
MOST_STEP = 1 << 31

_MAX_ALTERNATES = 4


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
            f"Received: views={arguments.shorten(views)} "
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
        widths = [arguments.integer("buckets", width, 1) for width in buckets]
        if sorted(set(widths)) != widths or widths[-1:] != [longest]:
            raise ValueError("not ascending to the longest window")
    except ValueError:
        raise ValueError(
            "`buckets` must be a list of ascending widths of at least 1, of "
            "which the last is `views.sequence_length - 1` ([CLS] takes one "
            f"place), here {longest}. "
            f"Received: buckets={arguments.shorten(buckets)}"
        ) from None
    return widths


def check_max_alternates(value: Any, views: Any) -> int:
    """Returns how many alternates come with a window; 0 for none.

    Raises if `views` draw from no alternates, and the number is given.
    """
    if value is not None:
        value = arguments.integer("max_alternates", value, 1)
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
