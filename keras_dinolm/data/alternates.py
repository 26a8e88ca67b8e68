"""Which part of which alternates of a document goes with a window of it.

A window of a document comes with up to a fixed number of *slots*, each with a
window of one alternate. Where a document has more alternates than slots, each
epoch begins with another one. An alternate that is longer than the window is
cut as far from its beginning as the window lies from that of the document, in
proportion. Where the document is a single window (a title, a summary), the
alternate is cut at a random place.

Positions continue where the document and the alternates before this one end,
so that tokens of two texts never have the same position.

Written in the array namespace of `keras_dinolm.views`, as `plan`.
"""

from typing import Any

import numpy as np

from keras_dinolm.data.layout import Layout
from keras_dinolm.typing import Tensor
from keras_dinolm.views.random import fold
from keras_dinolm.views.random import logical_right_shift


def index_alternates(
    ids: Tensor, lengths: Tensor, counts: Tensor, xp: Any
) -> dict[str, Tensor]:
    """Makes the alternates of a block ready to be found.

    Args:
        ids: `[tokens]`, of any integer type.
        lengths: int32 `[alternates]`.
        counts: int32 `[documents]`. How many alternates each document has.
        xp: array namespace.

    Returns:
        A dict of arrays, to be added to what `plan_block` returns.
    """
    # One more entry, which is read where there is no alternate.
    more = xp.asarray(np.zeros(1))
    lengths = xp.concatenate([xp.asarray(lengths), more], 0)
    return {
        "alternate_ids": xp.concatenate([xp.asarray(ids), more], 0),
        "alternate_lengths": lengths,
        "alternate_first": xp.cumsum(lengths) - lengths,
        "alternate_counts": xp.asarray(counts),
        "alternates_before": xp.cumsum(counts) - counts,
    }


def gather_alternates(
    plan: dict[str, Tensor],
    rows: Tensor,
    width: Tensor,
    layout: Layout,
    pad_token_id: int,
    xp: Any,
) -> dict[str, Tensor]:
    """Reads the alternates of the windows of a batch.

    Args:
        plan: what `plan_block` returned, with `index_alternates`.
        rows: int32 `[B]`, places in the plan.
        width: int or tensor, of the windows of this batch.
        layout: `Layout`.
        pad_token_id: int.
        xp: array namespace.

    Returns:
        A dict of `"alternate_ids"` int32 `[B, S, W]`, with W the width of the
        largest bucket, and `"alternate_lengths"` and `"alternate_starts"`
        int32 `[B, S]`. Unused slots come last and have length 0.
    """
    document = xp.take(plan["document"], rows)[:, None]
    count = xp.take(plan["alternate_counts"], document)
    before = xp.take(plan["alternates_before"], document)
    bits = xp.take(plan["turn"], rows)[:, None]
    slot = xp.arange(layout.alternates)[None, :]
    there = slot < count
    # Shifted by two places, so that the sum stays below 2^31.
    number = (logical_right_shift(bits, 2, xp) + slot) % xp.maximum(count, 1)
    index = before + xp.where(there, number, 0)

    whole = xp.where(there, xp.take(plan["alternate_lengths"], index), 0)
    length = xp.minimum(whole, width)
    room = whole - length
    rest = xp.take(plan["rest"], rows)[:, None]
    start = xp.take(plan["start"], rows)[:, None]
    drawn = logical_right_shift(fold(bits, number, xp), 1, xp) % (room + 1)
    along = proportional(room, start, xp.maximum(rest, 1), xp)
    begin = xp.where(rest > 0, along, drawn)

    first = xp.take(plan["alternate_first"], index)
    own = first - xp.take(plan["alternate_first"], before)
    of_document = rest + xp.take(plan["length"], rows)[:, None]
    column = xp.arange(layout.buckets[-1])[None, None, :]
    inside = column < length[:, :, None]
    places = (first + begin)[:, :, None] + column
    # Padding reads the first token, which is always there.
    ids = xp.take(plan["alternate_ids"], xp.where(inside, places, 0))
    return {
        "alternate_ids": xp.where(inside, ids, pad_token_id),
        "alternate_lengths": length,
        "alternate_starts": of_document + own + begin,
    }


def proportional(
    value: Tensor, numerator: Tensor, denominator: Tensor, xp: Any
) -> Tensor:
    """`floor(value * numerator / denominator)`, with products of any size.

    Multiplies bit by bit, because the namespace has int32 only.

    Args:
        value: int32 array, at least 0.
        numerator: int32 array from 0 to the denominator.
        denominator: int32 array, at least 1.
        xp: array namespace.

    Returns:
        int32 array of the broadcast shape.
    """
    quotient = value * 0 + numerator * 0
    remainder = quotient
    for bit in range(30, -1, -1):
        # Double, and add the numerator where the value has this bit.
        digit = xp.right_shift(value, bit) & 1
        quotient = quotient + quotient
        for term in (remainder, numerator * digit):
            # The sum may be beyond int32; the difference is not.
            over = term >= denominator - remainder
            quotient = quotient + xp.asarray(over)
            remainder = xp.where(
                over, term - (denominator - remainder), term + remainder
            )
    return quotient
