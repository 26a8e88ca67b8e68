"""The training step of each backend, phases, guards and optimizers."""

from keras_dinolm.training.skipped_step_guard import SkippedStepGuard
from keras_dinolm.training.step import COMPILE_BY_DEFAULT
from keras_dinolm.training.step import move_average
from keras_dinolm.training.step import read_variable
from keras_dinolm.training.step import train_step

__all__ = [
    "COMPILE_BY_DEFAULT",
    "SkippedStepGuard",
    "move_average",
    "read_variable",
    "train_step",
]
