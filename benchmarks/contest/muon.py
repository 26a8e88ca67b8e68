"""Experiment: Muon for the matrices of blocks, AdamW for the rest."""

import re

import keras
from keras import ops

from keras_dinolm.training import schedules
from keras_dinolm.training.optimizers import AdamW

A, B, C = 3.4445, -4.7750, 2.0315


def orthogonalize(x, steps=5):
    shape = x.shape
    transposed = shape[-2] > shape[-1]
    if transposed:
        x = ops.swapaxes(x, -1, -2)
    x = x / (ops.norm(x, axis=(-2, -1), keepdims=True) + 1e-7)
    for _ in range(steps):
        gram = ops.matmul(x, ops.swapaxes(x, -1, -2))
        x = A * x + ops.matmul(B * gram + C * ops.matmul(gram, gram), x)
    return ops.swapaxes(x, -1, -2) if transposed else x


@keras.saving.register_keras_serializable(package="keras_dinolm")
class Muon(AdamW):
    def __init__(self, *args, matrix_rate=1.0, ns_steps=5, momentum=0.95, **kw):
        super().__init__(*args, **kw)
        self.matrix_rate = matrix_rate
        self.ns_steps = ns_steps
        self.momentum = momentum

    def build(self, variables):
        super().build(variables)
        self._is_matrix = [
            bool(re.search(r"block_\d+/.*kernel$", v.path)) for v in variables
        ]
        print("matrices", sum(self._is_matrix), flush=True)

    def get_config(self):
        return {
            **super().get_config(),
            "matrix_rate": self.matrix_rate,
            "ns_steps": self.ns_steps,
            "momentum": self.momentum,
        }

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        if not self._is_matrix[index]:
            return super().update_step(gradient, variable, learning_rate)
        rate = ops.cast(learning_rate, variable.dtype) * self.matrix_rate
        decay = schedules.value_at(self.decay, self.iterations)
        self.assign_sub(
            variable, variable * (rate * ops.cast(decay, variable.dtype))
        )
        m = self._momentums[index]
        self.assign(m, m * self.momentum + gradient)
        update = gradient + self.momentum * m
        rows, columns = variable.shape
        if columns == 3 * rows:
            parts = ops.transpose(
                ops.reshape(update, (rows, 3, rows)), (1, 0, 2)
            )
            parts = orthogonalize(parts, self.ns_steps)
            update = ops.reshape(
                ops.transpose(parts, (1, 0, 2)), (rows, columns)
            )
            scale = 0.2 * rows**0.5
        else:
            update = orthogonalize(update, self.ns_steps)
            scale = 0.2 * max(rows, columns) ** 0.5
        self.assign_sub(variable, update * (rate * scale))
