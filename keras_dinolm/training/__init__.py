"""The training step of each backend, phases, guards and optimizers."""

from keras_dinolm.training.skipped_step_guard import (
    SkippedStepGuard as SkippedStepGuard,
)
from keras_dinolm.training.step import COMPILE_BY_DEFAULT as COMPILE_BY_DEFAULT
from keras_dinolm.training.step import read_variable as read_variable
from keras_dinolm.training.step import train_step as train_step
