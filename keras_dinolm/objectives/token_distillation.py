"""iBOT's loss: predict the teacher's assignment of a masked token."""

from typing import Any

import keras
from keras import ops

from keras_dinolm import losses
from keras_dinolm.losses.chunks import check_max_logits
from keras_dinolm.objectives.distillation_in_chunks import distill_in_chunks
from keras_dinolm.objectives.distillation_in_chunks import needs_chunks
from keras_dinolm.objectives.features import Features
from keras_dinolm.objectives.features import rows_at
from keras_dinolm.objectives.objective import Result
from keras_dinolm.objectives.prototype_distillation import PrototypeDistillation
from keras_dinolm.objectives.view_groups import groups_of
from keras_dinolm.objectives.view_groups import reads_of
from keras_dinolm.schedules import Schedule


@keras.saving.register_keras_serializable(package="keras_dinolm")
class TokenDistillation(PrototypeDistillation):
    """Cross-entropy between the assignments of masked tokens.

    The student reads a view with tokens masked, the teacher the same view
    whole; for each masked token the student predicts the teacher's
    assignment. Each masked view weighs the same, whatever its number of
    masked tokens.

    Metric: `teacher_entropy`, the mean entropy of an assignment in nats.

    Args:
        student_temperature: float.
        teacher_temperature: float or schedule.
        targets: `keras_dinolm.layers.Sinkhorn` (the default), `Centering` or
            `OnlineCodebook`.
        head: `"token"`, a head of its own, or `"sequence"` to share that of
            `SequenceDistillation` (iBOT's tied heads).
        max_logits: int. How many logits (rows times prototypes) a network may
            hold at a time. Where there are more, the loss is computed in
            chunks: the same value and gradients, in a fraction of the
            memory. Small numbers of logits are faster whole.
        **kwargs: as for `Objective`: `weight`, `start`, `stop`, `name`.

    Raises:
        ValueError: for a temperature that is not positive, another head,
            `max_logits` below 1, or if no masked view is read by both
            networks.

    Example:

    ```python
    import keras_dinolm as kd

    objective = kd.objectives.TokenDistillation(weight=0.5, start=1_000)
    ```

    Reference:
        [iBOT](https://arxiv.org/abs/2111.07832)
    """

    extra_metrics = ("teacher_entropy",)
    reads_tokens = "masked"

    def __init__(
        self,
        student_temperature: float = 0.1,
        teacher_temperature: float | Schedule = 0.05,
        targets: keras.layers.Layer | None = None,
        head: str = "token",
        max_logits: int = losses.MAX_LOGITS,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            student_temperature, teacher_temperature, targets, head, **kwargs
        )
        self.max_logits = check_max_logits(max_logits)

    def reads(self, roles: dict[str, tuple[str, ...]]) -> set[tuple[str, str]]:
        return reads_of(roles, groups_of(roles, "student", "teacher"))

    def build_for(self, lesson: Any) -> None:
        self.groups = groups_of(lesson.roles, "student", "teacher")
        if not self.groups:
            raise ValueError(
                "`TokenDistillation` needs a view group that both networks "
                "read, since it compares the same view masked and whole. "
                f"Received: roles={dict(lesson.roles)}"
            )
        super().build_for(lesson)

    def compute(self, features: Features) -> Result:
        networks = (features.student, features.teacher)
        (student, teacher), valid, weight = features.masked_rows(
            "TokenDistillation",
            self.groups,
            lambda group, indices: [
                rows_at(network[group]["tokens"], indices)
                for network in networks
            ],
        )
        if needs_chunks(self, teacher, student):
            loss, found, statistics = distill_in_chunks(
                self,
                features,
                teacher[None],
                student[None],
                weight=weight,
            )
            metrics = {"teacher_entropy": found["teacher_entropy"]}
            return Result(loss, metrics, statistics)

        teacher = features.teacher_rows(self.targets, self.head, teacher)
        student = features.student_logits(self.head, student)
        probs = self.targets(
            teacher,
            temperature=features.at(self.teacher_temperature),
            sample_weight=valid,
        )
        loss = losses.token_cross_entropy(
            probs,
            student,
            self.student_temperature,
            sample_weight=weight,
        )
        # Spare slots come out as zeros and add no entropy.
        share = ops.maximum(ops.mean(valid), 1e-6)
        metrics = {"teacher_entropy": losses.entropy(probs) / share}
        return Result(loss, metrics, self.targets.statistics(teacher, valid))

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "head": self.head,
            "max_logits": self.max_logits,
        }
