"""The feed-forward half of an encoder block."""

from typing import Any

import keras
from keras import ops
from keras.initializers import Initializer

from keras_dinolm import arguments
from keras_dinolm.layers.gelu import gelu
from keras_dinolm.layers.initializer import initializer
from keras_dinolm.typing import Tensor

ACTIVATIONS = ("gelu", "swiglu")


@keras.saving.register_keras_serializable(package="keras_dinolm")
class FeedForward(keras.layers.Layer):
    """Widens each token, applies GELU or SwiGLU, and narrows it again.

    Args:
        intermediate_dim: int. Width between the two projections. SwiGLU has
            a third projection of the same size: two thirds of the width of a
            GELU layer cost the same.
        activation: `"gelu"` (exact, not the tanh approximation) or
            `"swiglu"`.
        kernel_initializer: initializer of the projections.
        output_dim: int or `None`. Width of the outputs; `None` is that of the
            inputs.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        inputs: float tensor `[..., dim]`.

    Returns:
        A tensor like `inputs`, of `output_dim` features.

    References:
        - [GLU Variants Improve Transformer](https://arxiv.org/abs/2002.05202)
    """

    def __init__(
        self,
        intermediate_dim: int,
        activation: str = "gelu",
        kernel_initializer: str | Initializer = "glorot_uniform",
        output_dim: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.intermediate_dim = arguments.count(
            "intermediate_dim", intermediate_dim
        )
        self.activation = arguments.choice(
            "activation", activation, ACTIVATIONS
        )
        self.kernel_initializer = initializer(
            "kernel_initializer", kernel_initializer
        )
        if output_dim is not None:
            output_dim = arguments.count("output_dim", output_dim)
        self.output_dim = output_dim

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.up = self._dense(self.intermediate_dim, "up")
        self.up.build(input_shape)
        if self.activation == "swiglu":
            self.gate = self._dense(self.intermediate_dim, "gate")
            self.gate.build(input_shape)
        self.down = self._dense(self.output_dim or input_shape[-1], "down")
        self.down.build((*input_shape[:-1], self.intermediate_dim))

    def _dense(self, units, name):
        return keras.layers.Dense(
            units,
            kernel_initializer=self.kernel_initializer.clone(),
            dtype=self.dtype_policy,
            name=name,
        )

    def call(self, inputs: Tensor) -> Tensor:
        if self.activation == "swiglu":
            hidden = ops.silu(self.gate(inputs)) * self.up(inputs)
        else:
            hidden = gelu(self.up(inputs))
        return self.down(hidden)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.output_dim or input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "intermediate_dim": self.intermediate_dim,
            "activation": self.activation,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "output_dim": self.output_dim,
        }
