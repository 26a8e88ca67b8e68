"""SEED's loss: the student orders a batch of texts as the teacher does."""

from typing import Any

import keras
from keras import ops

from keras_dinolm import arguments
from keras_dinolm import losses
from keras_dinolm.objectives.features import Features
from keras_dinolm.objectives.objective import Objective
from keras_dinolm.objectives.objective import Result
from keras_dinolm.objectives.view_groups import groups_of
from keras_dinolm.objectives.view_groups import reads_of
from keras_dinolm.objectives.view_groups import views_of
from keras_dinolm.schedules import Schedule
from keras_dinolm.schedules.values import checked_value


@keras.saving.register_keras_serializable(package="keras_dinolm")
class SimilarityDistillation(Objective):
    """Compares how similar student and teacher find the texts of a batch.

    To each network, a text is closer to some of the other texts than to the
    rest; the student's distribution over them should be the teacher's. The
    loss is the mean over all pairs of a teacher view and a student view, also
    those of the same view: what the teacher sees in a long view, the student
    should see in a short one.

    It acts on the features that are exported, without heads between them, so
    it works with any two widths and with a teacher whose prototypes were
    never trained. It is meant for a fixed `teacher`: with one that follows
    the student, features that are the same for all texts would be a solution.

    Metric: `excess`, the loss minus its least value, the entropy of the
    teacher's distributions; 0 if the two agree.

    Args:
        student_temperature: float.
        teacher_temperature: float or schedule. The lower, the more only the
            nearest texts count.
        **kwargs: as for `Objective`: `weight`, `start`, `stop`, `name`.

    Raises:
        ValueError: for a temperature that is not positive.

    Example:

    ```python
    import keras_dinolm as kd

    objective = kd.objectives.SimilarityDistillation(
        teacher_temperature=0.05
    )
    ```

    References:
        - [SEED](https://arxiv.org/abs/2101.04731), with a queue for the batch
        - [CompRess](https://arxiv.org/abs/2010.14713)
    """

    extra_metrics = ("excess",)
    reads_tokens = "none"

    def __init__(
        self,
        student_temperature: float = 0.05,
        teacher_temperature: float | Schedule = 0.05,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.student_temperature = arguments.number(
            "student_temperature", student_temperature, above=0
        )
        self.teacher_temperature = checked_value(
            "teacher_temperature", teacher_temperature, above=0
        )

    def reads(self, roles: dict[str, tuple[str, ...]]) -> set[tuple[str, str]]:
        return reads_of(roles)

    def build_for(self, lesson: Any) -> None:
        self.roles = lesson.roles
        super().build_for(lesson)

    def compute(self, features: Features) -> Result:
        students, teachers = (
            [x for _, x in views_of(of_network, groups_of(self.roles, role))]
            for role, of_network in (
                ("student", features.student),
                ("teacher", features.teacher),
            )
        )
        temperature = features.at(self.teacher_temperature)
        loss = sum(
            losses.similarity_cross_entropy(
                teacher, student, temperature, self.student_temperature
            )
            for teacher in teachers
            for student in students
        ) / (len(teachers) * len(students))
        least = sum(
            losses.similarity_cross_entropy(
                teacher, teacher, temperature, temperature
            )
            for teacher in teachers
        ) / len(teachers)
        return Result(loss, {"excess": ops.stop_gradient(loss) - least})

    def get_config(self) -> dict:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "student_temperature": self.student_temperature,
            "teacher_temperature": serialize(self.teacher_temperature),
        }
