"""Picking the marked entries of an array in order, with static shapes."""

from typing import Any

from keras_dinolm.typing import Tensor


def running_count(flags: Tensor, xp: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Counts of marked entries up to each place, over rows and overall.

    Args:
        flags: bool `[N, L]`.
        xp: namespace of the array.

    Returns:
        Tuple of: int32 `[N * L]`, marked entries up to and with each place in
        row-major order; int32 `[N]`, marked entries in the rows before; int32
        `[N]`, marked entries in the row.
    """
    # Two short sums in place of one long one, which some compilers unroll
    # into many passes.
    within = xp.cumsum(flags)
    total = within[:, -1]
    before = xp.cumsum(total) - total
    return xp.reshape(within + before[:, None], (-1,)), before, total


def locate(counts: Tensor, ranks: Tensor, xp: Any) -> Tensor:
    """Flat index of the marked entry of each rank.

    Args:
        counts: int32 `[N * L]`, from `running_count`.
        ranks: int32 array, 1 for the first marked entry.
        xp: namespace of the arrays.

    Returns:
        int32 array of the shape of `ranks`; the size of `counts` where there
        is no such entry.
    """
    return xp.searchsorted(counts, ranks)
