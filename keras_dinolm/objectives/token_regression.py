"""Regression of a teacher's features of tokens."""

from typing import Any

import keras
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.objectives.features import Features
from keras_dinolm.objectives.features import rows_at
from keras_dinolm.objectives.objective import Result
from keras_dinolm.objectives.regression import Regression
from keras_dinolm.objectives.regression import has_target
from keras_dinolm.objectives.view_groups import groups_of
from keras_dinolm.objectives.view_groups import reads_of

TOKENS = ("all", "masked")


@keras.saving.register_keras_serializable(package="keras_dinolm")
class TokenRegression(Regression):
    """Distance between the student's features of tokens and the teacher's.

    Both read the same view. Each token of text in the student's last layer
    goes through a head that belongs to this objective, and should meet the
    teacher's last feature of it. `[CLS]`, padding, and tokens of which the
    teacher says nothing (rows of zeros) are left out. Each view weighs the
    same, whatever its number of tokens.

    Metrics: `cosine`, the mean cosine of prediction and target, and `taught`,
    the share of tokens with a target.

    Args:
        loss: `"cosine"`, one minus the cosine, or `"squared"`, the mean
            squared difference. With the latter, standardise the teacher's
            tokens (`statistics` of `FixedTeacher` and `CachedTeacher`), or
            few features with large variances decide.
        hidden_dim: int or `None`. Width of the hidden layer of the head;
            `None` makes the head linear.
        tokens: `"all"` tokens of text, or the `"masked"` ones. With a fixed
            teacher the student reads whole views, unless the model has
            `mask_student=True`.
        **kwargs: as for `Objective`: `weight`, `start`, `stop`, `name`.

    Raises:
        ValueError: for another loss or choice of tokens, a width below 1, or
            if no view group is read by both networks.

    Example:

    ```python
    import keras_dinolm as kd

    backbone = kd.models.DinoLMBackbone.from_size("nano", 100)
    published = kd.models.DinoLMBackbone.from_size("tiny", 100)
    model = kd.models.DinoLM(
        backbone,
        [kd.objectives.TokenRegression("squared", hidden_dim=256)],
        teacher=kd.models.FixedTeacher(published),
    )
    ```

    Reference:
        [TinyBERT](https://arxiv.org/abs/1909.10351)
    """

    def __init__(
        self,
        loss: str = "cosine",
        hidden_dim: int | None = None,
        tokens: str = "all",
        **kwargs: Any,
    ) -> None:
        super().__init__(loss, hidden_dim, **kwargs)
        self.tokens = arguments.choice("tokens", tokens, TOKENS)
        self.reads_tokens = self.tokens

    def reads(self, roles: dict[str, tuple[str, ...]]) -> set[tuple[str, str]]:
        return reads_of(roles, groups_of(roles, "student", "teacher"))

    def build_for(self, lesson: Any) -> None:
        self.groups = groups_of(lesson.roles, "student", "teacher")
        if not self.groups:
            raise ValueError(
                "`TokenRegression` needs a view group that both networks "
                "read, since it compares the tokens of the same view. "
                f"Received: roles={dict(lesson.roles)}"
            )
        self.build_head(
            lesson.student.encoder.hidden_dim, lesson.teacher.encoder.hidden_dim
        )
        super().build_for(lesson)

    def compute(self, features: Features) -> Result:
        networks = (features.student, features.teacher)
        if self.tokens == "masked":
            (students, targets), wanted, weight = features.masked_rows(
                "TokenRegression",
                self.groups,
                lambda group, indices: [
                    rows_at(network[group]["tokens"], indices)
                    for network in networks
                ],
            )
            weight = weight * has_target(targets)
            return self.result(self.head(students), targets, wanted, weight)

        parts = []
        for group in self.groups:
            if group not in features.student:
                continue
            student, teacher = (n[group]["tokens"] for n in networks)
            wanted = features.batch[group]["positions"] >= 0
            wanted = ops.cast(wanted, "float32")
            known = wanted * has_target(teacher)
            count = ops.sum(known, axis=-1, keepdims=True)
            weight = known / ops.maximum(count, 1.0)
            parts.append(
                (
                    ops.reshape(student, (-1, student.shape[-1])),
                    ops.reshape(teacher, (-1, teacher.shape[-1])),
                    ops.reshape(wanted, (-1,)),
                    ops.reshape(weight, (-1,)),
                )
            )
        students, targets, wanted, weight = (
            ops.concatenate(part) for part in zip(*parts)
        )
        return self.result(self.head(students), targets, wanted, weight)

    def get_config(self) -> dict:
        return {**super().get_config(), "tokens": self.tokens}
