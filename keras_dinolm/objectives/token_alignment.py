"""Tokens of two views that stand for the same token of the document."""

from keras import ops

from keras_dinolm.typing import Tensor


def align(places: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Finds, for places in a document, the token of a view that is there.

    Args:
        places: int tensor `[B, N]`, -1 for none.
        positions: int tensor `[B, L]`, the places of a view's tokens, -1 at
            `[CLS]` and padding.

    Returns:
        `(slots, found)`, each `[B, N]`: where in the view the token is, and
        whether it is there at all. Slots without a token are 0.
    """
    equal = ops.logical_and(
        places[:, :, None] == positions[:, None, :],
        places[:, :, None] >= 0,
    )
    slots = ops.argmax(ops.cast(equal, "int32"), axis=-1)
    return slots, ops.any(equal, axis=-1)


def flat_slots(slots: Tensor, tokens: Tensor, view: int) -> Tensor:
    """Turns slots of one view into indices of all tokens of a group.

    Args:
        slots: int tensor `[B, N]`, places in the view.
        tokens: tensor `[B, V, L, D]`, the group's tokens.
        view: int, the view.

    Returns:
        Int tensor `[B * N]`, indices into `[B * V * L]`.
    """
    batch_size, num_views, length, _ = ops.shape(tokens)
    row = ops.arange(batch_size, dtype="int32")[:, None] * num_views + view
    return ops.reshape(row * length + ops.cast(slots, "int32"), (-1,))
