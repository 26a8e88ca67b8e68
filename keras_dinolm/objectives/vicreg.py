"""VICReg: views agree, and every feature stays alive and distinct."""

from typing import Any

import keras

from keras_dinolm import arguments
from keras_dinolm import losses
from keras_dinolm.layers.expander import Expander
from keras_dinolm.objectives.features import Features
from keras_dinolm.objectives.objective import Result
from keras_dinolm.objectives.paired_views import PairedViews


@keras.saving.register_keras_serializable(package="keras_dinolm")
class VICReg(PairedViews):
    """Variance, invariance and covariance of the student's expanded views.

    It needs no negatives, prototypes or teacher: two terms on the statistics
    of a batch keep features from collapsing. The views of one group are taken
    in pairs (0 and 1, 2 and 3, ...) and go through an expander that belongs
    to this objective; the loss is the mean over the pairs. Its size is in the
    tens: with other objectives, a `weight` of 0.04 brings the invariance to a
    factor of 1.

    Args:
        invariance_weight: float. Weight of the squared difference of the
            views.
        variance_weight: float. Weight of the hinge on the standard
            deviations.
        covariance_weight: float. Weight of the squared covariances.
        expander_dim: int or `None`. Width of the expander; `None` takes 4
            times the encoder's width, at most 2048. (The paper: 4 times.)
        group: string. The view group, of at least two views.
        num_pairs: int or `None`. How many pairs of views to use; `None` is
            all.
        **kwargs: as for `Objective`: `weight`, `start`, `stop`, `name`.

    Raises:
        ValueError: for a negative weight, `expander_dim` or `num_pairs` below
            1, a group that the student does not read, or one with too few
            views.

    Example:

    ```python
    import keras_dinolm as kd

    objective = kd.objectives.VICReg(weight=0.04, group="global")
    ```

    Reference:
        [VICReg](https://arxiv.org/abs/2105.04906)
    """

    def __init__(
        self,
        invariance_weight: float = 25.0,
        variance_weight: float = 25.0,
        covariance_weight: float = 1.0,
        expander_dim: int | None = None,
        group: str = "local",
        num_pairs: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(group, num_pairs, **kwargs)
        self.weights_of_terms = {
            name: arguments.number(name, value, 0)
            for name, value in (
                ("invariance_weight", invariance_weight),
                ("variance_weight", variance_weight),
                ("covariance_weight", covariance_weight),
            )
        }
        if expander_dim is not None:
            expander_dim = arguments.count("expander_dim", expander_dim)
        self.expander_dim = expander_dim

    def build_for(self, lesson: Any) -> None:
        width = lesson.student.encoder.pooled_dim
        self.expander_dim = self.expander_dim or min(4 * width, 2048)
        self.expander = Expander(
            self.expander_dim, dtype=self.dtype_policy, name="expander"
        )
        self.expander.build((None, width))
        super().build_for(lesson)

    def compute(self, features: Features) -> Result:
        pairs = self.pairs(features)
        total = sum(
            losses.vicreg(
                self.expander(x), self.expander(y), **self.weights_of_terms
            )
            for x, y in pairs
        )
        return Result(total / len(pairs))

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            **self.weights_of_terms,
            "expander_dim": self.expander_dim,
        }
