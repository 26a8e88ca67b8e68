"""Regression of a teacher's feature of a text."""

from typing import Any

import keras
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.objectives.features import Features
from keras_dinolm.objectives.objective import Result
from keras_dinolm.objectives.regression import Regression
from keras_dinolm.objectives.regression import has_target
from keras_dinolm.objectives.view_groups import NETWORKS
from keras_dinolm.objectives.view_groups import groups_of
from keras_dinolm.objectives.view_groups import views_of


@keras.saving.register_keras_serializable(package="keras_dinolm")
class SequenceRegression(Regression):
    """Distance between the student's feature of a text and the teacher's.

    The student's feature goes through a head that belongs to this objective,
    and should meet the teacher's. The loss is the mean over all pairs of a
    student view and a teacher view, also those of the same view: what the
    teacher sees in a long view, the student should see in a short one. The
    simplest way to learn from a published encoder.

    A text of which the teacher says nothing (a row of zeros, as a
    `CachedTeacher` has where features were not computed) is left out.

    Features of most published encoders have a large direction in common.
    With the `statistics` of `FixedTeacher` and `CachedTeacher` it is
    subtracted first.

    Metrics: `cosine`, the mean cosine of prediction and target, and `taught`,
    the share of texts with a target.

    Args:
        loss: `"cosine"`, one minus the cosine, or `"squared"`, the mean
            squared difference.
        hidden_dim: int or `None`. Width of the hidden layer of the head;
            `None` makes the head linear.
        group: string or `None`. The view group whose student features learn;
            `None` takes all that the student reads.
        **kwargs: as for `Objective`: `weight`, `start`, `stop`, `name`.

    Raises:
        ValueError: for another loss, a width below 1, or a group that the
            student does not read.

    Example:

    ```python
    import keras_dinolm as kd

    backbone = kd.models.DinoLMBackbone.from_size("nano", 100)
    published = kd.models.DinoLMBackbone.from_size("tiny", 100)
    model = kd.models.DinoLM(
        backbone,
        [kd.objectives.SequenceRegression()],
        teacher=kd.models.FixedTeacher(published),
    )
    ```

    Reference:
        [Making monolingual embeddings multilingual](https://arxiv.org/abs/2004.09813)
    """

    reads_tokens = "none"

    def __init__(
        self,
        loss: str = "cosine",
        hidden_dim: int | None = None,
        group: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(loss, hidden_dim, **kwargs)
        if group is not None:
            group = arguments.string("group", group, meaning="a view group")
        self.group = group

    def reads(self, roles: dict[str, tuple[str, ...]]) -> set[tuple[str, str]]:
        return {
            (role, group)
            for role in NETWORKS
            for group in self._groups(roles, role)
        }

    def _groups(self, roles, role):
        if role == "student" and self.group is not None:
            return (self.group,)
        return groups_of(roles, role)

    def build_for(self, lesson: Any) -> None:
        if self.group is not None and "student" not in lesson.roles.get(
            self.group, ()
        ):
            raise ValueError(
                "Argument `group` of `SequenceRegression` must be a view "
                "group that the student reads. Received: "
                f"group={self.group!r}, roles={dict(lesson.roles)}"
            )
        self.roles = lesson.roles
        self.build_head(
            lesson.student.encoder.pooled_dim, lesson.teacher.encoder.pooled_dim
        )
        super().build_for(lesson)

    def compute(self, features: Features) -> Result:
        students, teachers = (
            [x for _, x in views_of(of_network, self._groups(self.roles, role))]
            for role, of_network in (
                ("student", features.student),
                ("teacher", features.teacher),
            )
        )
        predictions = ops.split(
            self.head(ops.concatenate(students)), len(students)
        )
        pairs = [(p, t) for p in predictions for t in teachers]
        predicted, targets = (ops.concatenate(side) for side in zip(*pairs))
        weight = has_target(targets)
        return self.result(predicted, targets, ops.ones_like(weight), weight)

    def get_config(self) -> dict:
        return {**super().get_config(), "group": self.group}
