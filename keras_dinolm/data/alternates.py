"""Which part of which alternates of a document goes with a window of it.

A window of a document comes with up to a fixed number of *slots*, each with a
window of one alternate. Where a document has more alternates than slots, each
epoch begins with another one. An alternate that is longer than the window is
cut where the window lies in its document, as far in as that; beside a document
that is a single window (a title, a summary), at a random place.

Positions go on where the document and the alternates before this one end, so
that no token of one text has the position of another's.

Written in the array namespace of `keras_dinolm.views`, as `plan`.
"""

import numpy as np

from keras_dinolm.views.random import fold
from keras_dinolm.views.random import logical_right_shift


def index_alternates(ids, lengths, counts, xp):
    """The alternates of a block, ready to be found.

    Args:
        ids: [tokens], any integer type.
        lengths: int32 [alternates].
        counts: int32 [documents], how many alternates each document has.
        xp: array namespace.

    Returns:
        A dict of arrays, to be added to what `plan_block` returns.
    """
    # An entry more, so that there is one to read where there is no alternate.
    more = xp.asarray(np.zeros(1))
    lengths = xp.concatenate([xp.asarray(lengths), more], 0)
    return {
        "alternate_ids": xp.concatenate([xp.asarray(ids), more], 0),
        "alternate_lengths": lengths,
        "alternate_first": xp.cumsum(lengths) - lengths,
        "alternate_counts": xp.asarray(counts),
        "alternates_before": xp.cumsum(counts) - counts,
    }


def gather_alternates(plan, rows, width, layout, pad_token_id, xp):
    """The alternates of the windows of a batch.

    Args:
        plan: what `plan_block` returned, with `index_alternates`.
        rows: int32 [B], places in the plan.
        width: int or tensor, of the windows of this batch.
        layout: `Layout`.
        pad_token_id: int.
        xp: array namespace.

    Returns:
        A dict of `"alternate_ids"` int32 [B, S, W], with W the width of the
        largest bucket, and `"alternate_lengths"` and `"alternate_starts"`
        int32 [B, S]; unused slots, which come last, have length 0.
    """
    document = xp.take(plan["document"], rows)[:, None]
    count = xp.take(plan["alternate_counts"], document)
    before = xp.take(plan["alternates_before"], document)
    bits = xp.take(plan["turn"], rows)[:, None]
    slot = xp.arange(layout.alternates)[None, :]
    there = slot < count
    # By two places, so that the sum stays below 2^31.
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


def proportional(value, numerator, denominator, xp):
    """`floor(value * numerator / denominator)`, with products of any size.

    Binary long multiplication, as int32 is all there is.

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
        # Twice what there is, and the numerator where the value has this bit.
        digit = xp.right_shift(value, bit) & 1
        quotient = quotient + quotient
        for term in (remainder, numerator * digit):
            # The sum of both may be beyond int32, their difference is not.
            over = term >= denominator - remainder
            quotient = quotient + xp.asarray(over)
            remainder = xp.where(
                over, term - (denominator - remainder), term + remainder
            )
    return quotient
