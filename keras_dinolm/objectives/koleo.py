"""KoLeo: spread the features over the sphere."""

import keras
from keras import ops

from keras_dinolm import losses
from keras_dinolm.objectives.objective import Objective
from keras_dinolm.objectives.objective import Result


@keras.saving.register_keras_serializable(package="keras_dinolm")
class KoLeo(Objective):
    """Pushes each student feature away from its nearest neighbour.

    Reads the student's features before the head, of every view that the
    teacher reads too, each view index apart; documents with the same text
    (same view tokens) are no neighbours of each other.

    Args:
        weight: float or schedule. Defaults to 0.1, as in DINOv2.
        **kwargs: as for `Objective`: `start`, `stop`, `name`.

    Example:

    ```python
    import keras_dinolm as kd

    objective = kd.objectives.KoLeo(weight=0.1)
    ```

    Reference:
        [Spreading vectors for similarity search](https://arxiv.org/abs/1806.03198)
    """

    def __init__(self, weight=0.1, **kwargs):
        kwargs.setdefault("name", "koleo")
        super().__init__(weight=weight, **kwargs)

    def reads(self, roles):
        return {("student", group) for group in _groups(roles)}

    def build_for(self, model):
        self.groups = _groups(model.roles)
        super().build_for(model)

    def compute(self, features):
        values = []
        for group in self.groups:
            sequence = features.student[group]["sequence"]
            texts = features.views[group]["token_ids"]
            for view in range(sequence.shape[1]):
                values.append(
                    losses.koleo(
                        sequence[:, view], groups=_same_text(texts[:, view])
                    )
                )
        return Result(sum(values) / len(values))


def _groups(roles):
    read_by_both = [g for g in roles if "student" in roles[g]]
    with_teacher = [g for g in read_by_both if "teacher" in roles[g]]
    return tuple(with_teacher or read_by_both)


def _same_text(token_ids):
    """For each row the index of the first row with the same tokens."""
    equal = ops.all(token_ids[:, None, :] == token_ids[None, :, :], axis=-1)
    return ops.argmax(ops.cast(equal, "int32"), axis=-1)
