"""One pre-norm encoder block."""

from typing import Any

import keras
from keras.initializers import Initializer

from keras_dinolm import arguments
from keras_dinolm.layers.attention import SelfAttention
from keras_dinolm.layers.drop_path import DropPath
from keras_dinolm.layers.initializer import initializer
from keras_dinolm.layers.layer_scale import LayerScale
from keras_dinolm.layers.mlp import ACTIVATIONS
from keras_dinolm.layers.mlp import FeedForward
from keras_dinolm.typing import Tensor

# Keras' own default of 1e-3 is large compared to the variance of small
# features.
NORM_EPSILON = 1e-6


@keras.saving.register_keras_serializable(package="keras_dinolm")
class EncoderBlock(keras.layers.Layer):
    """Attention and a feed-forward layer, each a scaled residual branch.

        x = x + drop(layer_scale(attention(norm(x))))
        x = x + drop(layer_scale(mlp(norm(x))))

    Args:
        num_heads: int. Attention heads.
        intermediate_dim: int. Width of the feed-forward layer.
        activation: `"gelu"` or `"swiglu"`.
        dropout: float in [0, 1). Dropout on the output of each branch.
        drop_path_rate: float in [0, 1). Probability that a sample skips a
            branch.
        layer_scale: float or `None`. Gain of the branches at the start;
            `None` for no `LayerScale`.
        remat: bool. Whether to keep only the input of the block and to
            compute the block again in the backward pass. This saves memory
            and costs about a third more time. Dropout is drawn before, so
            gradients are those without remat.
        kernel_initializer: initializer of the projections.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        inputs: float tensor `[batch, length, dim]`.
        attention_mask: bool tensor, broadcastable to
            `[batch, heads, length, length]`, or `None`.
        cos: float tensor from `RotaryTables`, or `None` for no positions.
        sin: as `cos`.
        training: bool.

    Returns:
        A tensor like `inputs`.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    block = kd.layers.EncoderBlock(num_heads=2, intermediate_dim=256)
    block(np.zeros((2, 10, 64))).shape  # (2, 10, 64)
    ```

    References:
        - [On Layer Normalization in the Transformer
          Architecture](https://arxiv.org/abs/2002.04745)
    """

    def __init__(
        self,
        num_heads: int,
        intermediate_dim: int,
        activation: str = "gelu",
        dropout: float = 0.0,
        drop_path_rate: float = 0.0,
        layer_scale: float | None = 0.1,
        remat: bool = False,
        kernel_initializer: str | Initializer = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = arguments.count("num_heads", num_heads)
        self.intermediate_dim = arguments.count(
            "intermediate_dim", intermediate_dim
        )
        self.activation = arguments.choice(
            "activation", activation, ACTIVATIONS
        )
        self.dropout = arguments.number("dropout", dropout, 0, below=1)
        self.drop_path_rate = arguments.number(
            "drop_path_rate", drop_path_rate, 0, below=1
        )
        if layer_scale is not None:
            layer_scale = arguments.number("layer_scale", layer_scale)
        self.layer_scale = layer_scale
        self.remat = arguments.flag("remat", remat)
        self.kernel_initializer = initializer(
            "kernel_initializer", kernel_initializer
        )

        policy = self.dtype_policy
        self.attention_norm = keras.layers.LayerNormalization(
            epsilon=NORM_EPSILON, dtype=policy, name="attention_norm"
        )
        self.attention = SelfAttention(
            self.num_heads,
            kernel_initializer=self.kernel_initializer.clone(),
            dtype=policy,
            name="attention",
        )
        self.mlp_norm = keras.layers.LayerNormalization(
            epsilon=NORM_EPSILON, dtype=policy, name="mlp_norm"
        )
        self.mlp = FeedForward(
            self.intermediate_dim,
            activation=self.activation,
            kernel_initializer=self.kernel_initializer.clone(),
            dtype=policy,
            name="mlp",
        )
        self.attention_scale = self.mlp_scale = None
        if layer_scale is not None:
            self.attention_scale = LayerScale(
                layer_scale, dtype=policy, name="attention_scale"
            )
            self.mlp_scale = LayerScale(
                layer_scale, dtype=policy, name="mlp_scale"
            )
        rates = (self.drop_path_rate, self.dropout)
        self.attention_drop = DropPath(
            *rates, dtype=policy, name="attention_drop"
        )
        self.mlp_drop = DropPath(*rates, dtype=policy, name="mlp_drop")

    def build(
        self, inputs_shape: tuple[int | None, ...], **kwargs: Any
    ) -> None:
        for layer in (
            self.attention_norm,
            self.attention,
            self.attention_scale,
            self.mlp_norm,
            self.mlp,
            self.mlp_scale,
        ):
            if layer is not None:
                layer.build(inputs_shape)

    def call(
        self,
        inputs: Tensor,
        attention_mask: Tensor | None = None,
        cos: Tensor | None = None,
        sin: Tensor | None = None,
        training: bool | None = None,
    ) -> Tensor:
        attention_keep = self.attention_drop.draw(inputs, training=training)
        mlp_keep = self.mlp_drop.draw(inputs, training=training)

        # Sub-layers are called whole, with all they need as arguments, because
        # the second run happens in the backward pass, outside of this layer's
        # scope for dtype and training.
        def forward(x):
            branch = self.attention(
                self.attention_norm(x),
                attention_mask=attention_mask,
                cos=cos,
                sin=sin,
            )
            x = _add(x, branch, self.attention_scale, attention_keep)
            branch = self.mlp(self.mlp_norm(x))
            return _add(x, branch, self.mlp_scale, mlp_keep)

        if self.remat and training:
            forward = keras.remat(forward)
        return forward(inputs)

    def compute_output_shape(
        self, inputs_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "intermediate_dim": self.intermediate_dim,
            "activation": self.activation,
            "dropout": self.dropout,
            "drop_path_rate": self.drop_path_rate,
            "layer_scale": self.layer_scale,
            "remat": self.remat,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
        }


def _add(x, branch, scale, keep):
    if scale is not None:
        branch = scale(branch)
    if keep is not None:
        branch = branch * keep
    return x + branch
