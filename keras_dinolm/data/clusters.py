"""Dealing the windows of a block so that some batches are of one cluster.

Written in the array namespace of `keras_dinolm.views`, as `plan`.
"""

import dataclasses
from typing import Any

import numpy as np

from keras_dinolm.typing import Tensor
from keras_dinolm.views.random import fold
from keras_dinolm.views.random import happens
from keras_dinolm.views.random import permutation

# Purposes of draws, see `layout`.
_RUN_ORDER, _HOMOGENEOUS = 1005, 1006


@dataclasses.dataclass(frozen=True)
class ClusterOrder:
    """Labels in the order in which blocks are read.

    Attributes:
        labels: int32 `[documents]`, in the order of the blocks: 0 to
            `num_clusters - 1`, or `num_clusters` for none.
        first_document: int32 `[K]`. Where each block begins in `labels`.
        num_clusters: int.
        probability: int. The share of homogeneous batches in units of 2^-16.
    """

    labels: np.ndarray
    first_document: np.ndarray
    num_clusters: int
    probability: int


def order_clusters(
    labels: list[np.ndarray],
    windows: list[tuple[np.ndarray, np.ndarray]],
    num_buckets: int,
    batch_size: int,
    share: float,
) -> tuple[ClusterOrder, int]:
    """Makes the `ClusterOrder` of a store.

    Args:
        labels: list of integer arrays, the documents' labels in each block.
        windows: list of pairs of arrays. How many windows each document of
            a block gives, and the bucket of these.
        num_buckets: int.
        batch_size: int.
        share: float. The probability that a batch is of one cluster.

    Returns:
        A `ClusterOrder`, and how many batches of an epoch can be of one
        cluster.

    Raises:
        ValueError: if there are too many clusters for int32 arithmetic.
    """
    everything = np.concatenate(labels)
    names = np.unique(everything[everything >= 0])
    parts, starts, possible = [], [0], 0
    for given, (counts, bucket) in zip(labels, windows, strict=True):
        part = np.where(
            given < 0, len(names), np.searchsorted(names, given)
        ).astype("int32")
        groups = np.bincount(bucket * (len(names) + 1) + part, counts)
        if counts.sum() * num_buckets * (len(names) + 1) >= 1 << 31:
            raise ValueError(
                "`homogeneous` has too many clusters, "
                f"{len(names):,}, for a block of {int(counts.sum()):,} "
                "windows: their product must be below 2^31. Use a higher "
                "level of clusters, or lower `block_tokens`."
            )
        whole = groups.astype("int64") // batch_size
        ours = np.arange(len(whole)) % (len(names) + 1) < len(names)
        possible += int(whole[ours].sum())
        parts.append(part)
        starts.append(starts[-1] + len(part))
    clusters = ClusterOrder(
        np.concatenate(parts),
        np.array(starts[:-1], dtype="int32"),
        len(names),
        round(share * (1 << 16)),
    )
    return clusters, possible


def deal_clusters(
    key: Tensor,
    bucket: Tensor,
    cluster: Tensor,
    count: Tensor,
    batch_ends: Tensor,
    batch_size: int,
    clusters: ClusterOrder,
    xp: Any,
) -> Tensor:
    """An order by bucket, in which some batches have one cluster each.

    Each batch is to be of one cluster with the given probability. In each
    bucket, the windows of a cluster, which come shuffled, are cut into *runs*
    of a whole batch. As many runs as are wanted (or there are) come first,
    drawn from all runs alike. Everything else follows, mixed.

    Args:
        key: int32 `[1]`.
        bucket: int32 `[n]`, of the shuffled windows.
        cluster: int32 `[n]`, of the shuffled windows.
        count: n.
        batch_ends: int32, the number of batches up to each bucket's end.
        batch_size: int.
        clusters: `ClusterOrder`.
        xp: array namespace.

    Returns:
        int32 `[n]`, places in the shuffled windows.
    """
    none = clusters.num_clusters
    place = xp.arange(count)

    # How many homogeneous batches each bucket wants.
    bits = fold(fold(key, _HOMOGENEOUS, xp), place, xp)
    drawn = xp.cumsum(happens(bits, clusters.probability, xp))
    zero = xp.asarray(np.zeros(1))
    upto = xp.take(xp.concatenate([zero, drawn], 0), batch_ends)
    wanted = upto - xp.concatenate([zero, upto[:-1]], 0)

    # Runs: `rank` counts through the windows of one bucket and cluster.
    group = bucket * (none + 1) + cluster
    by_group = xp.argsort(group * count + place)
    group = xp.take(group, by_group)
    start = xp.searchsorted(group, group)
    length = xp.searchsorted(group, group + 1) - start
    rank = place - start
    bucket = group // (none + 1)
    in_run = rank < length // batch_size * batch_size
    in_run = in_run & (group % (none + 1) < none)
    first = in_run & (rank % batch_size == 0)

    # The runs of a bucket in random order, before its other windows.
    draw = permutation(fold(key, _RUN_ORDER, xp), count, xp)
    line = xp.argsort((bucket * 2 + xp.where(first, 0, 1)) * count + draw)
    number = xp.argsort(line) - xp.searchsorted(bucket, bucket)
    chosen = first & (number < xp.take(wanted, bucket))
    chosen = xp.take(xp.asarray(chosen), place - rank % batch_size)
    rest = xp.where(in_run & (chosen > 0), place, count + by_group)
    return xp.take(by_group, xp.argsort(bucket * 2 * count + rest))
