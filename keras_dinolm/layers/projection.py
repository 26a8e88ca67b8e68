"""The MLP between an encoder and its prototypes."""

from typing import Any

import keras
from keras.initializers import Initializer

from keras_dinolm import arguments
from keras_dinolm.layers.gelu import gelu
from keras_dinolm.layers.initializer import initializer
from keras_dinolm.layers.normalize import l2_normalize
from keras_dinolm.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_dinolm")
class ProjectionHead(keras.layers.Layer):
    """Projects features onto a sphere of low dimension.

    The head has dense layers with exact GELU between them, a narrow last one,
    and L2 normalisation. The objective acts on this projection and not on the
    features, so the features may keep what the objective would make them
    forget. The head is dropped after training.

    Args:
        hidden_dim: int. Width of all layers except the last.
        bottleneck_dim: int. Width of the output.
        num_layers: int. Dense layers, the last one included.
        kernel_initializer: initializer of the layers.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        inputs: float tensor `[..., dim]`.

    Returns:
        float32 tensor `[..., bottleneck_dim]` of unit length.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    head = kd.layers.ProjectionHead(hidden_dim=64, bottleneck_dim=16)
    head(np.ones((2, 32))).shape  # (2, 16)
    ```

    References:
        - [DINO](https://arxiv.org/abs/2104.14294)
    """

    def __init__(
        self,
        hidden_dim: int = 2048,
        bottleneck_dim: int = 256,
        num_layers: int = 3,
        kernel_initializer: str | Initializer = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.hidden_dim = arguments.count("hidden_dim", hidden_dim)
        self.bottleneck_dim = arguments.count("bottleneck_dim", bottleneck_dim)
        self.num_layers = arguments.integer("num_layers", num_layers, 1, 1_000)
        self.kernel_initializer = initializer(
            "kernel_initializer", kernel_initializer
        )
        widths = [self.hidden_dim] * (self.num_layers - 1)
        widths.append(self.bottleneck_dim)
        self.dense_layers = [
            keras.layers.Dense(
                width,
                kernel_initializer=self.kernel_initializer.clone(),
                dtype=self.dtype_policy,
                name=f"dense_{index}",
            )
            for index, width in enumerate(widths)
        ]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        for layer in self.dense_layers:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        x = inputs
        for layer in self.dense_layers[:-1]:
            x = gelu(layer(x))
        return l2_normalize(self.dense_layers[-1](x))

    def compute_output_spec(self, inputs: Tensor) -> keras.KerasTensor:
        shape = (*inputs.shape[:-1], self.bottleneck_dim)
        return keras.KerasTensor(shape, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "hidden_dim": self.hidden_dim,
            "bottleneck_dim": self.bottleneck_dim,
            "num_layers": self.num_layers,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
        }
