"""Where each view lies in its window."""

from typing import Any

from keras_dinolm.typing import Tensor
from keras_dinolm.views.random import below
from keras_dinolm.views.random import fold

# Fractions are integers in units of 1/10000, so that spans need no floats and
# decimal fractions such as 0.3 are exact.
UNIT = 10_000

_LENGTH, _START = 0, 1


def span_bounds(
    lengths: int | Tensor, low: int | Tensor, high: int | Tensor
) -> tuple[int | Tensor, int | Tensor]:
    """The shortest and the longest span in windows of given lengths.

    Works on Python ints and on int32 arrays alike.

    Args:
        lengths: int or array. Tokens in each window.
        low: int, the smallest fraction, in units of 1/10000, at least 1.
        high: int, the largest fraction, in the same units.

    Returns:
        Pair `(ceil(low * lengths), floor(high * lengths))`. The second may be
        the smaller one (there is no integer between 0.3 * 2 and 0.4 * 2); then
        the first is the only length.
    """
    return (lengths * low + UNIT - 1) // UNIT, lengths * high // UNIT


def draw_spans(
    keys: Tensor,
    lengths: Tensor,
    low: int | Tensor,
    high: int | Tensor,
    xp: Any,
) -> tuple[Tensor, Tensor]:
    """Draws contiguous spans, uniform in length, then uniform in start.

    A window of at least one token gives spans of at least one token; an empty
    window gives empty spans.

    Args:
        keys: int32 `[B, V]`. One key a view.
        lengths: int32 `[B, 1]`. Tokens in each window, below 2^15.
        low: int. Smallest fraction of the window, in units of 1/10000.
        high: int. Largest fraction of the window, in the same units.
        xp: namespace of the arrays.

    Returns:
        Pair of int32 `[B, V]`: first token of the span in the window, and
        number of tokens.
    """
    shortest, longest = span_bounds(lengths, low, high)
    choices = xp.maximum(longest - shortest, 0) + 1
    length = shortest + below(fold(keys, _LENGTH, xp), choices, xp)
    start = below(fold(keys, _START, xp), lengths - length + 1, xp)
    return start, length
