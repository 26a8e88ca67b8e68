"""Clusters of clusters, spread evenly over what texts are about."""

import dataclasses
import hashlib
import json
import pathlib
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_dinolm.data.corpora.documents import progress
from keras_dinolm.data.paths import write_atomically
from keras_dinolm.evaluation.arguments import as_features
from keras_dinolm.evaluation.arguments import check_integer
from keras_dinolm.evaluation.arguments import unit
from keras_dinolm.typing import Path
from keras_dinolm.typing import Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class Clusters:
    """A tree of clusters over documents; made by `hierarchical_kmeans`.

    Level 0 has the most clusters; its leaves are the documents. `print` shows
    their sizes.

    Args:
        centroids: tuple of float32 arrays `[K, D]`, one for each level.
        parents: tuple of int64 arrays. The first has the cluster of each
            document, the next the cluster above each cluster, and so on.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    features = np.random.default_rng(0).normal(size=(60, 4))
    clusters = kd.curation.hierarchical_kmeans(features, [10, 3])
    clusters.labels()  # the cluster of each document, one of 10
    clusters.labels(level=1)  # one of 3
    clusters.entropy(level=1)  # at most log(3)
    ```
    """

    centroids: tuple
    parents: tuple

    @property
    def num_levels(self) -> int:
        """How many levels there are."""
        return len(self.parents)

    def labels(self, level: int = 0) -> np.ndarray:
        """The cluster of each document at a level.

        Args:
            level: int. Defaults to `0`.

        Returns:
            int64 array `[N]`.
        """
        labels = self.parents[0]
        for parent in self.parents[1 : level + 1]:
            labels = parent[labels]
        return labels

    def sizes(
        self, level: int = 0, documents: Tensor | None = None
    ) -> np.ndarray:
        """The number of documents in each cluster of a level.

        Args:
            level: int. Defaults to `0`.
            documents: indices of the documents to count. Defaults to all.

        Returns:
            int64 array `[K]`.
        """
        labels = self.labels(level)
        if documents is not None:
            labels = labels[documents]
        return np.bincount(labels, minlength=len(self.centroids[level]))

    def entropy(self, level: int = 0, documents: Tensor | None = None) -> float:
        """Entropy of the histogram of clusters, in nats, at most log K.

        Args:
            level: int. Defaults to `0`.
            documents: indices of the documents to count. Defaults to all.

        Returns:
            A float.
        """
        shares = self.sizes(level, documents)
        shares = shares[shares > 0] / shares.sum()
        return max(0.0, -float(np.sum(shares * np.log(shares))))

    def __str__(self) -> str:
        lines = [f"Clusters of {len(self.parents[0]):,} documents"]
        for level in range(self.num_levels):
            sizes = self.sizes(level)
            lines.append(
                f"  level {level}: {len(sizes):,} clusters of {sizes.min():,} "
                f"to {sizes.max():,} documents (median "
                f"{int(np.median(sizes)):,}), entropy "
                f"{self.entropy(level):.2f} of {np.log(len(sizes)):.2f} nats"
            )
        return "\n".join(lines)


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
    check_integer("num_resampling", num_resampling, lowest=0)
    check_integer("max_iterations", max_iterations)
    check_integer("seed", seed, lowest=0)
    points_per_cluster = _check_points(points_per_cluster, num_clusters)
    points = unit(features) if normalize else features
    points = np.ascontiguousarray(points, dtype=np.float32)
    saved = _Saved(
        directory,
        points,
        num_clusters=num_clusters,
        num_resampling=int(num_resampling),
        points_per_cluster=points_per_cluster,
        max_iterations=int(max_iterations),
        seed=int(seed),
    )
    plan = [
        (level, step)
        for level in range(len(num_clusters))
        for step in range(num_resampling + 1)
    ]
    all_centroids, parents = [], []
    centroids = labels = None
    for level, step in progress(plan, "k-means", show_progress, plan, "step"):
        k = num_clusters[level]
        if step == 0:
            if level:
                points = centroids
            sample = points
        else:
            count = points_per_cluster[level]
            if count is None:
                count = -(-len(points) // (2 * k))
            sample = points[_nearest(points, centroids, labels, count)]
        found = saved.read(level, step)
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


class _Saved:
    """Finished k-means in a folder, or nothing without one."""

    def __init__(
        self, directory: Path | None, points: np.ndarray, **settings: Any
    ) -> None:
        self.directory = directory and pathlib.Path(directory)
        if directory is None:
            return
        digest = hashlib.blake2b(points.tobytes(), digest_size=16)
        digest.update(json.dumps(points.shape).encode())
        settings = {**settings, "features": digest.hexdigest()}
        path = self.directory / "settings.json"
        if not path.exists():
            with write_atomically(path) as file:
                file.write(json.dumps(settings).encode())
            return
        old = json.loads(path.read_text())
        other = [key for key in settings if settings[key] != old.get(key)]
        if other:
            raise ValueError(
                f"`directory` {directory} holds other clusters: of other "
                f"{', '.join(other)}. Choose another directory, or remove "
                "this one to start again."
            )

    def _path(self, level, step):
        return self.directory / f"level-{level}-step-{step:02d}.npz"

    def read(
        self, level: int, step: int
    ) -> tuple[np.ndarray, np.ndarray] | None:
        if self.directory is None or not self._path(level, step).exists():
            return None
        with np.load(self._path(level, step)) as arrays:
            return arrays["centroids"], arrays["labels"]

    def write(
        self, level: int, step: int, centroids: np.ndarray, labels: np.ndarray
    ) -> None:
        if self.directory is not None:
            with write_atomically(self._path(level, step)) as file:
                np.savez(file, centroids=centroids, labels=labels)


def _check_clusters(num_clusters, num_points):
    numbers = np.atleast_1d(num_clusters).tolist()
    for number in numbers:
        check_integer("num_clusters", number)
    falls = all(a > b for a, b in zip(numbers, numbers[1:]))
    if not numbers or not falls or numbers[0] > num_points:
        raise ValueError(
            "`num_clusters` must descend from level to level, from at most "
            f"the number of documents, {num_points}. "
            f"Received: num_clusters={num_clusters}"
        )
    return [int(number) for number in numbers]


def _check_points(points_per_cluster, num_clusters):
    if points_per_cluster is None:
        return [None] * len(num_clusters)
    numbers = np.broadcast_to(
        points_per_cluster,
        np.shape(points_per_cluster) or len(num_clusters),
    ).tolist()
    for number in numbers:
        check_integer("points_per_cluster", number)
    if len(numbers) != len(num_clusters):
        raise ValueError(
            "`points_per_cluster` must be one integer, or one for each of the "
            f"{len(num_clusters)} levels. "
            f"Received: points_per_cluster={points_per_cluster}"
        )
    return numbers
