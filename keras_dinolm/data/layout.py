"""How the windows of a token store are laid out in blocks and batches.

Shuffling has two levels, so that a corpus need not fit into memory. *Blocks*
are fixed sets of shards. A block takes every K-th shard, so that it is a sample
of the whole corpus, and is small enough to be loaded. An epoch visits the
blocks in a random order. `keras_dinolm.data.plan` shuffles inside a block.

How many windows a document gives does not depend on chance. So every epoch has
the same number of steps, and step n is found by arithmetic: nothing is read or
drawn for the steps before it.
"""

import dataclasses
from typing import Any

import numpy as np

from keras_dinolm.data.clusters import ClusterOrder
from keras_dinolm.data.clusters import order_clusters
from keras_dinolm.data.store_header import MOST
from keras_dinolm.data.token_store import TokenStore
from keras_dinolm.typing import Tensor
from keras_dinolm.views.namespace import NUMPY
from keras_dinolm.views.random import fold
from keras_dinolm.views.random import permutation
from keras_dinolm.views.random import stream

# Each purpose of a draw has a number of its own, so that no two share their
# random bits: 1001 is here, 1002 to 1004 and 1007 are in `plan`, 1005 and 1006
# in `clusters`.
_BLOCK_ORDER = 1001


@dataclasses.dataclass(frozen=True)
class Layout:
    """What does not change from epoch to epoch.

    Attributes:
        batch_size: int.
        buckets: ascending tuple of window widths.
        drop_remainder: bool.
        blocks: tuple of tuples of shard numbers.
        batches: int64 `[K]`. The number of batches in each block.
        windows: int. Number of windows of the corpus.
        clusters: `ClusterOrder`, or `None` if all batches are mixed.
        alternates: int. How many alternates come with a window, at most.
    """

    batch_size: int
    buckets: tuple[int, ...]
    drop_remainder: bool
    blocks: tuple[tuple[int, ...], ...]
    batches: np.ndarray
    windows: int
    clusters: ClusterOrder | None = None
    alternates: int = 0

    @property
    def steps_per_epoch(self) -> int:
        return int(self.batches.sum())

    def locate(self, seed: int, step: int) -> tuple[int, int]:
        """Finds a step: its visit, and its batch among those of the block.

        Visits are counted over all epochs.
        """
        epoch, rest = divmod(step, self.steps_per_epoch)
        order = block_order(seed, epoch, len(self.blocks))
        ends = np.cumsum(self.batches[order])
        place = int(np.searchsorted(ends, rest, side="right"))
        begin = int(ends[place] - self.batches[order[place]])
        return epoch * len(self.blocks) + place, rest - begin


def make_layout(
    store: TokenStore,
    batch_size: int,
    buckets: list[int],
    drop_remainder: bool,
    block_tokens: int,
    alternates: int = 0,
) -> Layout:
    """Makes the `Layout` of a store.

    Reads the length of every document once, shard by shard.

    Args:
        store: `TokenStore`.
        batch_size: int.
        buckets: ascending list of window widths.
        drop_remainder: bool.
        block_tokens: int. Tokens of a block, at most (but a whole shard).
        alternates: int. How many alternates come with a window, at most.

    Returns:
        A `Layout` of mixed batches.
    """
    tokens = [shard["tokens"] for shard in store.shards]
    if alternates:
        others = [shard["alternate_tokens"] for shard in store.shards]
        tokens = [sum(pair) for pair in zip(tokens, others)]
    num_blocks = min(len(tokens), -(-sum(tokens) // block_tokens))
    counts = np.array(
        [
            _windows_per_bucket(store.document_lengths(i), buckets)
            for i in range(len(tokens))
        ]
    )
    blocks, batches = [], []
    for block in range(num_blocks):
        shards = tuple(range(block, len(tokens), num_blocks))
        blocks.append(shards)
        left, total = 0, 0
        here = counts[list(shards)].sum(0)
        _check_block(sum(tokens[i] for i in shards), int(here.sum()), buckets)
        for width, count in enumerate(here):
            left += count
            if width < len(buckets) - 1 or drop_remainder:
                total += left // batch_size
                left %= batch_size
            else:
                total += -(-left // batch_size)
        batches.append(total)
    return Layout(
        batch_size,
        tuple(buckets),
        drop_remainder,
        tuple(blocks),
        np.array(batches, dtype="int64"),
        int(counts.sum()),
        alternates=alternates,
    )


def _check_block(tokens, windows, buckets):
    """The arithmetic inside of a block is that of int32."""
    if tokens > MOST or windows * 2 * (len(buckets) + 1) > MOST:
        raise ValueError(
            f"A block of the token store has {tokens:,} tokens in {windows:,} "
            f"windows of {len(buckets)} widths, which is more than 32 bits can "
            "count. Lower `block_tokens`, use fewer `buckets`, or tokenize "
            "again with smaller `shard_characters`."
        )


def with_clusters(
    layout: Layout, store: TokenStore, labels: np.ndarray, share: float
) -> tuple[Layout, int]:
    """The same layout with homogeneous batches.

    Args:
        layout: `Layout` of mixed batches.
        store: `TokenStore`.
        labels: integers `[documents]`. Negative ones stand for no cluster.
        share: float. The probability that a batch is of one cluster.

    Returns:
        A `Layout`, and how many batches of an epoch can be of one cluster.
    """
    windows = [
        count_windows(
            # Copies, because maps keep their files open.
            np.concatenate(
                [np.array(store.document_lengths(i)) for i in shards]
            ),
            layout.buckets,
        )
        for shards in layout.blocks
    ]
    first = np.cumsum([0] + [shard["documents"] for shard in store.shards])
    parts = [
        np.concatenate([labels[first[i] : first[i + 1]] for i in shards])
        for shards in layout.blocks
    ]
    clusters, possible = order_clusters(
        parts, windows, len(layout.buckets), layout.batch_size, share
    )
    return dataclasses.replace(layout, clusters=clusters), possible


def block_order(
    seed: int, epoch: Tensor, num_blocks: int, xp: Any = NUMPY
) -> Tensor:
    """The order in which an epoch visits the blocks: int32 `[K]`."""
    key = fold(stream(seed, epoch, xp), _BLOCK_ORDER, xp)
    return permutation(key, num_blocks, xp)


def count_windows(
    lengths: np.ndarray, buckets: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """How many windows each document gives, and of which bucket they are."""
    lengths = np.asarray(lengths)
    windows = -(-lengths // buckets[-1])
    return windows, np.searchsorted(buckets, np.minimum(lengths, buckets[-1]))


def _windows_per_bucket(lengths, buckets):
    windows, bucket = count_windows(lengths, buckets)
    return np.bincount(bucket, windows, len(buckets)).astype("int64")
