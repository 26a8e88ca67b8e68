"""Clusters of clusters, spread evenly over what texts are about."""

import warnings
from collections.abc import Sequence

import numpy as np

from keras_dinolm import arguments
from keras_dinolm.curation.clusters import Clusters
from keras_dinolm.curation.saved_clusters import SavedClusters
from keras_dinolm.data.corpora.documents import progress
from keras_dinolm.evaluation.arguments import as_features
from keras_dinolm.evaluation.arguments import unit
from keras_dinolm.typing import Path
from keras_dinolm.typing import Tensor

_MOST = (1 << 31) - 1


def hierarchical_kmeans(
    features: Tensor,
    num_clusters: Sequence[int],
    num_resampling: int = 10,
    points_per_cluster: int | Sequence[int] | None = None,
    normalize: bool = True,
    max_iterations: int = 50,
    seed: int = 0,
    directory: Path | None = None,
    show_progress: bool = False,
) -> Clusters:
    """Clusters documents, then the centroids of their clusters, and so on.

    Plain k-means spends its centroids where documents are dense: a topic with
    ten times the documents gets several times the clusters. Two remedies work
    together here. Centroids have a flatter density than documents, so clusters
    of *centroids* are more even. *Resampling* repeats each k-means on the few
    points nearest to each centroid, which flattens the density further.
    `balanced_sample` then draws from the tree.

    The k-means is that of scikit-learn (k-means++ and Lloyd's algorithm), new
    in each resampling step. Clusters in which no point remains are dropped, so
    a level may have fewer than asked for.

    Args:
        features: array `[N, D]` of document features.
        num_clusters: list of ints, descending: clusters of each level. For up
            to a million documents, 2 or 3 levels; N / 20 clusters, then a
            tenth at each level.
        num_resampling: int. Resampling steps at each level; `0` is plain
            k-means. Defaults to `10`, as in the paper.
        points_per_cluster: int, or one int for each level: points nearest to
            each centroid that resampling takes. Defaults to half of the mean
            size of a cluster.
        normalize: bool. Whether to scale features to unit length, so that
            distance goes with cosine. Defaults to `True`.
        max_iterations: int. Iterations of each k-means. Defaults to `50`.
        seed: int. Defaults to `0`.
        directory: path of a folder where each finished k-means is kept, so
            that the same call continues where it was stopped. Defaults to
            `None`.
        show_progress: bool. Whether to show a progress bar.

    Returns:
        `Clusters`.

    Raises:
        ValueError: if features are not finite, the numbers of clusters do not
            descend or exceed N, or the directory holds other clusters.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    features = np.random.default_rng(0).normal(size=(200, 8))
    clusters = kd.curation.hierarchical_kmeans(
        features, [20, 5], num_resampling=2
    )
    print(clusters)
    report = kd.curation.balanced_sample(clusters, 100)
    ```

    Reference:

    - [Vo et al., 2024](https://arxiv.org/abs/2405.15613)
    """
    features = as_features("features", features)
    num_clusters = _check_clusters(num_clusters, len(features))
    num_resampling = arguments.integer(
        "num_resampling", num_resampling, 0, 10_000
    )
    max_iterations = arguments.integer(
        "max_iterations", max_iterations, 1, _MOST
    )
    seed = arguments.integer("seed", seed, 0, _MOST)
    normalize = arguments.flag("normalize", normalize)
    show_progress = arguments.flag("show_progress", show_progress)
    counts = _check_points(points_per_cluster, num_clusters)
    points = unit(features) if normalize else features
    points = np.ascontiguousarray(points, dtype=np.float32)
    saved = SavedClusters(
        directory,
        points,
        num_clusters=num_clusters,
        num_resampling=num_resampling,
        points_per_cluster=counts,
        max_iterations=max_iterations,
        seed=seed,
    )
    with saved.alone():
        return _clusters(
            points,
            num_clusters,
            num_resampling,
            counts,
            max_iterations,
            seed,
            saved,
            show_progress,
        )


def _clusters(
    points,
    num_clusters,
    num_resampling,
    counts,
    max_iterations,
    seed,
    saved,
    show_progress,
):
    plan = [
        (level, step)
        for level in range(len(num_clusters))
        for step in range(num_resampling + 1)
    ]
    all_centroids, parents = [], []
    # Each level starts with a k-means without resampling, which sets both.
    centroids, labels = points, np.zeros(len(points), "int64")
    for level, step in progress(plan, "k-means", show_progress, plan, "step"):
        k = num_clusters[level]
        if step == 0:
            if level:
                points = centroids
            sample = points
        else:
            count = counts[level]
            if count is None:
                count = -(-len(points) // (2 * k))
            sample = points[_nearest(points, centroids, labels, count)]
        found = saved.read(level, step, len(points), k)
        if found is None:
            state = np.random.SeedSequence([seed, level, step])
            found = _assign(points, _kmeans(sample, k, max_iterations, state))
            saved.write(level, step, *found)
        centroids, labels = found
        if step == num_resampling:
            all_centroids.append(centroids)
            parents.append(labels)
    return Clusters(tuple(all_centroids), tuple(parents))


def _kmeans(points, k, max_iterations, state):
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    model = KMeans(
        min(k, len(points)),
        n_init=1,
        max_iter=max_iterations,
        random_state=int(state.generate_state(1)[0]),
    )
    with warnings.catch_warnings():
        # Equal points make fewer clusters, which is no error here.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(points).cluster_centers_


def _assign(points, centroids):
    """The centroids that are nearest to any point, and to which points."""
    from sklearn.metrics import pairwise_distances_argmin

    labels = pairwise_distances_argmin(points, centroids)
    used, labels = np.unique(labels, return_inverse=True)
    return centroids[used], labels.reshape(-1).astype("int64")


def _nearest(points, centroids, labels, count):
    """Indices of the points nearest to their own centroid, ascending."""
    distances = np.square(points - centroids[labels]).sum(axis=1)
    order = np.lexsort((distances, labels))
    starts = np.searchsorted(labels[order], labels[order])
    return np.sort(order[np.arange(len(order)) - starts < count])


def _check_clusters(num_clusters, num_points):
    numbers = _integers("num_clusters", num_clusters)
    falls = all(a > b for a, b in zip(numbers, numbers[1:]))
    if not numbers or not falls or numbers[0] > num_points:
        raise ValueError(
            "`num_clusters` must descend from level to level, from at most "
            f"the number of documents, {num_points}. "
            f"Received: num_clusters={arguments.shorten(num_clusters)}"
        )
    return numbers


def _check_points(points_per_cluster, num_clusters):
    if points_per_cluster is None:
        return [None] * len(num_clusters)
    numbers = _integers("points_per_cluster", points_per_cluster)
    if np.ndim(points_per_cluster) == 0:
        numbers *= len(num_clusters)
    if len(numbers) != len(num_clusters):
        raise ValueError(
            "`points_per_cluster` must be one integer, or one for each of the "
            f"{len(num_clusters)} levels. Received: "
            f"points_per_cluster={arguments.shorten(points_per_cluster)}"
        )
    return numbers


def _integers(name, value):
    """One integer, or a row of them, as a list of int."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    values = list(value) if isinstance(value, list | tuple) else [value]
    return [arguments.integer(name, number, 1, _MOST) for number in values]
