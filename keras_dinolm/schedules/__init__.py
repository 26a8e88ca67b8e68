"""Values as functions of the optimizer update.

Momentum, temperatures, weight decay, learning rates, weights of objectives
and settings of view groups all take a number or one of these. They are
`keras.optimizers.schedules` objects, so that Keras' own schedules work in the
same places. View groups take `Linear` and `PiecewiseLinear`, which have the
same bits on every backend; `PiecewiseLinear.of` turns any other schedule into
straight lines.
"""

from keras_dinolm.schedules.cosine import Cosine
from keras_dinolm.schedules.delayed import Delayed
from keras_dinolm.schedules.linear import Linear
from keras_dinolm.schedules.piecewise_linear import PiecewiseLinear
from keras_dinolm.schedules.schedule import Schedule
from keras_dinolm.schedules.schedule import value_at
from keras_dinolm.schedules.warmup import Warmup

__all__ = [
    "Cosine",
    "Delayed",
    "Linear",
    "PiecewiseLinear",
    "Schedule",
    "Warmup",
    "value_at",
]
