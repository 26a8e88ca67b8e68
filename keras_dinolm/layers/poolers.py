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

    def token_weights(
        self, padding_mask: Tensor, token_ids: Tensor | None = None
    ) -> Tensor:
        """How much each token counts in its row.

        Args:
            padding_mask: bool tensor `[batch, length]`.
            token_ids: unused; `WeightedMeanPooling` has the same method.

        Returns:
            float32 tensor `[batch, length]`. Rows sum to 1; those without a
            real token are 0.
        """
        weights = ops.cast(padding_mask, "float32")
        return weights / ops.maximum(
            ops.sum(weights, axis=1, keepdims=True), 1.0
        )

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


@keras.saving.register_keras_serializable(package="keras_dinolm")
class WeightedMeanPooling(_Pooler):
    """A mean of the real tokens, in which each token id has its own weight.

    Frequent words say little of what a text is about. The pooler keeps one
    number a token of the vocabulary, the logarithm of its weight, and returns
    `sum(exp(w) x) / sum(exp(w))`. All logarithms are 0 at first, which is the
    plain mean. Assign those of `kd.data.sif_weights` to `log_weights`, let
    them learn, or freeze them with `trainable = False`.

    Only the ratios of weights in a row matter: a row whose tokens all have
    tiny weights pools to their mean. A row without a real token pools to zero.

    Args:
        vocabulary_size: int. How many token ids there are.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        tokens: float tensor `[batch, length, dim]`.
        padding_mask: bool tensor `[batch, length]`, `True` at real tokens.
        token_ids: int tensor `[batch, length]`.

    Returns:
        float tensor `[batch, dim]`.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    pooler = kd.layers.WeightedMeanPooling(vocabulary_size=10)
    tokens = np.array([[[2.0], [4.0], [9.0]]])
    mask = np.array([[True, True, False]])
    ids = np.array([[7, 5, 0]])
    pooler(tokens, mask, ids)  # [[3.0]]
    log_weights = np.zeros(10)
    log_weights[7] = np.log(3.0)
    pooler.log_weights.assign(log_weights)
    pooler(tokens, mask, ids)  # [[2.5]]
    ```

    Reference:
        [A Simple but Tough-to-Beat Baseline for Sentence
        Embeddings](https://openreview.net/forum?id=SyK00v5xx)
    """

    def __init__(self, vocabulary_size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = arguments.count(
            "vocabulary_size", vocabulary_size
        )

    def build(
        self,
        tokens_shape: tuple[int | None, ...],
        padding_mask_shape: tuple[int | None, ...] | None = None,
        token_ids_shape: tuple[int | None, ...] | None = None,
    ) -> None:
        self.log_weights = self.add_weight(
            shape=(self.vocabulary_size,),
            initializer="zeros",
            autocast=False,
            name="log_weights",
        )

    def token_weights(self, padding_mask: Tensor, token_ids: Tensor) -> Tensor:
        """How much each token counts in its row.

        Args:
            padding_mask: bool tensor `[batch, length]`.
            token_ids: int tensor `[batch, length]`.

        Returns:
            float32 tensor `[batch, length]`. Rows sum to 1; those without a
            real token are 0.
        """
        mask = ops.cast(padding_mask, "bool")
        logs = ops.take(self.log_weights, token_ids, axis=0)
        logs = ops.where(mask, ops.cast(logs, "float32"), -1e9)
        # The largest weight of a row becomes 1, so that no sum is too small.
        largest = ops.stop_gradient(ops.max(logs, axis=1, keepdims=True))
        weights = ops.where(mask, ops.exp(logs - largest), 0.0)
        total = ops.sum(weights, axis=1, keepdims=True)
        return weights / ops.maximum(total, 1.0)

    def call(
        self, tokens: Tensor, padding_mask: Tensor, token_ids: Tensor
    ) -> Tensor:
        weights = self.token_weights(padding_mask, token_ids)
        # Sums in float32, as in `MeanPooling`.
        pooled = ops.sum(
            ops.cast(tokens, "float32") * weights[:, :, None], axis=1
        )
        return ops.cast(pooled, self.compute_dtype)

    def compute_output_shape(
        self,
        tokens_shape: tuple[int | None, ...],
        padding_mask_shape: tuple[int | None, ...] | None = None,
        token_ids_shape: tuple[int | None, ...] | None = None,
    ) -> tuple[int | None, ...]:
        return (tokens_shape[0], tokens_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
        }


POOLERS = {
    "mean": MeanPooling,
    "cls": ClsPooling,
    "attention": AttentionPooling,
    "weighted_mean": WeightedMeanPooling,
}


def get_pooler(pooling: str, **kwargs: Any) -> keras.layers.Layer:
    """Makes the pooler of that name.

    Args:
        pooling: `"mean"`, `"cls"`, `"attention"` or `"weighted_mean"`.
        **kwargs: for its constructor; `"weighted_mean"` needs
            `vocabulary_size`.

    Returns:
        A layer, called with `(tokens, padding_mask)`; a `WeightedMeanPooling`
        takes the token ids, too.

    Raises:
        ValueError: for any other name.
    """
    return POOLERS[arguments.choice("pooling", pooling, POOLERS)](**kwargs)
