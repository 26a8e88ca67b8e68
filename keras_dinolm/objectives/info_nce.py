"""InfoNCE: tell the other view of a text from those of other texts."""

import keras

from keras_dinolm import losses
from keras_dinolm.objectives.objective import Objective
from keras_dinolm.objectives.objective import Result


@keras.saving.register_keras_serializable(package="keras_dinolm")
class InfoNCE(Objective):
    """Contrasts the student's views of a text with those of the batch.

    The views of one group are taken in pairs (0 and 1, 2 and 3, ...); the
    loss is the mean over the pairs. On short local views this is the cheapest
    way to get a text encoder off the ground, since neither the teacher nor
    the long views are needed.

    Args:
        temperature: float.
        group: string. The view group, of at least two views.
        num_pairs: int or `None`. How many pairs of views to use; `None` is
            all.
        **kwargs: as for `Objective`: `weight`, `start`, `stop`, `name`.

    Example:

    ```python
    import keras_dinolm as kd

    objective = kd.objectives.InfoNCE(temperature=0.05, group="local")
    ```

    References:
        - [CPC](https://arxiv.org/abs/1807.03748)
        - [SimCSE](https://arxiv.org/abs/2104.08821)
    """

    def __init__(
        self, temperature=0.05, group="local", num_pairs=None, **kwargs
    ):
        super().__init__(**kwargs)
        if not temperature > 0:
            raise ValueError(
                "Argument `temperature` must be positive. "
                f"Received: temperature={temperature}"
            )
        self.temperature = temperature
        self.group = group
        self.num_pairs = num_pairs

    def reads(self, roles):
        return {("student", self.group)}

    def build_for(self, model):
        if "student" not in model.roles.get(self.group, ()):
            raise ValueError(
                "Argument `group` of `InfoNCE` must be a view group that the "
                f"student reads. Received: group={self.group!r}, "
                f"roles={dict(model.roles)}"
            )
        super().build_for(model)

    def compute(self, features):
        sequence = features.student[self.group]["sequence"]
        available = sequence.shape[1] // 2
        pairs = available if self.num_pairs is None else self.num_pairs
        if not 1 <= pairs <= available:
            raise ValueError(
                "`InfoNCE` needs two views a pair: "
                f"group {self.group!r} has {sequence.shape[1]} views. Raise "
                f"its `count` or lower `num_pairs`. Received: num_pairs={pairs}"
            )
        total = sum(
            losses.info_nce(
                sequence[:, 2 * i], sequence[:, 2 * i + 1], self.temperature
            )
            for i in range(pairs)
        )
        return Result(total / pairs)

    def get_config(self):
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "group": self.group,
            "num_pairs": self.num_pairs,
        }
