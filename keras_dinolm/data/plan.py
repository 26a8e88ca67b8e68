"""Which windows of a block are in which batch.

Inside a block all windows are shuffled, dealt to length buckets, and cut into
batches, which come in a random order again. See `layout` for what lies above
blocks. Everything is a function of `(seed, step)` and the store alone.

These functions are written in the array namespace of `keras_dinolm.views`: the
same lines make the plan in NumPy and as graph ops, with the same bits.
"""

from typing import Any

import numpy as np

from keras_dinolm.data.alternates import gather_alternates
from keras_dinolm.data.clusters import deal_clusters
from keras_dinolm.data.layout import Layout
from keras_dinolm.typing import Tensor
from keras_dinolm.views.namespace import NUMPY
from keras_dinolm.views.random import fold
from keras_dinolm.views.random import logical_right_shift
from keras_dinolm.views.random import permutation
from keras_dinolm.views.random import stream

# Purposes of draws, see `layout`.
_PHASE, _WINDOW_ORDER, _BATCH_ORDER = 1002, 1003, 1004
_ALTERNATES = 1007


def plan_block(
    lengths: Tensor,
    seed: int,
    epoch: Tensor,
    block: Tensor,
    layout: Layout,
    xp: Any = NUMPY,
) -> dict[str, Tensor]:
    """Plans all batches of one visit to a block.

    Args:
        lengths: int32 `[n]`, tokens of each document of the block.
        seed: int.
        epoch: int or integer tensor.
        block: int or integer tensor.
        layout: `Layout`.
        xp: array namespace.

    Returns:
        A dict of int32 arrays. For each window, in the order of the batches:
        `"first"` (its first token, counted through the block), `"length"` and
        `"start"` (its first token, counted through the document). For each
        batch, in the order they come: `"rows"` (its first window) and
        `"bucket"`. With alternates, for each window also `"document"` (its
        place in the block), `"rest"` (tokens of the document outside of it)
        and `"turn"` (random bits, the same for a document's windows).
        `"count"` is the number of windows.
    """
    key = fold(stream(seed, epoch, xp), block, xp)
    longest = layout.buckets[-1]
    size = layout.batch_size

    # Windows in the order of the documents. A long document is covered by as
    # few full windows as possible. The slack goes into overlaps, at a random
    # phase.
    windows = (lengths + longest - 1) // longest
    ends = xp.cumsum(windows)
    count = ends[-1]
    window = xp.arange(count)
    document = xp.searchsorted(ends, window + 1)
    length = xp.take(lengths, document)
    pieces = xp.take(windows, document)
    slack = pieces * longest - length
    bits = fold(fold(key, _PHASE, xp), document, xp)
    phase = logical_right_shift(bits, 1, xp) % (slack + 1)
    piece = window - (xp.take(ends, document) - pieces)
    start = xp.minimum(piece * longest - phase, length - longest)
    start = xp.maximum(start, 0)
    first = xp.take(xp.cumsum(lengths) - lengths, document) + start
    whole, owner = length, document
    length = xp.minimum(length, longest)

    # Shuffled, then dealt to buckets. What does not fill a batch moves on to
    # the next larger bucket.
    order = permutation(fold(key, _WINDOW_ORDER, xp), count, xp)
    widths = xp.asarray(np.array(layout.buckets))
    bucket = xp.searchsorted(widths, xp.take(length, order))
    batch_ends, done = [], 0
    for width in range(len(layout.buckets)):
        here = xp.asarray(bucket == width)
        rank = xp.cumsum(here)
        total = rank[-1]
        last = width == len(layout.buckets) - 1
        if not last:
            full = total - total % size
            bucket = xp.where((here > 0) & (rank > full), width + 1, bucket)
            done = done + full // size
        elif layout.drop_remainder:
            done = done + total // size
        else:
            done = done + (total + size - 1) // size
        batch_ends.append(xp.reshape(xp.asarray(done), (1,)))
    batch_ends = xp.concatenate(batch_ends, 0)
    if layout.clusters is None:
        # Stable by construction: the keys are distinct.
        dealt = xp.argsort(bucket * count + window)
    else:
        block_start = xp.take(xp.asarray(layout.clusters.first_document), block)
        document = block_start + xp.take(document, order)
        cluster = xp.take(xp.asarray(layout.clusters.labels), document)
        dealt = deal_clusters(
            key, bucket, cluster, count, batch_ends, size, layout.clusters, xp
        )
    order = xp.take(order, dealt)
    batch_order = permutation(fold(key, _BATCH_ORDER, xp), done, xp)
    plan = {
        "count": xp.reshape(xp.asarray(count), (1,)),
        "first": xp.take(first, order),
        "length": xp.take(length, order),
        "start": xp.take(start, order),
        "rows": batch_order * size,
        "bucket": xp.searchsorted(batch_ends, batch_order + 1),
    }
    if layout.alternates:
        turn = fold(fold(key, _ALTERNATES, xp), owner, xp)
        plan["document"] = xp.take(owner, order)
        plan["rest"] = xp.take(whole - length, order)
        plan["turn"] = xp.take(turn, order)
    return plan


def rows_of_batch(
    plan: dict[str, Tensor], batch: Tensor, layout: Layout, xp: Any = NUMPY
) -> Tensor:
    """The windows of a batch, as places in what `plan_block` returned.

    Args:
        plan: what `plan_block` returned.
        batch: int or tensor, the number of the batch within the block.
        layout: `Layout`.
        xp: array namespace.

    Returns:
        int32 `[B]`.
    """
    rows = plan["rows"][batch] + xp.arange(layout.batch_size)
    if not layout.drop_remainder:
        # The last batch is completed with windows from the beginning.
        rows = rows % xp.reshape(plan["count"], ())
    return rows


def gather_windows(
    ids: Tensor,
    plan: dict[str, Tensor],
    batch: Tensor,
    layout: Layout,
    pad_token_id: int,
    xp: Any = NUMPY,
) -> dict[str, Tensor]:
    """Reads the windows of a batch, as wide as the largest bucket.

    Args:
        ids: `[tokens of the block]`, of any integer type.
        plan: what `plan_block` returned. With alternates, what
            `index_alternates` returned is added to it.
        batch: int or tensor, the number of the batch within the block.
        layout: `Layout`.
        pad_token_id: int.
        xp: array namespace.

    Returns:
        A dict of `"token_ids"` int32 `[B, W]`, `"lengths"` and `"starts"`
        int32 `[B]`; with alternates, also what `gather_alternates` returns.
    """
    rows = rows_of_batch(plan, batch, layout, xp)
    first = xp.take(plan["first"], rows)[:, None]
    lengths = xp.take(plan["length"], rows)
    column = xp.arange(layout.buckets[-1])[None, :]
    inside = column < lengths[:, None]
    # Padding reads the first token, which is always there.
    places = first + xp.where(inside, column, 0)
    token_ids = xp.asarray(xp.take(ids, places))
    windows = {
        "token_ids": xp.where(inside, token_ids, pad_token_id),
        "lengths": lengths,
        "starts": xp.take(plan["start"], rows),
    }
    if layout.alternates:
        widths = xp.asarray(np.array(layout.buckets))
        width = xp.take(widths, plan["bucket"][batch])
        windows |= gather_alternates(
            plan, rows, width, layout, pad_token_id, xp
        )
    return windows


def cut_windows(windows: dict[str, Tensor], width: int) -> dict[str, Tensor]:
    """The windows of a batch, no wider than its bucket."""
    return {
        key: value[..., :width] if key.endswith("_ids") else value
        for key, value in windows.items()
    }
