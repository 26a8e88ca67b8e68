"""Which tokens the student does not see.

A masked view has an exact number of masked tokens, in spans. The tokens are
cut into segments of geometric length, the segments are ordered by a random
key, and tokens are taken in that order until there are enough; only the last
segment may be taken in part. One sort a view does it, with static shapes.
"""

from typing import Any

import numpy as np

from keras_dinolm.typing import Tensor
from keras_dinolm.views.compaction import locate
from keras_dinolm.views.compaction import running_count
from keras_dinolm.views.namespace import NUMPY
from keras_dinolm.views.random import fold
from keras_dinolm.views.random import happens
from keras_dinolm.views.random import logical_right_shift
from keras_dinolm.views.random import permutation
from keras_dinolm.views.spans import UNIT

_CUT, _ORDER = 4, 5
_INT32_MAX = 2**31 - 1


def masked_ratios(
    num_masked: int | Tensor,
    low: int | Tensor,
    high: int | Tensor,
    slots: int | None = None,
    xp: Any = NUMPY,
) -> Tensor:
    """Mask ratios of the masked views, spread evenly over a range.

    If they were drawn, the total would vary from batch to batch; iBOT and its
    successors spread them for the same reason.

    Args:
        num_masked: int, or int32 `[1]`. Views to mask.
        low: int, or int32 `[1]`. Smallest ratio, in units of 1/10000.
        high: int, or int32 `[1]`. Largest ratio, in the same units.
        slots: int. The most views that are ever masked, if the others are
            arrays. Defaults to `num_masked`.
        xp: namespace of the arrays.

    Returns:
        int32 `[slots]`, in units of 1/10000; 0 after the first `num_masked`.
    """
    index = np.arange(num_masked) if slots is None else xp.arange(slots)
    steps = index * 2 + 1 // xp.maximum(num_masked, 1)
    span = 2 * xp.maximum(num_masked - 1, 1)
    ratios = low + ((high - low) * steps + span // 2) // span
    return xp.asarray(xp.where(index < num_masked, ratios, 0))


def masked_counts(ratios: Tensor, lengths: Tensor, xp: Any) -> Tensor:
    """Number of tokens to mask: rounded, at least 1 where there is a token.

    Args:
        ratios: int32 `[M]`, in units of 1/10000; 0 masks none.
        lengths: int32 `[M]`. Tokens of each view that may be masked.
        xp: namespace of the arrays.

    Returns:
        int32 `[M]`.
    """
    rounded = (ratios * lengths + UNIT // 2) // UNIT
    counts = xp.minimum(xp.maximum(rounded, 1), lengths)
    return xp.where(ratios > 0, counts, 0)


def span_masks(
    keys: Tensor,
    lengths: Tensor,
    counts: Tensor,
    begins: Tensor | None,
    width: int,
    cut: int | Tensor,
    xp: Any,
) -> Tensor:
    """Masks exactly `counts` of the first `lengths` tokens, in spans.

    If segments begin only where words do, they are whole words, except for
    the last segment: the count is exact, so a word of it may be masked in
    part.

    Args:
        keys: int32 `[M]`. One key a view.
        lengths: int32 `[M]`. Tokens that may be masked.
        counts: int32 `[M]`. Tokens to mask, at most `lengths`.
        begins: bool `[M, width]`, True where a segment may begin; `None` for
            anywhere.
        width: int. Length of the token axis, a place for `[CLS]` first.
        cut: int, or int32 `[1]`. Probability that a segment begins where it
            may, in units of 2^-16: 2^16 over the mean length of segments.
        xp: namespace of the arrays.

    Returns:
        bool `[M, width]`; column 0 is False.
    """
    rows = xp.shape(keys)[0]
    place = xp.arange(width)[None, :]
    cuts = fold(fold(keys, _CUT, xp)[:, None], place, xp)
    cuts = happens(cuts, cut, xp)
    segment = xp.cumsum(cuts if begins is None else cuts & begins)
    order = fold(fold(keys, _ORDER, xp)[:, None], segment, xp)
    # Random order above, place below, in 30 bits: distinct sort keys, and
    # segments stay whole.
    bits = max((width - 1).bit_length(), 1)
    order = logical_right_shift(order, bits + 2, xp) * (1 << bits) + place
    maskable = (place >= 1) & (place <= lengths[:, None])
    maskable = maskable & (counts[:, None] > 0)
    order = xp.where(maskable, order, _INT32_MAX)
    ranked = xp.reshape(xp.sort(order), (-1,))
    last = xp.arange(rows) * width + xp.maximum(counts - 1, 0)
    return maskable & (order <= xp.take(ranked, last)[:, None])


def mask_views(
    key: Tensor,
    keys: Tensor,
    lengths: Tensor,
    ratios: Tensor,
    begins: Tensor | None,
    width: int,
    cut: int | Tensor,
    xp: Any,
) -> Tensor:
    """Masks as many views as there are ratios, chosen at random.

    Args:
        key: int32 `[1]`. Key of the batch; decides which views are masked.
        keys: int32 `[N]`. One key a view; decides its mask.
        lengths: int32 `[N]`. Tokens of each view that may be masked.
        ratios: int32 `[M]`, `1 <= M <= N`; 0 masks nothing.
        begins: bool `[N, width]` or `None`, as in `span_masks`.
        width: int. Length of the token axis, a place for `[CLS]` first.
        cut: int, or int32 `[1]`. As in `span_masks`.
        xp: namespace of the arrays.

    Returns:
        bool `[N, width]`.
    """
    views, num_masked = xp.shape(keys)[0], ratios.shape[0]
    order = permutation(key, views, xp)
    chosen = order[:num_masked]
    lengths = xp.take(lengths, chosen)
    counts = masked_counts(xp.asarray(ratios), lengths, xp)
    if begins is not None:
        begins = xp.take(begins, chosen)
    masks = span_masks(
        xp.take(keys, chosen), lengths, counts, begins, width, cut, xp
    )
    # Back to the order of the views; the others read a row without masks.
    none = xp.arange(width)[None, :] < 0
    row = xp.minimum(xp.argsort(order), num_masked)
    return xp.take(xp.concatenate([masks, none], 0), row)


def masked_indices(masked: Tensor, slots: int, xp: Any) -> Tensor:
    """Flat indices of the masked tokens of a batch, ascending.

    Args:
        masked: bool `[N, L]`, at most `slots` of them true.
        slots: int.
        xp: namespace of the array.

    Returns:
        int32 `[slots]`; slots left over hold -1.
    """
    views, width = xp.shape(masked)
    counts, _, _ = running_count(masked, xp)
    found = locate(counts, xp.arange(slots) + 1, xp)
    return xp.where(found < views * width, found, -1)
