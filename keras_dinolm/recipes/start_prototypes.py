"""Prototypes that start where features are."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.data import centroids
from keras_dinolm.models import DinoLM
from keras_dinolm.models.distillation.token_features import groups_read


def start_prototypes(
    model: DinoLM,
    batches: Iterable,
    num_rows: int = 20_000,
    seed: int = 0,
) -> None:
    """Starts the prototypes of a model from clusters of its features.

    Random prototypes first have to move to where features are, and meanwhile
    teach what is close to noise. Here the teacher's projections of some texts
    are clustered, for each head, and student and teacher get the centroids as
    prototypes. That is worth something where the encoder is trained already.

    Args:
        model: `DinoLM` whose teacher follows its student, before training.
        batches: iterable of batches of views, such as a `view_dataset`.
        num_rows: int. Sequences or tokens that are clustered, at least as
            many as there are prototypes.
        seed: int. Of the clustering.

    Raises:
        ValueError: for another model, one with a fixed teacher or without
            heads, or too few different rows.

    Example:

    ```python
    import keras_dinolm as kd

    texts = [f"the cat number {i} sat on mat {i % 7}" for i in range(60)]
    tokenizer = kd.data.train_tokenizer(texts, vocabulary_size=80)
    tokens = kd.data.tokenize(texts, tokenizer, "tokens/")
    views = kd.views.TextViews(tokenizer, sequence_length=16)
    dataset = kd.data.view_dataset(tokens, views, batch_size=8)
    model = kd.models.DinoLM(
        kd.models.DinoLMBackbone.from_size(
            "nano", tokenizer.vocabulary_size()
        ),
        [kd.objectives.SequenceDistillation()],
        num_prototypes=16,
    )
    kd.recipes.start_prototypes(model, dataset, num_rows=200)
    ```

    Reference:
        [Prototypes by k-means](https://arxiv.org/abs/2005.04966)
    """
    arguments.instance("model", model, DinoLM, "a `DinoLM`")
    num_rows = arguments.count("num_rows", num_rows)
    seed = arguments.integer("seed", seed, 0, (1 << 32) - 1)
    teacher, student = model.teacher, model.student
    if model.lesson.teacher_is_fixed or not student.heads:
        raise ValueError(
            "Argument `model` must have a teacher that follows its student, "
            "and an objective with prototypes. Received: "
            f"heads={student.heads}, a fixed teacher: "
            f"{model.lesson.teacher_is_fixed}"
        )
    rows: dict[str, list[np.ndarray]] = {head: [] for head in student.heads}
    for arrays in groups_read(batches):
        features = teacher(arrays, training=False)
        for head, found in rows.items():
            found.append(_rows(teacher, head, features, arrays))
        if all(sum(map(len, r)) >= num_rows for r in rows.values()):
            break
    if not all(rows.values()):
        arguments.refuse("batches", batches, "batches that hold text")
    for head, found in rows.items():
        start = centroids(
            np.concatenate(found)[:num_rows], model.num_prototypes, seed
        )
        for tower in (student, teacher):
            tower.prototypes(head).kernel.assign(start.T)


def _rows(tower: Any, head: str, features: dict, arrays: dict) -> np.ndarray:
    """Projections of all texts, or tokens of text, of a view group."""
    name = "tokens" if head == "token" else "sequence"
    projected = ops.convert_to_numpy(tower.project(head, features[name]))
    if name == "tokens":
        return projected[ops.convert_to_numpy(arrays["positions"]) >= 0]
    return projected.reshape(-1, projected.shape[-1])
