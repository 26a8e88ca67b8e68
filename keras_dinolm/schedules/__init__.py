"""Values as functions of the optimizer update."""

from keras_dinolm.schedules.schedules import Cosine as Cosine
from keras_dinolm.schedules.schedules import Delayed as Delayed
from keras_dinolm.schedules.schedules import Linear as Linear
from keras_dinolm.schedules.schedules import Schedule as Schedule
from keras_dinolm.schedules.schedules import Warmup as Warmup
from keras_dinolm.schedules.schedules import value_at as value_at
