"""Rows of token ids in batches of few shapes, so that little is compiled."""

from collections.abc import Iterator
from collections.abc import Sequence

import numpy as np


def padded_length(length: int, limit: float) -> int:
    """The next of 16, 32, 64, 96, 128, 192, 256, 384, ..., at most `limit`.

    Args:
        length: int. Tokens of the longest row.
        limit: number. The longest length that is allowed.

    Returns:
        An int.
    """
    size = 16
    while size < length:
        # From 64 on, half-way steps between the powers of two.
        power = 1 << (size.bit_length() - 1)
        size += power if size < 64 else power // 2
    return size if size < limit else int(limit)


def batches_by_length(
    rows: Sequence[Sequence[int]], batch_size: int
) -> Iterator[list[int]]:
    """Yields the indices of rows of similar length.

    Args:
        rows: sequence of sequences of ids.
        batch_size: int. The most rows of a batch.

    Yields:
        A list of indices of rows.
    """
    # The longest come first, so that a lack of memory shows at once.
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def pad_rows(
    rows: Sequence[Sequence[int]],
    batch_size: int,
    pad_token_id: int,
    limit: float,
) -> dict[str, np.ndarray]:
    """Pads rows to a batch of one of a few shapes; surplus rows are empty.

    Args:
        rows: sequence of sequences of ids.
        batch_size: int. Rows of a full batch.
        pad_token_id: int.
        limit: number. The longest length that is allowed.

    Returns:
        `{"token_ids": int32 array, "padding_mask": bool array}`, both
        `[rows, length]`.
    """
    length = padded_length(max(len(row) for row in rows), limit)
    size = min(1 << (len(rows) - 1).bit_length(), batch_size)
    token_ids = np.full((size, length), pad_token_id, dtype="int32")
    padding_mask = np.zeros((size, length), dtype="bool")
    for index, row in enumerate(rows):
        token_ids[index, : len(row)] = row
        padding_mask[index, : len(row)] = True
    return {"token_ids": token_ids, "padding_mask": padding_mask}
