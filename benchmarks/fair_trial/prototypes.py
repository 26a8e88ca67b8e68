"""Prototypes that begin as centroids."""

import numpy as np
from keras import ops

import keras_dinolm as kd


def start_prototypes(model, head, features, seed):
    """Puts a head's prototypes where its projections of features are.

    Args:
        model: `DinoLM` whose teacher follows the student.
        head: string, `"token"` or `"sequence"`.
        features: float array `[N, dim]`, of the encoder.
        seed: int.
    """
    parts = np.array_split(features, -(-len(features) // 4_096))
    projected = np.concatenate(
        [
            ops.convert_to_numpy(model.student.project(head, part))
            for part in parts
        ]
    )
    found = kd.data.centroids(projected, model.num_prototypes, seed)
    for tower in (model.student, model.teacher):
        tower.prototypes(head).kernel.assign(found.T)
