"""VICReg: views agree, and every feature stays alive and distinct."""

import keras

from keras_dinolm import losses
from keras_dinolm.layers.expander import Expander
from keras_dinolm.layers.validation import check_positive
from keras_dinolm.objectives.objective import Result
from keras_dinolm.objectives.paired_views import PairedViews


@keras.saving.register_keras_serializable(package="keras_dinolm")
class VICReg(PairedViews):
    """Variance, invariance and covariance of the student's expanded views.

    Needs no negatives, prototypes or teacher: what keeps features from
    collapsing are two terms on the statistics of a batch. The views of one
    group are taken in pairs (0 and 1, 2 and 3, ...), go through an expander
    of their own, and the loss is the mean over the pairs. Its size is in the
    tens: beside other objectives, a `weight` of 0.04 brings the invariance to
    a factor of 1.

    Args:
        invariance_weight: float. Of the squared difference of the views.
        variance_weight: float. Of the hinge on the standard deviations.
        covariance_weight: float. Of the squared covariances.
        expander_dim: int or `None`. Width of the expander; `None` takes 4
            times the encoder's width, at most 2048. (The paper: 4 times.)
        group: string. The view group, of at least two views.
        num_pairs: int or `None`. How many pairs of views to use; `None` is
            all.
        **kwargs: as for `Objective`: `weight`, `start`, `stop`, `name`.

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
        invariance_weight=25.0,
        variance_weight=25.0,
        covariance_weight=1.0,
        expander_dim=None,
        group="local",
        num_pairs=None,
        **kwargs,
    ):
        super().__init__(group, num_pairs, **kwargs)
        self.weights_of_terms = {
            "invariance_weight": invariance_weight,
            "variance_weight": variance_weight,
            "covariance_weight": covariance_weight,
        }
        for name, value in self.weights_of_terms.items():
            if not value >= 0:
                raise ValueError(
                    f"Argument `{name}` must be a number of at least 0. "
                    f"Received: {name}={value}"
                )
        if expander_dim is not None:
            check_positive("expander_dim", expander_dim)
        self.expander_dim = expander_dim

    def build_for(self, lesson):
        width = lesson.student.encoder.hidden_dim
        self.expander_dim = self.expander_dim or min(4 * width, 2048)
        self.expander = Expander(
            self.expander_dim, dtype=self.dtype_policy, name="expander"
        )
        self.expander.build((None, width))
        super().build_for(lesson)

    def compute(self, features):
        pairs = self.pairs(features)
        total = sum(
            losses.vicreg(
                self.expander(x), self.expander(y), **self.weights_of_terms
            )
            for x, y in pairs
        )
        return Result(total / len(pairs))

    def get_config(self):
        return {
            **super().get_config(),
            **self.weights_of_terms,
            "expander_dim": self.expander_dim,
        }
