"""Distillation over so many prototypes that logits are not held whole."""

import math
from typing import Any

from keras import ops

from keras_dinolm import losses
from keras_dinolm.objectives.features import Features
from keras_dinolm.typing import Tensor


def needs_chunks(objective: Any, teacher: Tensor, student: Tensor) -> bool:
    """Whether a network's logits are more than `objective.max_logits`.

    Args:
        objective: `SequenceDistillation` or `TokenDistillation`. If its
            `targets` have no `prototype_bias` of their formula, there is only
            the direct form.
        teacher: tensor `[..., D]`.
        student: tensor `[..., D]`.

    Returns:
        A boolean, fixed by shapes.
    """
    if not _has_factored_form(objective.targets):
        return False
    shapes = [tuple(x.shape[:-1]) for x in (teacher, student)]
    if any(None in shape for shape in shapes):
        return False
    rows = max(math.prod(shape) for shape in shapes)
    return rows * objective.num_prototypes > objective.max_logits


def _has_factored_form(targets: Any) -> bool:
    """Whether targets do without logits, by the formula of their `call`.

    A subclass that changes `call` or `statistics` alone inherits the factored
    form of another formula; it counts as having none.
    """
    order = type(targets).__mro__

    def place(name):
        """How far up the class is whose method it is."""
        found = [i for i, cls in enumerate(order) if name in vars(cls)]
        return min(found, default=len(order))

    return place("prototype_bias") <= place("call") and place(
        "factored_statistics"
    ) <= place("statistics")


def distill_in_chunks(
    objective: Any,
    features: Features,
    teacher: Tensor,
    student: Tensor,
    pairs: Tensor | None = None,
    weight: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """Computes the loss of the student's features against the teacher's.

    Args:
        objective: `SequenceDistillation` or `TokenDistillation`, whose `head`
            is read.
        features: `Features`.
        teacher: tensor `[T, N, D]`.
        student: tensor `[S, N, D]`.
        pairs: array `[T, S]` of 0 and 1, or `None` for all.
        weight: tensor `[N]` or `None`.

    Returns:
        `(loss, metrics, statistics)`, metrics as `chunked_cross_entropy`
        gives them.
    """
    temperature = features.at(objective.teacher_temperature)
    teacher, from_prototypes = features.teacher_factors(objective.head, teacher)
    student, to_prototypes = features.student_factors(objective.head, student)
    rows = ops.reshape(teacher, (-1, teacher.shape[-1]))
    used = None
    if weight is not None:
        used = ops.cast(weight > 0, "float32")
        used = ops.tile(used, (teacher.shape[0],))
    bias = objective.targets.prototype_bias(
        rows,
        from_prototypes,
        temperature=temperature,
        sample_weight=used,
        max_logits=objective.max_logits,
    )
    loss, metrics = losses.chunked_cross_entropy(
        teacher,
        from_prototypes,
        student,
        to_prototypes,
        temperature,
        objective.student_temperature,
        teacher_bias=bias,
        pairs=pairs,
        sample_weight=weight,
        max_logits=objective.max_logits,
    )
    statistics = objective.targets.factored_statistics(
        rows, from_prototypes, used
    )
    return loss, metrics, statistics
