"""What the objectives share that predict a teacher's assignments."""

from typing import Any

import keras

from keras_dinolm import arguments
from keras_dinolm.layers.targets import Sinkhorn
from keras_dinolm.objectives.objective import Objective
from keras_dinolm.schedules import Schedule
from keras_dinolm.schedules.values import checked_value
from keras_dinolm.typing import Tensor

HEADS = ("token", "sequence")


class PrototypeDistillation(Objective):
    """The student predicts the teacher's assignment to prototypes.

    `targets` turn the teacher's scores into assignments, and own the state
    that this takes.

    Args:
        student_temperature: float.
        teacher_temperature: float or schedule.
        targets: layer of `keras_dinolm.layers`; `None` takes `Sinkhorn`.
        head: `"token"` or `"sequence"`, the head that is read.
        **kwargs: as for `Objective`.
    """

    def __init__(
        self,
        student_temperature: float,
        teacher_temperature: float | Schedule,
        targets: keras.layers.Layer | None,
        head: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.student_temperature = arguments.number(
            "student_temperature", student_temperature, above=0
        )
        self.teacher_temperature = checked_value(
            "teacher_temperature", teacher_temperature, above=0
        )
        self.targets = Sinkhorn() if targets is None else targets
        if not isinstance(self.targets, keras.layers.Layer) or not all(
            hasattr(self.targets, method)
            for method in ("statistics", "after_step")
        ):
            arguments.refuse(
                "targets",
                targets,
                "a layer such as `keras_dinolm.layers.Sinkhorn()`, with "
                "`statistics` and `after_step`",
            )
        self.head = arguments.choice("head", head, HEADS)
        self.heads = (head,)

    def build_for(self, lesson: Any) -> None:
        self.num_prototypes = lesson.num_prototypes
        _build_targets(self.targets, lesson)
        super().build_for(lesson)

    def after_step(
        self, statistics: dict[str, Tensor], finite: Tensor, moved: Tensor
    ) -> None:
        self.targets.after_step(statistics, finite, moved)

    def get_config(self) -> dict:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "student_temperature": self.student_temperature,
            "teacher_temperature": serialize(self.teacher_temperature),
            "targets": serialize(self.targets),
        }


def _build_targets(targets, lesson):
    """Builds targets for the rows that they read."""
    num_codes = getattr(targets, "num_codes", lesson.num_prototypes)
    if num_codes != lesson.num_prototypes:
        raise ValueError(
            "The student names a code by its prototypes, so there must be as "
            f"many: pass `num_codes={lesson.num_prototypes}` to "
            f"`{type(targets).__name__}`, or `num_prototypes={num_codes}` to "
            f"`DinoLM`. Received: num_codes={num_codes}, "
            f"num_prototypes={lesson.num_prototypes}"
        )
    if not targets.built:  # loading builds them before
        projections = getattr(targets, "reads_projections", False)
        width = lesson.num_prototypes
        if projections:  # the teacher's, which may be another
            width = lesson.teacher.bottleneck_dim
        targets.build((None, width))
