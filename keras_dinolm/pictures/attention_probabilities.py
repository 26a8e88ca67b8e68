"""Reads the attention of an encoder in a second pass."""

import keras
import keras_hub
import numpy as np

from keras_dinolm import arguments
from keras_dinolm.models import DinoLMBackbone
from keras_dinolm.models import TextEncoder
from keras_dinolm.typing import Tensor


def attention_probabilities(
    encoder: keras.layers.Layer, token_ids: np.ndarray, padding_mask: np.ndarray
) -> np.ndarray:
    """Computes the attention of each layer and head.

    Training and inference use fused kernels, which never form these
    probabilities. Here, a second model of the same layers computes them from
    the queries and keys of each layer. The encoder itself is not changed.

    Args:
        encoder: `TextEncoder`, or a backbone that it takes.
        token_ids: int array `[batch, length]`.
        padding_mask: bool array `[batch, length]`, `True` at real tokens.

    Returns:
        float32 array `[layers, batch, heads, L, L]`. The L tokens are the
        registers of a `DinoLMBackbone`, then those of the text. Rows (the
        last axis) sum to 1, and are exactly 0 at padding.

    Raises:
        ValueError: if the arrays do not fit each other or the encoder, or the
            backbone's attention cannot be read (DeBERTaV3).

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    backbone = kd.models.DinoLMBackbone(
        vocabulary_size=10, num_layers=1, num_heads=2, hidden_dim=8,
        intermediate_dim=16, num_registers=4,
    )
    attention = kd.pictures.attention_probabilities(
        backbone, np.ones((1, 3), "int32"), np.ones((1, 3), "bool")
    )
    attention.shape  # (1, 1, 2, 7, 7)
    ```

    Reference:

    - [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762)
    """
    arguments.instance(
        "encoder", encoder, keras.layers.Layer, "a `TextEncoder` or a backbone"
    )
    encoder = (
        encoder if isinstance(encoder, TextEncoder) else TextEncoder(encoder)
    )
    token_ids = _matrix("token_ids", token_ids, "iu")
    padding_mask = _matrix("padding_mask", padding_mask, "biu")
    if token_ids.min() < 0 or token_ids.max() >= encoder.vocabulary_size:
        arguments.refuse(
            "token_ids",
            token_ids,
            f"ids of the encoder's {encoder.vocabulary_size} tokens",
        )
    if padding_mask.shape != token_ids.shape:
        arguments.refuse(
            "padding_mask", padding_mask, f"of shape {token_ids.shape}"
        )
    batch = {
        "token_ids": token_ids.astype("int32"),
        "padding_mask": padding_mask.astype("bool"),
    }
    return predict_attention(attention_model(encoder), batch)


def _matrix(name, value, kinds):
    """An array `[batch, length]` of some kinds of numbers, or an error."""
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        array = np.asarray(None)
    if array.ndim != 2 or not array.size or array.dtype.kind not in kinds:
        arguments.refuse(name, value, "an array [batch, length] of integers")
    return array


def predict_attention(
    model: keras.Model, batch: dict[str, np.ndarray]
) -> np.ndarray:
    """The attention of a batch, by a model that serves many batches."""
    if "segment_ids" in model.input:
        batch = {**batch, "segment_ids": np.zeros_like(batch["token_ids"])}
    layers = model.predict_on_batch(batch)
    return np.stack([layers[str(i)] for i in range(len(layers))])


def attention_model(encoder: keras.layers.Layer) -> keras.Model:
    """A model from rows of tokens to `{"0": attention of the first layer}`.

    Args:
        encoder: as for `attention_probabilities`.

    Returns:
        A `keras.Model` made of the encoder's own layers.
    """
    if not isinstance(encoder, TextEncoder):
        encoder = TextEncoder(encoder)
    backbone = encoder.backbone
    ours = isinstance(backbone, DinoLMBackbone)
    inputs, layers = (_ours if ours else _stock)(backbone)
    return keras.Model(inputs, {str(i): x for i, x in enumerate(layers)})


class BlockAttention(keras.layers.Layer):
    """The attention within an `EncoderBlock`."""

    def __init__(self, block: keras.layers.Layer) -> None:
        super().__init__(dtype=block.dtype_policy)
        self.block = block

    def call(
        self, x: Tensor, attention_mask: Tensor, cos: Tensor, sin: Tensor
    ) -> Tensor:
        return self.block.attention.probabilities(
            self.block.attention_norm(x), attention_mask, cos, sin
        )

    def compute_output_spec(
        self, x: Tensor, attention_mask: Tensor, cos: Tensor, sin: Tensor
    ) -> keras.KerasTensor:
        return _maps_of(x, self.block.num_heads)


class TransformerAttention(keras.layers.Layer):
    """The attention within keras-hub's `TransformerEncoder`."""

    def __init__(self, layer: keras.layers.Layer) -> None:
        super().__init__(dtype=layer.dtype_policy)
        self.layer = layer

    def call(self, x: Tensor, padding_mask: Tensor) -> Tensor:
        _, attention = self.layer(
            x, padding_mask=padding_mask, return_attention_scores=True
        )
        return keras.ops.cast(attention, "float32")

    def compute_output_spec(
        self, x: Tensor, padding_mask: Tensor
    ) -> keras.KerasTensor:
        return _maps_of(x, self.layer.num_heads)


def _maps_of(x, num_heads):
    batch, length, _ = x.shape
    shape = (batch, num_heads, length, length)
    return keras.KerasTensor(shape, dtype="float32")


def _ours(backbone):
    inputs = {
        "token_ids": keras.Input((None,), dtype="int32", name="token_ids"),
        "padding_mask": keras.Input((None,), dtype="bool", name="padding_mask"),
    }
    layers = []
    x = backbone.token_embedding(inputs["token_ids"])
    x, mask = backbone.registers(x, inputs["padding_mask"])
    cos, sin = backbone.rotary_tables(x)
    for block in backbone.blocks:
        layers.append(BlockAttention(block)(x, mask, cos, sin))
        x = block(x, attention_mask=mask, cos=cos, sin=sin)
    return inputs, layers


def _stock(backbone):
    layers = []

    def call(layer, *args, **kwargs):
        if isinstance(layer, keras_hub.layers.TransformerEncoder):
            attention = TransformerAttention(layer)
            layers.append(attention(args[0], kwargs["padding_mask"]))
        return layer(*args, **kwargs)

    # Calls the same layers once more. ALBERT calls one of them many times.
    copy = keras.models.clone_model(
        backbone, clone_function=lambda layer: layer, call_function=call
    )
    if not layers:
        raise ValueError(
            f"The layers of `{type(backbone).__name__}` do not give their "
            "attention. Use a `DinoLMBackbone`, or a keras-hub backbone made "
            "of `keras_hub.layers.TransformerEncoder`: BERT, RoBERTa, XLM-R, "
            "DistilBERT, ALBERT, ELECTRA."
        )
    return copy.input, layers
