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

    def result(self) -> Tensor:
        """The mean so far."""
        return ops.where(self.count > 0, super().result(), math.nan)
