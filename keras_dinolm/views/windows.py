"""The windows of tokens that views are cut from, checked."""

from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

from keras_dinolm.typing import Tensor
from keras_dinolm.views.alternates import KEYS
from keras_dinolm.views.namespace import NUMPY


class Windows(NamedTuple):
    """A window of each document, and of its alternates if these are drawn.

    Attributes:
        token_ids: int32 `[B, W]`.
        lengths: int32 `[B]`. Tokens in each window.
        starts: int32 `[B]`. Index of the first one in its document.
        alternates: the same three of other texts of each document, int32
            `[B, S, W]`, `[B, S]` and `[B, S]`, or `None`.
    """

    token_ids: Tensor
    lengths: Tensor
    starts: Tensor
    alternates: tuple | None


def read_windows(
    windows: Mapping[str, Tensor],
    sequence_length: int,
    draws_alternates: bool,
    xp: Any,
) -> Windows:
    """Checks a dictionary of windows as `TextViews` takes it.

    Args:
        windows: dictionary, see `TextViews.__call__`.
        sequence_length: int. Longest view, `[CLS]` included.
        draws_alternates: bool. Whether alternates are needed.
        xp: namespace of the arrays.

    Returns:
        `Windows`.

    Raises:
        ValueError: if keys, shapes or lengths are not as they should be.
    """
    for key in ("token_ids", "lengths"):
        if key not in windows:
            raise ValueError(
                "`windows` must have the keys 'token_ids' and 'lengths', and "
                f"may have 'starts'. Received: keys {sorted(windows)}"
            )
    token_ids = xp.asarray(windows["token_ids"])
    batch_size, window = checked_shape(xp.shape(token_ids), sequence_length)
    lengths = xp.asarray(windows["lengths"])
    if xp is NUMPY:
        _check_lengths(lengths, batch_size, window)
    lengths = xp.minimum(xp.maximum(lengths, 0), window)
    if "starts" in windows:
        starts = xp.asarray(windows["starts"])
    else:
        starts = lengths * 0
    alternates = None
    if draws_alternates:
        alternates = _checked_alternates(windows, batch_size, window, xp)
    return Windows(
        token_ids,
        lengths,
        lengths * 0 if starts is None else starts,
        alternates,
    )


def checked_shape(shape: tuple, sequence_length: int) -> tuple[int, int]:
    """Batch size and width of windows, which must be static.

    Args:
        shape: tuple. Of the token ids.
        sequence_length: int. Longest view, `[CLS]` included.

    Returns:
        Pair of int.

    Raises:
        ValueError: if the shape is not static, or out of range.
    """
    longest = sequence_length - 1
    if len(shape) != 2 or None in shape:
        raise ValueError(
            "`windows['token_ids']` must have a static shape [B, W]; in "
            "`tf.data`, use `.batch(..., drop_remainder=True)` and pad to "
            f"a fixed width. Received: shape {tuple(shape)}"
        )
    batch_size, window = shape
    if batch_size < 1 or not 1 <= window <= longest:
        raise ValueError(
            "`windows['token_ids']` must have at least one row, and from "
            f"1 to sequence_length - 1 = {longest} columns ([CLS] takes "
            f"one place). Received: shape {tuple(shape)}"
        )
    return batch_size, window


def _check_lengths(lengths, batch_size, window):
    if lengths.shape != (batch_size,):
        raise ValueError(
            "`windows['lengths']` must hold one integer a row. "
            f"Received: shape {lengths.shape} for {batch_size} rows"
        )
    if lengths.min() < 0 or lengths.max() > window:
        raise ValueError(
            "`windows['lengths']` must lie between 0 and the width of "
            f"`windows['token_ids']`, {window}. Received: lengths from "
            f"{lengths.min()} to {lengths.max()}"
        )


def _checked_alternates(windows, batch_size, window, xp):
    if any(key not in windows for key in KEYS):
        raise ValueError(
            f"`windows` must have the keys {list(KEYS)}, since a view group "
            "has an `alternate_probability` above 0. Use a corpus with "
            "alternates in `view_dataset`, or set it to 0. "
            f"Received: keys {sorted(windows)}"
        )
    ids, lengths, starts = (xp.asarray(windows[key]) for key in KEYS)
    slots = xp.shape(lengths)[-1]
    expected = (batch_size, slots)
    shapes = [tuple(xp.shape(array)) for array in (ids, lengths, starts)]
    if shapes != [(*expected, window), expected, expected] or not slots:
        raise ValueError(
            f"The arrays {list(KEYS)} of `windows` must have the static "
            "shapes [B, S, W], [B, S] and [B, S], with B and W those of "
            "'token_ids' and S at least 1. "
            f"Received: shapes {shapes}, B={batch_size}, W={window}"
        )
    return ids, xp.minimum(xp.maximum(lengths, 0), window), starts
