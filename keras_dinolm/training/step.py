"""The seam: one training step, chosen by the active backend.

A model that trains through it offers

    model(batch, training=True)                 the forward pass
    model.evaluate_objectives(batch, outputs)   -> (losses, aux), no side effect
    model.after_step(losses, aux, finite)       all state but the weights
    model.learners()                            who learns: a list of objects
                                                with `trainable_variables` of
                                                their own and an `optimizer`
    model.phase                                 hashable; while it is the same,
                                                so is what a step computes

There is one loss for each learner, in the same order. The step computes all
gradients in one pass, applies those of a learner unless one of them is not
finite, and lets `after_step` move everything else. So a step either moves all
of a learner or nothing.
"""

import importlib
from typing import Any

import keras

_step: Any = importlib.import_module(
    f"keras_dinolm.training.{keras.backend.backend()}_step"
)

train_step = _step.train_step
read_variable = _step.read_variable
move_average = _step.move_average
# Whether compiling the step is worth its time in a run of minutes.
COMPILE_BY_DEFAULT: bool = _step.COMPILE_BY_DEFAULT
