"""The training step on each backend, schedules, optimizers, resuming."""

from keras_dinolm.training.resume import fit as fit
from keras_dinolm.training.schedules import Cosine as Cosine
from keras_dinolm.training.schedules import Delayed as Delayed
from keras_dinolm.training.schedules import Linear as Linear
from keras_dinolm.training.schedules import Warmup as Warmup
from keras_dinolm.training.skipped_step_guard import (
    SkippedStepGuard as SkippedStepGuard,
)
from keras_dinolm.training.step import read_variable as read_variable
from keras_dinolm.training.step import train_step as train_step
