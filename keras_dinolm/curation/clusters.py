"""A tree of clusters over documents."""

import dataclasses

import numpy as np

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
