"""The seam: one training step, chosen by the active backend.

A model that trains through it offers

    model(x, training=True)                      the forward pass
    model.evaluate_objectives(x, outputs)        -> (loss, aux), no side effect
    model.after_step(loss, aux, finite)          all state but the weights
    model.phase                                  hashable; while it is the same,
                                                 so is what a step computes

The step computes gradients, applies them unless one is not finite, and lets
`after_step` move everything else. So a step either moves all or nothing.

`train_each` steps several such models, each with its optimizer, on one batch.
"""

import keras

if keras.backend.backend() == "jax":
    from keras_dinolm.training import jax_step as _step
elif keras.backend.backend() == "torch":
    from keras_dinolm.training import torch_step as _step
else:
    from keras_dinolm.training import tensorflow_step as _step

train_each = _step.train_each
train_step = _step.train_step
read_variable = _step.read_variable
