"""From token features to one feature of the sequence."""

from typing import Any

import keras
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.typing import Tensor


class _Pooler(keras.layers.Layer):
    """A layer from `[batch, length, dim]` and its mask to `[batch, dim]`."""

    def compute_output_shape(
        self,
        tokens_shape: tuple[int | None, ...],
        padding_mask_shape: tuple[int | None, ...] | None = None,
    ) -> tuple[int | None, ...]:
        return (tokens_shape[0], tokens_shape[-1])


@keras.saving.register_keras_serializable(package="keras_dinolm")
class ClsPooling(_Pooler):
    """The feature of the first token, `[CLS]`.

    Call arguments:
        tokens: float tensor `[batch, length, dim]`.
        padding_mask: unused; poolers share one signature.

    Returns:
        float tensor `[batch, dim]`.
    """

    def build(
        self,
        tokens_shape: tuple[int | None, ...],
        padding_mask_shape: tuple[int | None, ...] | None = None,
    ) -> None:
        pass

    def call(
        self, tokens: Tensor, padding_mask: Tensor | None = None
    ) -> Tensor:
        return tokens[:, 0]


@keras.saving.register_keras_serializable(package="keras_dinolm")
class MeanPooling(_Pooler):
    """The mean feature of the real tokens, `[CLS]` among them.

    A row without any real token pools to zero.

    Call arguments:
        tokens: float tensor `[batch, length, dim]`.
        padding_mask: bool tensor `[batch, length]`, `True` at real tokens.

    Returns:
        float tensor `[batch, dim]`.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    tokens = np.array([[[2.0], [4.0], [9.0]]])
    mask = np.array([[True, True, False]])
    kd.layers.MeanPooling()(tokens, mask)  # [[3.0]]
    ```
    """

    def build(
        self,
        tokens_shape: tuple[int | None, ...],
        padding_mask_shape: tuple[int | None, ...] | None = None,
    ) -> None:
        pass

    def call(self, tokens: Tensor, padding_mask: Tensor) -> Tensor:
        # Sums in float32: half precision loses digits over long sequences.
        weights = ops.cast(padding_mask, "float32")
        count = ops.maximum(ops.sum(weights, axis=1, keepdims=True), 1.0)
        total = ops.sum(
            ops.cast(tokens, "float32") * weights[:, :, None], axis=1
        )
        return ops.cast(total / count, self.compute_dtype)


@keras.saving.register_keras_serializable(package="keras_dinolm")
class AttentionPooling(_Pooler):
    """A weighted mean of the real tokens, with learned weights.

    Each head owns a slice of the features and a learned query, which scores
    the tokens; softmax over the real ones gives the weights of that slice.
    Queries start at zero, so training starts from the plain mean.

    Args:
        num_heads: int. Must divide the feature size.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        tokens: float tensor `[batch, length, dim]`.
        padding_mask: bool tensor `[batch, length]`, `True` at real tokens.

    Returns:
        float tensor `[batch, dim]`.
    """

    def __init__(self, num_heads: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads = arguments.count("num_heads", num_heads)

    def build(
        self,
        tokens_shape: tuple[int | None, ...],
        padding_mask_shape: tuple[int | None, ...] | None = None,
    ) -> None:
        dim: Any = tokens_shape[-1]
        if dim % self.num_heads:
            raise ValueError(
                "Argument `num_heads` must divide the feature size. "
                f"Received: num_heads={self.num_heads}, feature size {dim}"
            )
        self.query = self.add_weight(
            shape=(dim, self.num_heads), initializer="zeros", name="query"
        )

    def call(self, tokens: Tensor, padding_mask: Tensor) -> Tensor:
        batch, length, dim = ops.shape(tokens)
        scores = ops.cast(ops.matmul(tokens, self.query), "float32")
        scores = scores / float(self.query.shape[0]) ** 0.5
        mask = ops.cast(padding_mask, "bool")[:, :, None]
        # A finite bound, so that a row of padding alone does not become NaN.
        weights = ops.softmax(ops.where(mask, scores, -1e9), axis=1)
        weights = ops.where(mask, weights, 0.0)
        slices = ops.reshape(
            ops.cast(tokens, "float32"),
            (batch, length, self.num_heads, dim // self.num_heads),
        )
        pooled = ops.sum(slices * weights[..., None], axis=1)
        return ops.cast(ops.reshape(pooled, (batch, dim)), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_heads": self.num_heads}


POOLERS = {
    "mean": MeanPooling,
    "cls": ClsPooling,
    "attention": AttentionPooling,
}


def get_pooler(pooling: str, **kwargs: Any) -> keras.layers.Layer:
    """Makes the pooler of that name.

    Args:
        pooling: `"mean"`, `"cls"` or `"attention"`.
        **kwargs: for its constructor.

    Returns:
        A layer, called with `(tokens, padding_mask)`.

    Raises:
        ValueError: for any other name.
    """
    return POOLERS[arguments.choice("pooling", pooling, POOLERS)](**kwargs)
