"""Centroids of features, and prototypes that begin as such."""

import numpy as np
from keras import ops


def centroids(features, num_clusters, seed):
    """Centroids of unit length of features of unit length.

    Args:
        features: float array `[N, dim]`.
        num_clusters: int.
        seed: int.

    Returns:
        float32 array `[num_clusters, dim]`.
    """
    from sklearn.cluster import MiniBatchKMeans

    features = unit(np.asarray(features, "float32"))
    means = MiniBatchKMeans(
        num_clusters, batch_size=4_096, n_init=3, random_state=seed
    ).fit(features)
    return unit(means.cluster_centers_.astype("float32"))


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-6)


def start_prototypes(model, head, features, seed):
    """Puts a head's prototypes where its projections of features are.

    Args:
        model: `DinoLM` whose teacher follows the student.
        head: string, `"token"` or `"sequence"`.
        features: float array `[N, dim]`, of the encoder.
        seed: int.
    """
    projected = np.concatenate(
        [
            ops.convert_to_numpy(model.student.project(head, part))
            for part in np.array_split(features, max(len(features) // 4096, 1))
        ]
    )
    found = centroids(projected, model.num_prototypes, seed)
    for tower in (model.student, model.teacher):
        tower.prototypes(head).kernel.assign(found.T)
