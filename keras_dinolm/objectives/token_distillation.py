"""iBOT's loss: predict the teacher's assignment of a masked token."""

import keras
from keras import ops

from keras_dinolm import losses
from keras_dinolm.layers.targets import Sinkhorn
from keras_dinolm.objectives.distillation_in_chunks import distill_in_chunks
from keras_dinolm.objectives.distillation_in_chunks import needs_chunks
from keras_dinolm.objectives.objective import Objective
from keras_dinolm.objectives.objective import Result
from keras_dinolm.objectives.objective import read_by_both
from keras_dinolm.objectives.objective import rows_at
from keras_dinolm.objectives.sequence_distillation import build_targets
from keras_dinolm.objectives.sequence_distillation import check_temperatures


@keras.saving.register_keras_serializable(package="keras_dinolm")
class TokenDistillation(Objective):
    """Cross-entropy between the assignments of masked tokens.

    The student reads a view with tokens masked, the teacher the same view
    whole; for each masked token the student predicts the teacher's
    assignment. Each masked view weighs the same, whatever its number of
    masked tokens.

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
        student_temperature=0.1,
        teacher_temperature=0.05,
        targets=None,
        head="token",
        max_logits=losses.MAX_LOGITS,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_temperatures(student_temperature, teacher_temperature)
        self.max_logits = losses.check_max_logits(max_logits)
        if head not in ("token", "sequence"):
            raise ValueError(
                "Argument `head` must be 'token' or 'sequence'. "
                f"Received: head={head!r}"
            )
        self.student_temperature = student_temperature
        self.teacher_temperature = teacher_temperature
        self.targets = Sinkhorn() if targets is None else targets
        self.head = head
        self.heads = (head,)

    def reads(self, roles):
        return {(role, g) for g in read_by_both(roles) for role in roles[g]}

    def build_for(self, lesson):
        self.groups = read_by_both(lesson.roles)
        if not self.groups:
            raise ValueError(
                "`TokenDistillation` needs a view group that both networks "
                "read, since it compares the same view masked and whole. "
                f"Received: roles={dict(lesson.roles)}"
            )
        self.num_prototypes = lesson.num_prototypes
        build_targets(self.targets, lesson)
        super().build_for(lesson)

    def compute(self, features):
        networks = (features.student, features.teacher)
        (student, teacher), valid, weight = features.masked_rows(
            "TokenDistillation",
            self.groups,
            lambda group, indices: [
                rows_at(network[group]["tokens"], indices)
                for network in networks
            ],
        )
        if needs_chunks(self, features, teacher, student):
            loss, found, statistics = distill_in_chunks(
                self,
                features,
                self.head,
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
        # Spare slots come out as zeros, and add no entropy.
        share = ops.maximum(ops.mean(valid), 1e-6)
        metrics = {"teacher_entropy": losses.entropy(probs) / share}
        return Result(loss, metrics, self.targets.statistics(teacher, valid))

    def after_step(self, statistics, finite, moved):
        self.targets.after_step(statistics, finite, moved)

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "student_temperature": self.student_temperature,
            "teacher_temperature": serialize(self.teacher_temperature),
            "targets": serialize(self.targets),
            "max_logits": self.max_logits,
            "head": self.head,
        }
