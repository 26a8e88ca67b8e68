"""Rows in equal chunks, so that few logits are held at a time."""

import math

from keras import ops

from keras_dinolm import arguments
from keras_dinolm.typing import Tensor

# 64 MiB of float32: small compared to a network's activations, and large enough
# that the loop over chunks costs nothing.
MAX_LOGITS = 2**24


def check_max_logits(max_logits: int) -> int:
    """Returns the limit if it is an integer of at least 1.

    Args:
        max_logits: Integer. How many logits may be held at a time.

    Returns:
        The limit as an integer.

    Raises:
        ValueError: If it is not.
    """
    return arguments.integer(
        "max_logits",
        max_logits,
        1,
        2**62,
        meaning="how many logits (rows times prototypes) are held at a time",
    )


def check_static(sizes: dict[str, int], letters: str) -> None:
    """Raises unless the sizes are known before the values are."""
    unknown = [letter for letter in letters if letter not in sizes]
    if unknown:
        raise ValueError(
            f"The sizes {unknown} must be static, since they decide on the "
            "chunks. Give the batch a fixed size (`drop_remainder=True`)."
        )


def chunk_sizes(
    num_rows: int, logits_per_row: int, max_logits: int
) -> tuple[int, int]:
    """How many chunks, and how many rows in each: as even as can be."""
    limit = max(1, max_logits // logits_per_row)
    count = max(1, math.ceil(num_rows / limit))
    return count, max(1, math.ceil(num_rows / count))


def split_rows(x: Tensor, count: int, size: int) -> Tensor:
    """`[V, N, ...]` to `[count, V, size, ...]`, with rows of zeros at the end.

    Each chunk is contiguous, so that taking one is cheap.
    """
    views, num_rows, *rest = x.shape
    spare = count * size - num_rows
    if spare:
        x = ops.pad(x, [(0, 0), (0, spare), *((0, 0) for _ in rest)])
    x = ops.reshape(x, (views, count, size, *rest))
    return ops.moveaxis(x, 1, 0)


def merge_rows(chunks: Tensor, num_rows: int) -> Tensor:
    """The inverse of `split_rows`."""
    count, views, size, *rest = chunks.shape
    x = ops.reshape(ops.moveaxis(chunks, 0, 1), (views, count * size, *rest))
    return x[:, :num_rows]


def wait_for(x: Tensor, *scalars: Tensor) -> Tensor:
    """`x`, computed after the scalars are.

    A graph without XLA may run several turns of a loop at once and hold the
    logits of all of them. So the input of a turn depends on the sums of the
    turn before, by adding a zero that no optimizer recognises as one.
    """
    return x + sum(ops.minimum(0.0, ops.abs(scalar)) for scalar in scalars)
