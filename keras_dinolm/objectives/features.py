"""What objectives are given to read."""

import dataclasses
from collections.abc import Callable
from collections.abc import Iterable
from typing import Any

from keras import ops

from keras_dinolm.schedules import Schedule
from keras_dinolm.typing import Tensor


@dataclasses.dataclass(frozen=True)
class Features:
    """What both networks made of one batch of views.

    Where a view group has not started yet (`DinoLM(group_starts=...)`),
    `student` and `teacher` lack it.

    Attributes:
        batch: dict of view group to its arrays, as `TextViews` makes it.
        student: dict of view group to `{"tokens": [B, V, L, D],
            "sequence": [B, V, P]}`, where P is D unless the encoder joins
            layers side by side (`pooled_dim`); `"tokens"` where an active
            objective reads them, as its `reads_tokens` says.
        teacher: the same for the teacher, without gradient; and `"layers"`,
            a list of the last layers' tokens `[B, V, L, D]`, if an active
            objective asks for them by `num_teacher_layers`.
        update: scalar tensor, the number of optimizer updates done.
        student_logits: callable `(head, features) -> logits`, through the
            student's projection head and prototypes of that name. Shapes are
            `[..., D]` and `[..., K]`.
        teacher_logits: the same for the teacher, without gradient.
        student_factors: callable `(head, features) -> (projected,
            prototypes)`, whose product are the student's logits, for losses
            that never hold them whole.
        teacher_factors: the same for the teacher, without gradient.
    """

    batch: dict[str, dict[str, Tensor]]
    student: dict[str, dict[str, Any]]
    teacher: dict[str, dict[str, Any]]
    update: Tensor
    student_logits: Callable[[str, Tensor], Tensor]
    teacher_logits: Callable[[str, Tensor], Tensor]
    student_factors: Callable[[str, Tensor], tuple[Tensor, Tensor]]
    teacher_factors: Callable[[str, Tensor], tuple[Tensor, Tensor]]

    def at(self, value: float | Schedule) -> Tensor:
        """Evaluates a number or schedule at this optimizer update.

        Args:
            value: float or schedule.

        Returns:
            The number as it is, or a float32 scalar tensor.
        """
        if callable(value):
            return ops.cast(value(self.update), "float32")
        return value

    def teacher_rows(self, targets: Any, head: str, features: Tensor) -> Tensor:
        """Computes what `targets` assign: logits, or projections.

        Args:
            targets: layer of `keras_dinolm.layers`, such as `Sinkhorn`. One
                that `reads_projections` gets those, others get logits.
            head: string, the teacher's head.
            features: tensor `[..., D]`.

        Returns:
            Float32 tensor `[..., K]`, or `[..., d]` of projections.
        """
        if getattr(targets, "reads_projections", False):
            return self.teacher_factors(head, features)[0]
        return self.teacher_logits(head, features)

    def masked_tokens(self, group: str) -> tuple[Tensor, Tensor, Tensor]:
        """Finds the masked tokens of a view group, as flat indices.

        Args:
            group: string, a view group with masks.

        Returns:
            `(indices, valid, weight)`, each `[M]`: places in the flattened
            `[B * V * L]` tokens; 1 for used slots and 0 for spare ones; and
            a weight by which each masked view counts the same, however many
            of its tokens are masked.
        """
        arrays = self.batch[group]
        slots = ops.reshape(arrays["masked_indices"], (-1,))
        valid = ops.cast(slots >= 0, "float32")
        indices = ops.maximum(slots, 0)
        masked = ops.cast(arrays["masked"], "float32")
        length = masked.shape[-1]
        if length is None:
            length = ops.shape(masked)[-1]
        counts = ops.reshape(ops.sum(masked, axis=-1), (-1,))
        per_view = ops.take(counts, indices // length)
        return indices, valid, valid / ops.maximum(per_view, 1.0)

    def masked_rows(
        self,
        objective: str,
        groups: Iterable[str],
        read: Callable[[str, Tensor], Iterable[Tensor]],
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """Gathers what an objective reads of the masked tokens of groups.

        Args:
            objective: string, the class of the objective, for the error.
            groups: names of view groups. Those without masks, and those that
                the student does not read now, are left out.
            read: callable `(group, indices) -> (rows, ...)`, of the flat
                indices `[M]` of a group's masked tokens.

        Returns:
            `(rows, valid, weight)`: a list of what `read` returned, `valid`
            and `weight` as for `masked_tokens`, each joined over the groups.

        Raises:
            ValueError: if no group has masks.
        """
        parts = []
        for group in groups:
            if group not in self.student:
                continue
            if "masked_indices" in self.batch[group]:
                indices, valid, weight = self.masked_tokens(group)
                parts.append((*read(group, indices), valid, weight))
        if not parts:
            raise ValueError(
                f"`{objective}` found no masked view: no group of "
                f"{list(groups)} has masks. Give one of them a "
                "`mask_probability` above 0, or remove the objective."
            )
        *rows, valid, weight = (ops.concatenate(part) for part in zip(*parts))
        return rows, valid, weight


class FeaturesByGroup(dict):
    """What one network made of a batch, by view group.

    Args:
        network: string, `"student"` or `"teacher"`.
        features: dict of view group to features.
    """

    def __init__(self, network: str, features: dict) -> None:
        super().__init__(features)
        self.network = network

    def __missing__(self, group: str) -> None:
        raise KeyError(
            f"The {self.network} has not read the view group {group!r}, only "
            f"{list(self)}. The `reads` of an objective states what it needs: "
            f"add ({self.network!r}, {group!r}) to it."
        )


def rows_at(tokens: Tensor, indices: Tensor) -> Tensor:
    """Takes the rows of `[..., D]` at flat indices `[M]`, as `[M, D]`.

    Args:
        tokens: tensor `[..., D]`.
        indices: int tensor `[M]` into the flattened leading dimensions.

    Returns:
        Tensor `[M, D]`.
    """
    return ops.take(
        ops.reshape(tokens, (-1, tokens.shape[-1])), indices, axis=0
    )
