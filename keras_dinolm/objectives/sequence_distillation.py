"""DINO's loss: predict the teacher's assignment of another view."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dinolm import losses
from keras_dinolm.losses.chunks import check_max_logits
from keras_dinolm.objectives.distillation_in_chunks import distill_in_chunks
from keras_dinolm.objectives.distillation_in_chunks import needs_chunks
from keras_dinolm.objectives.features import Features
from keras_dinolm.objectives.objective import Result
from keras_dinolm.objectives.prototype_distillation import PrototypeDistillation
from keras_dinolm.objectives.view_groups import reads_of
from keras_dinolm.schedules import Schedule


@keras.saving.register_keras_serializable(package="keras_dinolm")
class SequenceDistillation(PrototypeDistillation):
    """Cross-entropy between the assignments of different views of a text.

    The teacher scores its views against the prototypes, `targets` turn the
    scores into assignments, and the student predicts them from every other
    view. The loss is the mean over all pairs of a teacher view and a student
    view that are not the same view; with a teacher without heads
    (`FixedTeacher`, `CachedTeacher`), over all pairs.

    Metrics: `teacher_entropy` and `student_entropy`, mean entropy of an
    assignment in nats (ln K is undecided, 0 is one prototype), and
    `prototype_perplexity`, how many prototypes the student uses over a batch
    (1 to K).

    Args:
        student_temperature: float.
        teacher_temperature: float or schedule; lower is sharper. DINO warms
            it up linearly from 0.04 to 0.07.
        targets: `keras_dinolm.layers.Sinkhorn` (the default), `Centering` or
            `OnlineCodebook`.
        max_logits: int. How many logits (rows times prototypes) a network may
            hold at a time. Where there are more, the loss is computed in
            chunks: the same value and gradients, in a fraction of the
            memory. Small numbers of logits are faster whole.
        **kwargs: as for `Objective`: `weight`, `start`, `stop`, `name`.

    Raises:
        ValueError: for a temperature that is not positive, or `max_logits`
            below 1.

    Example:

    ```python
    import keras_dinolm as kd

    objective = kd.objectives.SequenceDistillation(
        teacher_temperature=kd.schedules.Linear(0.04, 0.07, steps=1_000),
        targets=kd.layers.Centering(),
    )
    ```

    Student and teacher with views of their own (every pair of them counts),
    and one head for sequences and tokens:

    ```python
    special = kd.views.SpecialTokens(0, 1, 2)
    views = kd.views.TextViews(
        special,
        groups=[
            kd.views.ViewGroup("whole", 1, roles="teacher"),
            kd.views.ViewGroup("part", 4, span=(0.2, 0.5), roles="student"),
        ],
    )
    model = kd.models.DinoLM(
        kd.models.DinoLMBackbone.from_size("nano", 100),
        [
            kd.objectives.SequenceDistillation(),
            kd.objectives.CrossViewTokenDistillation(head="sequence"),
        ],
        num_prototypes=64,
        roles=views.roles,
    )
    ```

    Reference:
        [DINO](https://arxiv.org/abs/2104.14294)
    """

    reads_tokens = "none"
    extra_metrics = (
        "teacher_entropy",
        "student_entropy",
        "prototype_perplexity",
    )

    def __init__(
        self,
        student_temperature: float = 0.1,
        teacher_temperature: float | Schedule = 0.05,
        targets: keras.layers.Layer | None = None,
        max_logits: int = losses.MAX_LOGITS,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            student_temperature,
            teacher_temperature,
            targets,
            head="sequence",
            **kwargs,
        )
        self.max_logits = check_max_logits(max_logits)

    def reads(self, roles: dict[str, tuple[str, ...]]) -> set[tuple[str, str]]:
        return reads_of(roles)

    def build_for(self, lesson: Any) -> None:
        self.roles = lesson.roles
        self._all_pairs = getattr(lesson.teacher, "teaches_own_view", False)
        super().build_for(lesson)

    def compute(self, features: Features) -> Result:
        teacher, teacher_ids = self._views(features.teacher, "teacher")
        student, student_ids = self._views(features.student, "student")
        pairs = teacher_ids[:, None] != student_ids[None, :]
        if self._all_pairs:
            pairs = np.ones_like(pairs)
        pairs = pairs.astype("float32")
        if needs_chunks(self, teacher, student):
            loss, found, statistics = distill_in_chunks(
                self, features, teacher, student, pairs=pairs
            )
            usage = losses.entropy(found["student_usage"][None])
            metrics = {
                "teacher_entropy": found["teacher_entropy"],
                "student_entropy": found["student_entropy"],
                "prototype_perplexity": ops.exp(usage),
            }
            return Result(loss, metrics, statistics)

        teacher = features.teacher_rows(self.targets, self.head, teacher)
        student = features.student_logits(self.head, student)
        num_prototypes = student.shape[-1]
        rows = ops.reshape(teacher, (-1, teacher.shape[-1]))
        temperature = features.at(self.teacher_temperature)
        probs = self.targets(rows, temperature=temperature)
        loss = losses.view_cross_entropy(
            ops.reshape(probs, (*ops.shape(teacher)[:2], num_prototypes)),
            student,
            self.student_temperature,
            pairs=pairs,
        )
        scores = ops.reshape(
            ops.cast(ops.stop_gradient(student), "float32"),
            (-1, num_prototypes),
        )
        predicted = ops.softmax(scores / self.student_temperature)
        usage = ops.mean(predicted, axis=0, keepdims=True)
        metrics = {
            "teacher_entropy": losses.entropy(probs),
            "student_entropy": losses.entropy(predicted),
            "prototype_perplexity": ops.exp(losses.entropy(usage)),
        }
        return Result(loss, metrics, self.targets.statistics(rows))

    def _views(self, features, role):
        """All views of a role as `[views, B, D]`, and a number for each."""
        parts, ids, first = [], [], 0
        for group, group_roles in self.roles.items():
            if role in group_roles and group in features:
                sequence = features[group]["sequence"]
                count = sequence.shape[1]
                parts.append(ops.transpose(sequence, (1, 0, 2)))
                ids.append(first + np.arange(count))
            # Any step above a group's count makes numbers unique.
            first += 1_000
        return ops.concatenate(parts, axis=0), np.concatenate(ids)

    def get_config(self) -> dict:
        return {**super().get_config(), "max_logits": self.max_logits}
