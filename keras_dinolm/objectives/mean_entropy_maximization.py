"""MSN's entropy bonus: the student uses all of its prototypes."""

import math
from typing import Any

import keras
from keras import ops

from keras_dinolm import arguments
from keras_dinolm import losses
from keras_dinolm.objectives.features import Features
from keras_dinolm.objectives.objective import Objective
from keras_dinolm.objectives.objective import Result
from keras_dinolm.objectives.view_groups import groups_of


@keras.saving.register_keras_serializable(package="keras_dinolm")
class MeanEntropyMaximization(Objective):
    """Spreads the mean assignment of a batch over all prototypes.

    The student's views are assigned to the prototypes, and the entropy of the
    *mean* assignment should be as large as possible: each view may be
    certain, but not all of the same prototype. This keeps prototypes in use
    by a gradient on the student, whereas `Sinkhorn` and `Centering` change
    the targets.

    The loss is `ln K` minus that entropy, which is the Kullback-Leibler
    divergence of the mean assignment from the uniform one: 0 when all
    prototypes are used alike, `ln K` when there is but one.

    Args:
        student_temperature: float. Use that of the `SequenceDistillation`
            whose head it shares.
        **kwargs: as for `Objective`: `weight`, `start`, `stop`, `name`.

    Raises:
        ValueError: for a temperature that is not positive.

    Example:

    ```python
    import keras_dinolm as kd

    objectives = [
        kd.objectives.SequenceDistillation(targets=kd.layers.Centering()),
        kd.objectives.MeanEntropyMaximization(weight=0.5),
    ]
    ```

    Reference:
        [MSN](https://arxiv.org/abs/2204.07141)
    """

    heads = ("sequence",)
    reads_tokens = "none"

    def __init__(self, student_temperature: float = 0.1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.student_temperature = arguments.number(
            "student_temperature", student_temperature, above=0
        )

    def reads(self, roles: dict[str, tuple[str, ...]]) -> set[tuple[str, str]]:
        return {("student", group) for group in groups_of(roles, "student")}

    def build_for(self, lesson: Any) -> None:
        self.groups = groups_of(lesson.roles, "student")
        super().build_for(lesson)

    def compute(self, features: Features) -> Result:
        rows = []
        for group in self.groups:
            if group in features.student:
                sequence = features.student[group]["sequence"]
                rows.append(ops.reshape(sequence, (-1, sequence.shape[-1])))
        logits = features.student_logits("sequence", ops.concatenate(rows))
        entropy = losses.mean_entropy(logits, self.student_temperature)
        return Result(math.log(logits.shape[-1]) - entropy)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "student_temperature": self.student_temperature,
        }
