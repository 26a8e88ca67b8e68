"""MSN's entropy bonus: the student uses all of its prototypes."""

import math

import keras
from keras import ops

from keras_dinolm import losses
from keras_dinolm.objectives.objective import Objective
from keras_dinolm.objectives.objective import Result


@keras.saving.register_keras_serializable(package="keras_dinolm")
class MeanEntropyMaximization(Objective):
    """Spreads the mean assignment of a batch over all prototypes.

    The student's views are assigned to the prototypes, and the entropy of the
    *mean* assignment is to be as large as it can be: each view may be
    certain, but not all of the same prototype. It keeps prototypes in use by
    a gradient on the student, where `Sinkhorn` and `Centering` do so by
    changing the targets.

    The loss is `ln K` minus that entropy, which is the Kullback-Leibler
    divergence of the mean assignment from the uniform one: 0 when all
    prototypes are used alike, `ln K` when there is but one.

    Args:
        student_temperature: float. That of the `SequenceDistillation` beside
            it, whose head it reads.
        **kwargs: as for `Objective`: `weight`, `start`, `stop`, `name`.

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

    def __init__(self, student_temperature=0.1, **kwargs):
        super().__init__(**kwargs)
        if not student_temperature > 0:
            raise ValueError(
                "Argument `student_temperature` must be positive. "
                f"Received: student_temperature={student_temperature}"
            )
        self.student_temperature = student_temperature

    def reads(self, roles):
        return {("student", g) for g in roles if "student" in roles[g]}

    def build_for(self, lesson):
        self.groups = [g for g, r in lesson.roles.items() if "student" in r]
        super().build_for(lesson)

    def compute(self, features):
        rows = []
        for group in self.groups:
            if group in features.student:
                sequence = features.student[group]["sequence"]
                rows.append(ops.reshape(sequence, (-1, sequence.shape[-1])))
        logits = features.student_logits("sequence", ops.concatenate(rows))
        entropy = losses.mean_entropy(logits, self.student_temperature)
        return Result(math.log(logits.shape[-1]) - entropy)

    def get_config(self):
        return {
            **super().get_config(),
            "student_temperature": self.student_temperature,
        }
