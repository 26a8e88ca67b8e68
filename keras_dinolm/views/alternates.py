"""Which text of a document each view is cut from."""

from typing import Any

from keras_dinolm.typing import Tensor
from keras_dinolm.views.random import below
from keras_dinolm.views.random import fold
from keras_dinolm.views.random import happens

KEYS = ("alternate_ids", "alternate_lengths", "alternate_starts")

_WHETHER, _WHICH = 14, 15


def draw_texts(
    keys: Tensor, counts: Tensor, probability: int | Tensor, xp: Any
) -> Tensor:
    """Draws a text for each view: the document or one of its alternates.

    Args:
        keys: int32 `[B, V]`. One key a view.
        counts: int32 `[B]`. Alternates of each document, below 2^15.
        probability: int, or int32 `[1]`. Chance of an alternate, in units of
            2^-16.
        xp: namespace of the arrays.

    Returns:
        int32 `[B, V]`: 0 for the document, i + 1 for alternate i.
    """
    counts = counts[:, None]
    chosen = happens(fold(keys, _WHETHER, xp), probability, xp)
    which = below(fold(keys, _WHICH, xp), xp.maximum(counts, 1), xp)
    return xp.where(chosen & (counts > 0), which + 1, 0)


def join_texts(
    token_ids: Tensor,
    lengths: Tensor,
    starts: Tensor,
    alternates: tuple[Tensor, Tensor, Tensor],
    xp: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    """Lays the windows of documents and their alternates end to end.

    Args:
        token_ids: int32 `[B, W]`.
        lengths: int32 `[B]`.
        starts: int32 `[B]`.
        alternates: the same of the alternates: int32 `[B, S, W]`, `[B, S]`
            and `[B, S]`.
        xp: namespace of the arrays.

    Returns:
        Tuple of int32 `[B * (1 + S) * W]`, `[B * (1 + S)]` and
        `[B * (1 + S)]`: each document's window, then its alternates.
    """
    own = (token_ids[:, None, :], lengths[:, None], starts[:, None])
    return tuple(
        xp.reshape(xp.concatenate([one, others], 1), (-1,))
        for one, others in zip(own, alternates)
    )
