"""From windows of documents to the arrays of one group of views."""

from typing import Any

from keras_dinolm.typing import Tensor
from keras_dinolm.views.alternates import draw_texts
from keras_dinolm.views.alternates import join_texts
from keras_dinolm.views.mask_room import mask_ratios_at
from keras_dinolm.views.mask_room import mask_slots
from keras_dinolm.views.masks import mask_views
from keras_dinolm.views.masks import masked_indices
from keras_dinolm.views.perturb import perturb
from keras_dinolm.views.random import fold
from keras_dinolm.views.replacement_table import ReplacementTable
from keras_dinolm.views.settings import moves
from keras_dinolm.views.settings import units_at
from keras_dinolm.views.spans import UNIT
from keras_dinolm.views.spans import draw_spans
from keras_dinolm.views.special_tokens import SpecialTokens
from keras_dinolm.views.view_group import ViewGroup
from keras_dinolm.views.windows import Windows


def make_arrays(
    group: ViewGroup,
    windows: Windows,
    special_tokens: SpecialTokens,
    tables: dict[str, ReplacementTable | None],
    key: Tensor,
    step: int | Tensor,
    xp: Any,
) -> dict[str, Tensor]:
    """Cuts, changes and masks the views of one group.

    Args:
        group: `ViewGroup`.
        windows: `Windows`.
        special_tokens: `SpecialTokens`.
        tables: dictionary of `ReplacementTable`, `"synonyms"` and `"typos"`.
        key: int32 `[1]`. Key of the group in this batch.
        step: int, or integer tensor of rank 0. Place in the curriculum.
        xp: namespace of the arrays.

    Returns:
        Dictionary of arrays, see `TextViews.__call__`.
    """
    batch_size, window = xp.shape(windows.token_ids)
    width = group.width(window)
    shape = (batch_size, group.count, width)
    num_views = batch_size * group.count

    # === Spans ===
    rows = xp.arange(batch_size)[:, None]
    keys = fold(fold(key, rows, xp), xp.arange(group.count)[None, :], xp)
    token_ids, lengths, starts, rows = _texts(group, windows, keys, step, xp)
    low, high = (units_at(end, UNIT, step, xp) for end in group.span)
    start, length = draw_spans(keys, lengths, low, high, xp)
    # First token of each span: in all windows laid end to end, and in its
    # document.
    first = xp.reshape(rows * window + start, (num_views, 1))
    origin = xp.reshape(starts + start, (num_views, 1))
    keys = xp.reshape(keys, (num_views,))
    length = xp.reshape(length, (num_views,))

    # === Text ===
    slot = xp.arange(width)[None, :]
    offset = slot - 1
    end = xp.shape(token_ids)[0] - 1
    text = xp.take(token_ids, xp.minimum(first + xp.maximum(offset, 0), end))
    begins = None
    if group.perturbed or (group.maskable and group.mask_unit == "word"):
        changed, places, begins, length = perturb(
            group, special_tokens, tables, keys, text[:, 1:], length, step, xp
        )
        # The column of [CLS] in front.
        text, offset, begins = (
            xp.concatenate([part[:, :1], part], 1)
            for part in (changed, places, begins)
        )
    is_text = (slot >= 1) & (slot <= length[:, None])
    ids = xp.where(is_text, text, special_tokens.pad_token_id)
    ids = xp.where(slot == 0, special_tokens.cls_token_id, ids)
    positions = xp.where(is_text, origin + offset, -1)
    arrays = {
        "token_ids": xp.reshape(ids, shape),
        "padding_mask": xp.reshape(is_text | (slot == 0), shape),
        "positions": xp.reshape(positions, shape),
    }
    if not group.maskable:
        return arrays

    # === Masks ===
    if group.num_masked(batch_size):
        masked = mask_views(
            fold(key, -1, xp),
            keys,
            length,
            mask_ratios_at(group, batch_size, step, xp),
            begins if group.mask_unit == "word" else None,
            width,
            _segment_chance(group.mask_span, step, xp),
            xp,
        )
    else:
        masked = is_text & (slot < 0)
    slots = mask_slots(group, batch_size, window)
    masked_ids = xp.where(masked, special_tokens.mask_token_id, ids)
    indices = masked_indices(masked, batch_size * slots, xp)
    return {
        **arrays,
        "masked": xp.reshape(masked, shape),
        "masked_token_ids": xp.reshape(masked_ids, shape),
        "masked_indices": xp.reshape(indices, (batch_size, slots)),
    }


def _texts(group, windows, keys, step, xp):
    """The text that each view is cut from.

    Returns:
        Tuple of int32 `[N * W]`, all windows laid end to end; and, for each
        view, its window's length, start and row, int32 `[B, V]` or `[B, 1]`.
    """
    token_ids, lengths, starts, alternates = windows
    batch_size, window = xp.shape(token_ids)
    rows = xp.arange(batch_size)[:, None]
    if not group.draws_alternates:
        flat = xp.reshape(token_ids, (batch_size * window,))
        return flat, lengths[:, None], starts[:, None], rows
    probability = units_at(group.alternate_probability, 1 << 16, step, xp)
    slots = xp.shape(alternates[1])[1]
    counts = xp.cumsum(alternates[1] > 0)[:, -1]
    texts = draw_texts(keys, counts, probability, xp)
    rows = rows * (1 + slots) + texts
    flat, lengths, starts = join_texts(
        token_ids, lengths, starts, alternates, xp
    )
    return flat, xp.take(lengths, rows), xp.take(starts, rows), rows


def _segment_chance(mask_span, step, xp):
    """Probability that a masked segment begins, in units of 2^-16."""
    if not moves(mask_span):
        return round(65536 / mask_span)
    # The mean length has eight binary digits after the point.
    units = units_at(mask_span, 256, step, xp)
    return (65536 * 256 + units // 2) // units
