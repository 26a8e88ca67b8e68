"""The MLP between an encoder and the statistics of a batch."""

from typing import Any

import keras

from keras_dinolm import arguments
from keras_dinolm.layers.encoder_block import NORM_EPSILON
from keras_dinolm.layers.gelu import gelu
from keras_dinolm.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_dinolm")
class Expander(keras.layers.Layer):
    """Maps features to a wide space without bounds.

    Two hidden layers with a norm and exact GELU, and a linear one, all of the
    same width. Decorrelating many nonlinear functions of a feature makes its
    parts independent, not only uncorrelated. The norm is over a feature, not
    over the batch as in the paper: the loss has its own terms for the batch,
    and a layer without moving averages does the same in training and after.

    Args:
        dim: int. Width of all layers.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        inputs: float tensor `[..., input_dim]`.

    Returns:
        float tensor `[..., dim]`.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    kd.layers.Expander(dim=64)(np.ones((2, 16))).shape  # (2, 64)
    ```

    Reference:
        [VICReg](https://arxiv.org/abs/2105.04906)
    """

    def __init__(self, dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dim = arguments.count("dim", dim)
        policy = self.dtype_policy
        self.dense_layers = [
            keras.layers.Dense(self.dim, dtype=policy, name=f"dense_{index}")
            for index in range(3)
        ]
        self.norms = [
            keras.layers.LayerNormalization(
                epsilon=NORM_EPSILON, dtype=policy, name=f"norm_{index}"
            )
            for index in range(2)
        ]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        hidden_shape = (*input_shape[:-1], self.dim)
        for layer in self.dense_layers:
            layer.build(input_shape)
            input_shape = hidden_shape
        for layer in self.norms:
            layer.build(hidden_shape)

    def call(self, inputs: Tensor) -> Tensor:
        x = inputs
        for dense, norm in zip(self.dense_layers, self.norms):
            x = gelu(norm(dense(x)))
        return self.dense_layers[-1](x)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.dim)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dim": self.dim}
