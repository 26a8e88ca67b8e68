"""How much is masked: at a step, at the most, and the room that it needs."""

from typing import Any

import numpy as np

from keras_dinolm.typing import Tensor
from keras_dinolm.views.masks import masked_counts
from keras_dinolm.views.masks import masked_ratios
from keras_dinolm.views.namespace import NUMPY
from keras_dinolm.views.settings import highest
from keras_dinolm.views.settings import moves
from keras_dinolm.views.settings import units_at
from keras_dinolm.views.spans import UNIT
from keras_dinolm.views.view_group import ViewGroup


def mask_ratios_at(
    group: ViewGroup, batch_size: int, step: int | Tensor, xp: Any
) -> Tensor:
    """Ratios of the views that are masked at a step.

    Args:
        group: `ViewGroup`.
        batch_size: int. Documents in the batch.
        step: int, or integer tensor of rank 0.
        xp: namespace of the arrays.

    Returns:
        int32 `[M]` in units of 1/10000, `M` the most views that are ever
        masked; 0 for those that are not masked at this step.

    Raises:
        ValueError: if a batch is too large for ratios that move.
    """
    ends = (group.mask_probability, *group.mask_ratio)
    if not any(map(moves, ends)):
        return most_mask_ratios(group, batch_size)
    num_views = batch_size * group.count
    if 2 * UNIT * num_views >= 1 << 31:
        raise ValueError(
            "Masks that change with the step need fewer than 107,374 views "
            "in a batch (products must fit into an int32). Received: "
            f"{num_views} views of group '{group.name}'"
        )
    share, low, high = (units_at(end, UNIT, step, xp) for end in ends)
    num_masked = share * num_views // UNIT
    return masked_ratios(
        xp.reshape(xp.asarray(num_masked), (1,)),
        low,
        # Rounded lines may cross by a unit.
        xp.maximum(low, high),
        group.num_masked(batch_size),
        xp,
    )


def most_mask_ratios(group: ViewGroup, batch_size: int) -> np.ndarray:
    """Ratios at which the most tokens are masked, of all steps.

    More views, and larger ratios at either end, never mask fewer: spread
    evenly, the i-th smallest of M ratios is at most the i + 1-th of M + 1.

    Args:
        group: `ViewGroup`.
        batch_size: int. Documents in the batch.

    Returns:
        int32 `[M]`, in units of 1/10000.
    """
    low, high = (round(highest(end) * UNIT) for end in group.mask_ratio)
    return masked_ratios(group.num_masked(batch_size), low, high)


def mask_slots(group: ViewGroup, batch_size: int, window: int) -> int:
    """Slots for masked tokens, a document: `C` of `"masked_indices"`.

    Args:
        group: `ViewGroup`.
        batch_size: int. Documents in the batch.
        window: int. Width of the windows.

    Returns:
        int, enough when all windows are full and all spans as long as they
        can be.
    """
    ratios = most_mask_ratios(group, batch_size)
    longest = np.full_like(ratios, group.width(window) - 1)
    masked = int(masked_counts(ratios, longest, NUMPY).sum())
    return max(-(-masked // batch_size), 1)


def group_shapes(
    group: ViewGroup, batch_size: int, window: int
) -> dict[str, tuple[int, ...]]:
    """Static shapes of a group's arrays.

    Args:
        group: `ViewGroup`.
        batch_size: int. Documents in the batch.
        window: int. Width of the windows.

    Returns:
        `{key: shape}`.
    """
    shape = (batch_size, group.count, group.width(window))
    keys = ["token_ids", "padding_mask", "positions"]
    if not group.maskable:
        return dict.fromkeys(keys, shape)
    slots = mask_slots(group, batch_size, window)
    return {
        **dict.fromkeys([*keys, "masked", "masked_token_ids"], shape),
        "masked_indices": (batch_size, slots),
    }
