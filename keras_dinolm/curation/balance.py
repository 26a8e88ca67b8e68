"""A sample with an equal share for each cluster."""

import numpy as np

from keras_dinolm import arguments
from keras_dinolm.curation.clusters import Clusters
from keras_dinolm.curation.report import Report


def balanced_sample(clusters: Clusters, size: int, seed: int = 0) -> Report:
    """Draws documents so that clusters weigh the same, level by level.

    From the top of the tree down, each cluster divides its share evenly among
    its children; a child with fewer documents gives all of them, and the
    others share what it leaves. In the last clusters, documents are drawn at
    random without replacement. Few topics then no longer fill the corpus.

    Args:
        clusters: `Clusters`, from `hierarchical_kmeans`.
        size: int. Documents to draw, exactly; at most all.
        seed: int. Defaults to `0`.

    Returns:
        A `Report` with one rule, `"over its cluster's share"`, and the entropy
        of each level's histogram of clusters before and after.
        `details["entropy"]` is a list of pairs (before, after), in nats, one
        for each level.

    Raises:
        ValueError: if `size` is out of range.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    features = np.random.default_rng(0).normal(size=(200, 8))
    clusters = kd.curation.hierarchical_kmeans(
        features, [20, 5], num_resampling=2
    )
    report = kd.curation.balanced_sample(clusters, 100)
    print(report)
    len(report.kept)  # 100
    ```

    Reference:

    - [Vo et al., 2024](https://arxiv.org/abs/2405.15613), section 3.4
    """
    arguments.instance(
        "clusters",
        clusters,
        Clusters,
        "`Clusters`, from `keras_dinolm.curation.hierarchical_kmeans`",
    )
    total = len(clusters.parents[0])
    size = arguments.integer("size", size, 1)
    seed = arguments.integer("seed", seed, 0, (1 << 63) - 1)
    if size > total:
        raise ValueError(
            "`size` must be at most the number of documents, "
            f"{total}. Received: size={size}"
        )
    generator = np.random.default_rng(seed)
    top = clusters.num_levels - 1
    shares = _divide(size, clusters.sizes(top), generator)
    for level in range(top - 1, -1, -1):
        room = clusters.sizes(level)
        below = np.zeros(len(room), dtype="int64")
        for share, children in zip(
            shares, _members(clusters.parents[level + 1], len(shares))
        ):
            below[children] = _divide(int(share), room[children], generator)
        shares = below
    parts = [
        generator.choice(documents, share, replace=False)
        for share, documents in zip(
            shares, _members(clusters.parents[0], len(shares))
        )
    ]
    kept = np.concatenate(parts)
    entropy = [
        (clusters.entropy(level), clusters.entropy(level, kept))
        for level in range(clusters.num_levels)
    ]
    notes = [
        f"entropy of the {len(clusters.centroids[level]):,} clusters of level "
        f"{level}: {before:.2f} before, {after:.2f} after, of at most "
        f"{np.log(len(clusters.centroids[level])):.2f} nats"
        for level, (before, after) in enumerate(entropy)
    ]
    return Report(
        "Balanced sample",
        total,
        {"over its cluster's share": np.setdiff1d(np.arange(total), kept)},
        notes=tuple(notes),
        details={"entropy": entropy},
    )


def _divide(total, room, generator):
    """Shares of a total, as even as the room of each allows.

    Args:
        total: int, at most the sum of `room`.
        room: int64 `[n]`.
        generator: NumPy's random generator. It draws who gets what is left
            after dividing.

    Returns:
        int64 `[n]` with the sum `total`.
    """
    low, high = 0, total
    while low < high:  # the highest level that the total fills
        level = (low + high + 1) // 2
        if np.minimum(room, level).sum() <= total:
            low = level
        else:
            high = level - 1
    shares = np.minimum(room, low)
    open_ = np.flatnonzero(room > low)
    rest = total - int(shares.sum())
    if rest:
        shares[generator.choice(open_, rest, replace=False)] += 1
    return shares


def _members(labels, count):
    """For each label, the places that have it."""
    order = np.argsort(labels, kind="stable")
    ends = np.cumsum(np.bincount(labels, minlength=count))
    return np.split(order, ends[:-1])
