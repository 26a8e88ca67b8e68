"""The mean of what was measured in the steps of an epoch."""

import math

import keras
from keras import ops

from keras_dinolm.typing import Tensor


class StepMean(keras.metrics.Mean):
    """A mean that is NaN, not 0, while there is nothing to average.

    Steps whose loss is not finite are left out. Where all are, a loss of 0
    would look like a perfect one.
    """

    def update_state(self, value: Tensor, keep: Tensor | bool = True) -> None:
        """Adds what one step measured.

        Args:
            value: scalar.
            keep: boolean scalar. `False` leaves the step out.
        """
        # Keras' own looks at shapes, weights and masks at each step.
        value = ops.cast(value, self.dtype)
        self.total.assign_add(ops.where(keep, value, 0.0))
        self.count.assign_add(ops.cast(keep, self.count.dtype))

    def result(self) -> Tensor:
        """The mean so far."""
        return ops.where(self.count > 0, super().result(), math.nan)
