"""Tokens agree across views: each predicts itself in another context."""

from typing import Any

import keras
from keras import ops

from keras_dinolm import arguments
from keras_dinolm import losses
from keras_dinolm.objectives.features import Features
from keras_dinolm.objectives.features import rows_at
from keras_dinolm.objectives.objective import Result
from keras_dinolm.objectives.prototype_distillation import PrototypeDistillation
from keras_dinolm.objectives.token_alignment import align
from keras_dinolm.objectives.token_alignment import flat_slots
from keras_dinolm.objectives.view_groups import reads_of
from keras_dinolm.schedules import Schedule


@keras.saving.register_keras_serializable(package="keras_dinolm")
class CrossViewTokenDistillation(PrototypeDistillation):
    """Cross-entropy between the assignments of one token in two views.

    Where two views of a text overlap, they show the same tokens in different
    contexts. From each of the teacher's views, up to `num_tokens` tokens are
    taken, evenly spaced; in every other view that the student reads, the token
    at the same place of the document (`positions`) predicts the teacher's
    assignment. `[CLS]` and padding have no place and never align. A pair
    whose token the student's view does not hold is skipped; all others weigh
    the same.

    Metrics: `aligned_pairs` and `skipped_pairs`, how many pairs of
    a batch had a partner and how many had none.

    Args:
        student_temperature: float.
        teacher_temperature: float or schedule.
        targets: `keras_dinolm.layers.Sinkhorn` (the default), `Centering` or
            `OnlineCodebook`.
        head: `"token"` or `"sequence"`, the head to share with
            `TokenDistillation` or `SequenceDistillation`.
        num_tokens: int. Tokens of a teacher's view; cost grows with it.
        **kwargs: as for `Objective`: `weight`, `start`, `stop`, `name`.

    Raises:
        ValueError: for a temperature that is not positive, another head, or
            `num_tokens` below 1; and, in training, if there are no two
            different views to compare.

    Example:

    ```python
    import keras_dinolm as kd

    objective = kd.objectives.CrossViewTokenDistillation(num_tokens=8)
    ```

    References:
        - [DenseCL](https://arxiv.org/abs/2011.09157) (pairs of places)
        - [PixPro](https://arxiv.org/abs/2011.10043) (aligned by place)
        - [iBOT](https://arxiv.org/abs/2111.07832) (the loss)
    """

    extra_metrics = ("aligned_pairs", "skipped_pairs")

    def __init__(
        self,
        student_temperature: float = 0.1,
        teacher_temperature: float | Schedule = 0.05,
        targets: keras.layers.Layer | None = None,
        head: str = "token",
        num_tokens: int = 16,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            student_temperature, teacher_temperature, targets, head, **kwargs
        )
        self.num_tokens = arguments.count("num_tokens", num_tokens)

    def reads(self, roles: dict[str, tuple[str, ...]]) -> set[tuple[str, str]]:
        return reads_of(roles)

    def build_for(self, lesson: Any) -> None:
        self.roles = lesson.roles
        super().build_for(lesson)

    def compute(self, features: Features) -> Result:
        # === The teacher's tokens, each with its place in the document ===
        teacher_views, rows, places = [], [], []
        for group, view in self._views(features, "teacher"):
            slots, place = self._sample(features, group, view)
            tokens = features.teacher[group]["tokens"]
            teacher_views.append((group, view))
            places.append(place)
            rows.append(rows_at(tokens, flat_slots(slots, tokens, view)))
        rows = features.teacher_rows(
            self.targets, self.head, ops.concatenate(rows)
        )
        valid = [
            ops.cast(ops.reshape(place >= 0, (-1,)), "float32")
            for place in places
        ]
        weight = ops.concatenate(valid)
        probs = self.targets(
            rows,
            temperature=features.at(self.teacher_temperature),
            sample_weight=weight,
        )
        by_view = ops.split(probs, len(teacher_views), axis=0)

        # === The same tokens in the student's other views ===
        students, targets, found, wanted = [], [], [], []
        for group, view in self._views(features, "student"):
            tokens = features.student[group]["tokens"]
            positions = features.batch[group]["positions"][:, view]
            for other, place, target, real in zip(
                teacher_views, places, by_view, valid
            ):
                if other == (group, view):
                    continue
                slots, there = align(place, positions)
                slots = flat_slots(slots, tokens, view)
                students.append(rows_at(tokens, slots))
                targets.append(target)
                wanted.append(real)
                found.append(ops.reshape(there, (-1,)))
        if not students:
            raise ValueError(
                "`CrossViewTokenDistillation` needs two different views, one "
                "of the teacher's and another of the student's. Raise the "
                "`count` of a group, or add a group. Received: "
                f"roles={dict(self.roles)}, a single view of each"
            )
        found = ops.cast(ops.concatenate(found), "float32")
        loss = losses.token_cross_entropy(
            ops.concatenate(targets),
            features.student_logits(self.head, ops.concatenate(students)),
            self.student_temperature,
            sample_weight=found,
        )
        aligned = ops.sum(found)
        metrics = {
            "aligned_pairs": aligned,
            "skipped_pairs": ops.sum(ops.concatenate(wanted)) - aligned,
        }
        return Result(loss, metrics, self.targets.statistics(rows, weight))

    def _views(self, features, role):
        """`(group, index)` of each view that a network reads now."""
        known = getattr(features, role)
        return [
            (group, view)
            for group, roles in self.roles.items()
            if role in roles and group in known
            for view in range(features.batch[group]["token_ids"].shape[1])
        ]

    def _sample(self, features, group, view):
        """Slots of evenly spaced tokens of a view, and their places.

        Both `[B, num_tokens]`; the place is -1 where a view has no more.
        """
        positions = features.batch[group]["positions"][:, view]
        length = ops.shape(positions)[1]
        real = positions >= 0
        count = ops.sum(ops.cast(real, "int32"), axis=1)[:, None]
        # Real tokens first; the keys differ, so that no sort has to be stable.
        slot = ops.arange(length, dtype="int32")
        order = ops.argsort(ops.where(real, slot, slot + length), axis=1)
        index = ops.arange(self.num_tokens, dtype="int32")[None, :]
        spaced = index * count // self.num_tokens
        rank = ops.where(count >= self.num_tokens, spaced, index)
        slots = ops.take_along_axis(
            order, ops.minimum(rank, length - 1), axis=1
        )
        place = ops.take_along_axis(positions, slots, axis=1)
        return slots, ops.where(rank < count, place, -1)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "head": self.head,
            "num_tokens": self.num_tokens,
        }
