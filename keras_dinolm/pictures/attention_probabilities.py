"""A second pass through an encoder, which keeps the attention."""

import keras
import keras_hub
import numpy as np

from keras_dinolm.models import DinoLMBackbone
from keras_dinolm.models import TextEncoder


def attention_probabilities(encoder, token_ids, padding_mask):
    """Attention of each layer and head, computed anew.

    Training and inference use fused kernels, which never form these. Here the
    layers run one by one, and each one's probabilities are computed from its
    queries and keys. The encoder itself is not touched.

    Args:
        encoder: `TextEncoder`, or a backbone that it takes.
        token_ids: int array `[batch, length]`.
        padding_mask: bool array `[batch, length]`, `True` at real tokens.

    Returns:
        float32 array `[layers, batch, heads, L, L]`. The L tokens are the
        registers of a `DinoLMBackbone`, then those of the text. Rows (the
        last axis) sum to 1, and are exactly 0 at padding.

    Raises:
        ValueError: if the backbone's attention cannot be read (DeBERTaV3).

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    backbone = kd.models.DinoLMBackbone.from_size(
        "nano", vocabulary_size=10, num_registers=4
    )
    attention = kd.pictures.attention_probabilities(
        backbone, np.ones((1, 3), "int32"), np.ones((1, 3), "bool")
    )
    attention.shape  # (2, 1, 2, 7, 7)
    ```

    Reference:

    - [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762)
    """
    if not isinstance(encoder, TextEncoder):
        encoder = TextEncoder(encoder)
    backbone = encoder.backbone
    token_ids = np.asarray(token_ids, "int32")
    padding_mask = np.asarray(padding_mask, "bool")
    ours = isinstance(backbone, DinoLMBackbone)
    layers = (_ours if ours else _stock)(backbone, token_ids, padding_mask)
    return np.stack(
        [
            keras.ops.convert_to_numpy(keras.ops.cast(layer, "float32"))
            for layer in layers
        ]
    )


def _ours(backbone, token_ids, padding_mask):
    x = backbone.token_embedding(token_ids)
    x, mask = backbone.registers(x, padding_mask)
    cos, sin = backbone.rotary_tables(x)
    for block in backbone.blocks:
        yield block.attention.probabilities(
            block.attention_norm(x), mask, cos, sin
        )
        x = block(x, attention_mask=mask, cos=cos, sin=sin, training=False)


def _stock(backbone, token_ids, padding_mask):
    """By keras-hub's own layer, on what came into it in the first pass."""
    calls = []

    def call(layer, *args, **kwargs):
        if isinstance(layer, keras_hub.layers.TransformerEncoder):
            calls.append((layer, args[0]))
        return layer(*args, **kwargs)

    # The same layers; ALBERT calls one of them many times.
    copy = keras.models.clone_model(
        backbone, clone_function=lambda layer: layer, call_function=call
    )
    if not calls:
        raise ValueError(
            f"The layers of `{type(backbone).__name__}` do not give their "
            "attention. Use a `DinoLMBackbone`, or a keras-hub backbone made "
            "of `keras_hub.layers.TransformerEncoder`: BERT, RoBERTa, XLM-R, "
            "DistilBERT, ALBERT, ELECTRA."
        )
    inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
    if "segment_ids" in backbone.input:
        inputs["segment_ids"] = np.zeros_like(token_ids)
    # By name, since Keras makes a list of one a tensor.
    first_pass = keras.Model(
        copy.input, {str(i): x for i, (_, x) in enumerate(calls)}
    )
    came_in = first_pass(inputs, training=False)
    for i, (layer, _) in enumerate(calls):
        _, attention = layer(
            came_in[str(i)],
            padding_mask=padding_mask,
            training=False,
            return_attention_scores=True,
        )
        yield attention
