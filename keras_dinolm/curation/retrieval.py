"""Finds documents that resemble a small set."""

import numpy as np

from keras_dinolm import arguments
from keras_dinolm.curation.report import Report
from keras_dinolm.evaluation.arguments import as_features
from keras_dinolm.evaluation.nearest import nearest
from keras_dinolm.typing import Tensor


def retrieve_near(
    features: Tensor, seed_features: Tensor, k: int = 4, batch_size: int = 256
) -> Report:
    """Finds the documents that are nearest to a seed set, by cosine.

    A few good documents of a kind (a domain, a style, a curated set) choose
    more of their kind from a large corpus: the `k` nearest documents of each
    seed. The search is exact. Remove copies first (`find_duplicates`), or
    the nearest documents are copies of one another; a seed that is in the
    corpus finds itself.

    Args:
        features: array `[N, D]`, of the documents to choose from.
        seed_features: array `[S, D]`, of the seed set, of the same encoder.
        k: int. Neighbours of each seed. Defaults to `4`, as for DINOv2.
        batch_size: int. Seeds at a time; it does not change the result.

    Returns:
        A `Report` with one rule, `"near no seed"`.
        `details["times"]` int64 `[N]` counts the seeds that retrieved a
        document, `details["neighbors"]` int64 `[S, k]` are the documents of
        each seed, nearest first, and `details["cosines"]` float64 `[S, k]`
        how near they are.

    Raises:
        ValueError: if features are not finite, differ in width, or `k` is
            more than N.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    features = np.random.default_rng(0).normal(size=(50, 8))
    report = kd.curation.retrieve_near(features, features[:3] + 0.1, k=2)
    print(report)
    report.details["neighbors"][:, 0]  # array([0, 1, 2])
    ```

    Reference:

    - [Oquab et al., 2024](https://arxiv.org/abs/2304.07193), section 3
    """
    features = as_features("features", features)
    seeds = as_features("seed_features", seed_features, features.shape[1])
    k = arguments.integer("k", k, 1)
    batch_size = arguments.integer("batch_size", batch_size, 1, (1 << 31) - 1)
    if k > len(features):
        raise ValueError(
            "`k` must be at most the number of documents, "
            f"{len(features)}. Received: k={k}"
        )
    batches = list(nearest(seeds, features, k, batch_size))
    cosines = np.concatenate([cosines for cosines, _ in batches])
    neighbors = np.concatenate([indices for _, indices in batches])
    times = np.bincount(neighbors.reshape(-1), minlength=len(features))
    found = int((times > 0).sum())
    return Report(
        "Neighbours of a seed set",
        len(features),
        {"near no seed": np.flatnonzero(times == 0)},
        notes=(
            f"{len(seeds):,} seeds with {k} neighbours each: {found:,} "
            f"distinct documents of {neighbors.size:,}, at most "
            f"{int(times.max()):,} times the same",
            f"cosine {cosines[:, 0].mean():.2f} of the nearest and "
            f"{cosines[:, -1].mean():.2f} of the last neighbour, on average",
        ),
        details={"times": times, "neighbors": neighbors, "cosines": cosines},
    )
