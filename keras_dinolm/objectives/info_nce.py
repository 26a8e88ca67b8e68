"""InfoNCE: tell the other view of a text from those of other texts."""

from typing import Any

import keras

from keras_dinolm import arguments
from keras_dinolm import losses
from keras_dinolm.objectives.features import Features
from keras_dinolm.objectives.objective import Result
from keras_dinolm.objectives.paired_views import PairedViews


@keras.saving.register_keras_serializable(package="keras_dinolm")
class InfoNCE(PairedViews):
    """Contrasts the student's views of a text with those of the batch.

    The views of one group are taken in pairs (0 and 1, 2 and 3, ...); the
    loss is the mean over the pairs. On short local views this is the cheapest
    way to start a text encoder, since neither the teacher nor the long views
    are needed.

    Args:
        temperature: float.
        group: string. The view group, of at least two views.
        num_pairs: int or `None`. How many pairs of views to use; `None` is
            all.
        **kwargs: as for `Objective`: `weight`, `start`, `stop`, `name`.

    Raises:
        ValueError: for a temperature that is not positive, `num_pairs` below
            1, a group that the student does not read, or one with too few
            views.

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
        self,
        temperature: float = 0.05,
        group: str = "local",
        num_pairs: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(group, num_pairs, **kwargs)
        self.temperature = arguments.number("temperature", temperature, above=0)

    def compute(self, features: Features) -> Result:
        pairs = self.pairs(features)
        total = sum(losses.info_nce(x, y, self.temperature) for x, y in pairs)
        return Result(total / len(pairs))

    def get_config(self) -> dict:
        return {**super().get_config(), "temperature": self.temperature}
