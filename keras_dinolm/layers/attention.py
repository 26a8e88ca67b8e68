"""Self-attention with one fused projection and rotary positions."""

from typing import Any

import keras
from keras import ops
from keras.initializers import Initializer

from keras_dinolm import arguments
from keras_dinolm.layers.initializer import initializer
from keras_dinolm.layers.rotary import rotate
from keras_dinolm.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_dinolm")
class SelfAttention(keras.layers.Layer):
    """Multi-head self-attention over the tokens of a sequence.

    Queries, keys and values come from one matrix product. The core is
    `keras.ops.dot_product_attention`, which takes a flash kernel where the
    backend and the device have one. There is no dropout on the attention
    weights: it would rule those kernels out.

    Args:
        num_heads: int. Must divide the feature size.
        kernel_initializer: initializer of both projections.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        inputs: float tensor `[batch, length, dim]`.
        attention_mask: bool tensor, broadcastable to
            `[batch, heads, length, length]`; `True` may be attended to.
        cos: float tensor `[length, dim / num_heads / 2]`, from
            `RotaryTables`.
        sin: as `cos`.

    Returns:
        A tensor like `inputs`.

    References:
        - [Attention Is All You Need](https://arxiv.org/abs/1706.03762)
    """

    def __init__(
        self,
        num_heads: int,
        kernel_initializer: str | Initializer = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = arguments.count("num_heads", num_heads)
        self.kernel_initializer = initializer(
            "kernel_initializer", kernel_initializer
        )

    def build(
        self, inputs_shape: tuple[int | None, ...], **kwargs: Any
    ) -> None:
        dim: Any = inputs_shape[-1]
        if dim % self.num_heads:
            raise ValueError(
                "Argument `num_heads` must divide the feature size. "
                f"Received: num_heads={self.num_heads}, feature size {dim}"
            )
        self.head_dim = dim // self.num_heads
        self.query_key_value = keras.layers.Dense(
            3 * dim,
            kernel_initializer=self._fused_initializer(dim),
            dtype=self.dtype_policy,
            name="query_key_value",
        )
        self.query_key_value.build(inputs_shape)
        self.output_projection = keras.layers.Dense(
            dim,
            kernel_initializer=_fresh(self.kernel_initializer),
            dtype=self.dtype_policy,
            name="output_projection",
        )
        self.output_projection.build(inputs_shape)

    def _fused_initializer(self, dim):
        """Draws three square kernels: a fan of `3 * dim` would shrink them."""
        draws = [_fresh(self.kernel_initializer) for _ in range(3)]

        def initialize(shape, dtype=None):
            return ops.concatenate(
                [draw((shape[0], dim), dtype=dtype) for draw in draws], axis=1
            )

        return initialize

    def call(
        self,
        inputs: Tensor,
        attention_mask: Tensor | None = None,
        cos: Tensor | None = None,
        sin: Tensor | None = None,
    ) -> Tensor:
        query, key, value = self._project(inputs, cos, sin)
        if _lacks_half_products(query):
            query, key, value = (
                ops.cast(x, "float32") for x in (query, key, value)
            )
        attended = ops.dot_product_attention(
            query, key, value, mask=attention_mask
        )
        attended = ops.cast(attended, inputs.dtype)
        return self.output_projection(ops.reshape(attended, ops.shape(inputs)))

    def probabilities(
        self,
        inputs: Tensor,
        attention_mask: Tensor | None = None,
        cos: Tensor | None = None,
        sin: Tensor | None = None,
    ) -> Tensor:
        """What each token attends to, and how much.

        `call` never holds them, because its kernels do not form them. Here
        they are computed again from queries and keys, in float32 under any
        policy.

        Args:
            inputs: as for `call`.
            attention_mask: as for `call`.
            cos: as for `call`.
            sin: as for `call`.

        Returns:
            float32 tensor `[batch, heads, length, length]`. Each row (the
            last axis) sums to 1, with exactly 0 where the mask is `False`; a
            row without anything to attend to is 0.
        """
        query, key, _ = self._project(inputs, cos, sin)
        scores = ops.einsum(
            "bqhd,bkhd->bhqk",
            ops.cast(query, "float32"),
            ops.cast(key, "float32"),
        )
        scores = scores / self.head_dim**0.5
        if attention_mask is None:
            return ops.softmax(scores)
        # A finite bound, so that a row of padding alone does not become NaN.
        probabilities = ops.softmax(ops.where(attention_mask, scores, -1e9))
        return ops.where(attention_mask, probabilities, 0.0)

    def _project(self, inputs, cos, sin):
        """Queries, keys and values, `[batch, length, heads, head_dim]`."""
        batch, length, _ = ops.shape(inputs)
        heads = (batch, length, 3, self.num_heads, self.head_dim)
        qkv = ops.reshape(self.query_key_value(inputs), heads)
        query_key, value = qkv[:, :, :2], qkv[:, :, 2]
        if cos is not None:
            # One rotation for both takes half the element-wise kernels.
            query_key = rotate(
                query_key, cos[:, None, None, :], sin[:, None, None, :]
            )
        return query_key[:, :, 0], query_key[:, :, 1], value

    def compute_output_shape(
        self, inputs_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
        }


def _lacks_half_products(x):
    """Whether jax has no float16 product with a float32 sum for `x`."""
    if keras.backend.backend() != "jax" or x.dtype != "float16":
        return False
    import jax

    # Only XLA for GPUs has it. jax asks for it in its attention.
    return jax.devices()[0].platform not in ("gpu", "cuda", "rocm")


def _fresh(initializer):
    # An initializer draws the same numbers again when it is used twice.
    return initializer.clone()
