"""Centroids of features, by k-means on the sphere."""

import warnings
from typing import Any

import numpy as np

from keras_dinolm import arguments

# Rows that are compared with all centroids at a time.
STRETCH = 8_192


def centroids(
    features: Any,
    num_clusters: int,
    seed: int = 0,
    max_rows: int = 100_000,
    batch_size: int = 4_096,
    max_iterations: int = 100,
) -> np.ndarray:
    """Clusters features by their directions, and returns the centroids.

    They are the units of `keras_dinolm.objectives.UnitPrediction`, and the
    prototypes of `keras_dinolm.models.FixedTeacher`, which compare by cosine.
    So rows are scaled to unit length first, and centroids in the end. It is
    scikit-learn's mini-batch k-means from a k-means++ start. A centroid to
    which no row is nearest moves to a row that is far from its own.

    Where features have a large direction in common, subtract their mean
    before, and pass it as `statistics` to the teacher.

    Args:
        features: array `[N, D]`, such as from
            `keras_dinolm.models.token_features`. A memory map of any length
            will do.
        num_clusters: int, at least 2.
        seed: int. Defaults to `0`.
        max_rows: int. Of more rows, so many are drawn. Defaults to `100_000`.
        batch_size: int. Rows in a mini-batch. Defaults to `4_096`.
        max_iterations: int. The most passes over the rows; it ends before if
            nothing changes. Defaults to `100`.

    Returns:
        A float32 array `[num_clusters, D]` of unit vectors. Each is the
        nearest to some row.

    Raises:
        ValueError: for features that are no matrix, are not finite, or have
            fewer different directions than `num_clusters`.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    features = np.random.default_rng(0).normal(size=(500, 8))
    centroids = kd.data.centroids(features, num_clusters=16)
    centroids.shape  # (16, 8)
    ```

    Reference:
        [Web-scale k-means](https://dl.acm.org/doi/10.1145/1772690.1772862)
    """
    # A large import that few need.
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    features = arguments.matrix("features", features)
    num_clusters = arguments.integer("num_clusters", num_clusters, 2, 1 << 24)
    seed = arguments.integer("seed", seed, 0, (1 << 32) - 1)
    max_rows = arguments.count("max_rows", max_rows)
    batch_size = arguments.integer("batch_size", batch_size, 1, (1 << 31) - 1)
    max_iterations = arguments.integer(
        "max_iterations", max_iterations, 1, (1 << 31) - 1
    )
    rows = _unit_rows(features, max_rows, np.random.default_rng(seed))
    if len(rows) < num_clusters:
        raise ValueError(
            "Argument `num_clusters` must be at most the number of rows of "
            "`features` that are used and are not zero. Received: "
            f"num_clusters={num_clusters}, {len(rows)} rows"
        )
    means = MiniBatchKMeans(
        num_clusters,
        batch_size=min(batch_size, len(rows)),
        max_iter=max_iterations,
        n_init=1,
        random_state=seed,
    )
    with warnings.catch_warnings():
        # Fewer directions than clusters are an error of ours.
        warnings.simplefilter("ignore", ConvergenceWarning)
        means.fit(rows)
    return _without_empty(_unit(means.cluster_centers_), rows)


def _unit_rows(features, max_rows, rng):
    """Float32 rows of unit length, without rows of zeros."""
    if len(features) > max_rows:
        # In their order, as a memory map likes to be read.
        chosen = rng.choice(len(features), max_rows, replace=False)
        features = features[np.sort(chosen)]
    rows = features.astype("float32")
    arguments.check_finite("features", rows)
    rows = rows[np.any(rows != 0, axis=1)]
    return _unit(rows)


def _unit(rows):
    rows = rows.astype("float64")
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    # A mean of opposite directions may vanish; it will have no rows then.
    return (rows / np.maximum(lengths, 1e-30)).astype("float32")


def _without_empty(found, rows):
    """Moves centroids without rows to the rows that are worst off."""
    for _ in range(100):
        nearest, cosine = _nearest(rows, found)
        counts = np.bincount(nearest, minlength=len(found))
        empty = np.flatnonzero(counts == 0)
        if not len(empty):
            return found
        # One row of each cluster at most, and of clusters of several rows.
        worst = np.argsort(cosine, kind="stable")
        worst = worst[counts[nearest[worst]] > 1]
        _, first = np.unique(nearest[worst], return_index=True)
        worst = worst[np.sort(first)][: len(empty)]
        found[empty[: len(worst)]] = rows[worst]
        if not len(worst):
            break
    distinct = len(np.unique(rows, axis=0))
    raise ValueError(
        "Argument `features` must have more different directions than there "
        f"are clusters. Received: num_clusters={len(found)}, features with "
        f"{distinct} different directions"
    )


def _nearest(rows, found):
    """The nearest centroid of each row, and the cosine with it."""
    nearest, cosine = [], []
    for start in range(0, len(rows), STRETCH):
        scores = rows[start : start + STRETCH] @ found.T
        nearest.append(scores.argmax(axis=1))
        cosine.append(scores.max(axis=1))
    return np.concatenate(nearest), np.concatenate(cosine)
