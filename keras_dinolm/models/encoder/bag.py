"""The feature of a text that is a mean of embeddings, read off their table."""

from typing import Any

from keras import ops

from keras_dinolm.layers.weighted_rows import weighted_rows
from keras_dinolm.models.encoder.backbone import DinoLMBackbone
from keras_dinolm.typing import Tensor


def table_is_cheaper(
    backbone: DinoLMBackbone,
    token_ids: Tensor,
    training: bool | None = None,
) -> bool:
    """Whether `pooled_by_table` gives the text's feature, and sooner.

    The decision is the same for all batches of a shape, so that a compiled
    step contains one way.

    Args:
        backbone: `DinoLMBackbone`.
        token_ids: int tensor `[batch, length]`.
        training: bool or `None`.

    Returns:
        A bool.
    """
    return (
        _pools_embeddings(backbone)
        and hasattr(backbone.pooler, "token_weights")
        # Dropout treats each token by itself.
        and not (training and backbone.dropout)
        and backbone.token_embedding.quantization_mode is None
        and _num_tokens(token_ids) > backbone.vocabulary_size
    )


def pooled_by_table(
    backbone: DinoLMBackbone, token_ids: Tensor, padding_mask: Tensor
) -> Tensor:
    """The text's feature of a backbone that pools its embeddings.

    The norm of the output is applied to each row of the table of embeddings
    once, and not to each token: a text's feature is the mean of such rows.
    This is the same function as the backbone's, with the same gradients up to
    rounding. It is cheaper where there are more tokens than rows.

    Args:
        backbone: `DinoLMBackbone`, one for which `table_is_cheaper`.
        token_ids: int tensor `[batch, length]`.
        padding_mask: bool tensor `[batch, length]`.

    Returns:
        float tensor `[batch, hidden_dim]`.
    """
    dtype = backbone.pooler.compute_dtype
    rows = backbone.output_norm(
        ops.cast(backbone.token_embedding.embeddings, dtype)
    )
    pooled = weighted_rows(
        # Sums in float32, of features and, in the backward pass, of gradients.
        ops.cast(rows, "float32"),
        token_ids,
        backbone.pooler.token_weights(padding_mask, token_ids),
    )
    return ops.cast(pooled, dtype)


def _pools_embeddings(backbone: DinoLMBackbone) -> bool:
    first = (0,) if backbone.num_layers else (-1,)
    return backbone.pooled_layers == first


def _num_tokens(token_ids: Any) -> int:
    """How many tokens a batch has, padding included; 0 if nobody knows yet."""
    batch, length = token_ids.shape
    known = isinstance(batch, int) and isinstance(length, int)
    return batch * length if known else 0
