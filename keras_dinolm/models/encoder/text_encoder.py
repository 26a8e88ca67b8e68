"""One interface for every encoder that can be trained."""

import functools
from typing import Any

import keras
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.layers.poolers import POOLERS
from keras_dinolm.layers.poolers import get_pooler
from keras_dinolm.models.encoder.backbone import DinoLMBackbone
from keras_dinolm.models.encoder.bag import pooled_by_table
from keras_dinolm.models.encoder.bag import table_is_cheaper
from keras_dinolm.models.encoder.lora import merged_values
from keras_dinolm.models.encoder.stock_backbones import check_stock_backbone
from keras_dinolm.models.encoder.stock_backbones import layers_of_stock_backbone
from keras_dinolm.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_dinolm")
class TextEncoder(keras.layers.Layer):
    """Token and sequence features from any supported backbone.

    Backbones differ in what they take (segment ids or not) and return (one
    tensor or a dictionary). Objectives and models see only this layer.

    Args:
        backbone: a `DinoLMBackbone`; one of keras-hub's encoders: BERT,
            RoBERTa, XLM-R, DistilBERT, ALBERT, ELECTRA, DeBERTaV3; or one of
            a class given to `register_backbone`.
        pooling: `"mean"` or `"cls"` for other backbones than ours (`None` is
            `"mean"`). A `DinoLMBackbone` brings its own pooler: leave `None`.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        inputs: dictionary of `"token_ids"`, int `[batch, length]`, and
            `"padding_mask"`, bool `[batch, length]`, `True` at real tokens.
        training: bool.
        num_layers: int. How many of the last blocks' features to return as
            well.
        needs_tokens: bool. With `False` and without `num_layers`, a
            `DinoLMBackbone` runs only the blocks that its `pooled_layers`
            need, and returns no `"tokens"`. One that pools its embeddings
            reads the features of many texts off the table of embeddings.

    Returns:
        A dictionary of `"tokens"`, float `[batch, length, hidden_dim]`, and
        `"sequence"`, float `[batch, pooled_dim]`. With `num_layers`, also
        `"layers"`, a list of as many tensors like `"tokens"`: what comes out
        of the last blocks, before the final norm, the very last at the end.

    Raises:
        ValueError: if `backbone` is of another class, or `pooling` does not
            go with it.

    Example:

    ```python
    import keras_hub
    import numpy as np
    import keras_dinolm as kd

    bert = keras_hub.models.BertBackbone(
        vocabulary_size=100, num_layers=2, num_heads=2, hidden_dim=16,
        intermediate_dim=32,
    )
    encoder = kd.models.TextEncoder(bert)
    features = encoder({
        "token_ids": np.ones((2, 5), "int32"),
        "padding_mask": np.ones((2, 5), "bool"),
    })
    features["sequence"].shape  # (2, 16)
    ```
    """

    def __init__(
        self, backbone: keras.Model, pooling: str | None = None, **kwargs: Any
    ) -> None:
        if not isinstance(backbone, DinoLMBackbone):
            check_stock_backbone(backbone)
        # The backbone's own policy: this layer casts nothing.
        kwargs.setdefault("dtype", backbone.dtype_policy)
        super().__init__(**kwargs)
        self.backbone = backbone
        if pooling is not None:
            arguments.choice("pooling", pooling, POOLERS)
        self.pooling = pooling
        if isinstance(backbone, DinoLMBackbone):
            if pooling not in (None, backbone.pooling):
                raise ValueError(
                    "A `DinoLMBackbone` pools by itself, so that its pooler "
                    "is saved with it. Leave `pooling=None` here and build "
                    f"the backbone with pooling={pooling!r}. Received: "
                    f"pooling={pooling!r}, backbone.pooling="
                    f"{backbone.pooling!r}"
                )
            self.pooler = None
        else:
            if pooling not in (None, "mean", "cls"):
                raise ValueError(
                    "Argument `pooling` must be 'mean', 'cls' or None for a "
                    "keras-hub backbone: its preset has no place for the "
                    "weights of another pooler. Use a `DinoLMBackbone` for "
                    f"these. Received: pooling={pooling!r}, backbone of class "
                    f"{type(backbone).__name__}"
                )
            self.pooler = get_pooler(
                pooling or "mean", dtype=self.dtype_policy, name="pooler"
            )
            # The dense pooler of next-sentence prediction is not used here.
            # Frozen, it keeps its weights: there is no decay, and no warning
            # about a missing gradient.
            if hasattr(backbone, "pooled_dense"):
                backbone.pooled_dense.trainable = False
        self._takes_segments = "segment_ids" in backbone.input
        # A function, because Keras would count a model as another part.
        self._part = functools.cache(functools.partial(_part, backbone))
        if self.pooler is None:
            self._part(0)  # outside of any compiled step
        self.built = True

    @property
    def hidden_dim(self) -> int:
        """Size of a token's features."""
        return self.backbone.hidden_dim

    @property
    def pooled_dim(self) -> int:
        """Size of a text's feature."""
        return pooled_dim(self.backbone)

    @property
    def token_embedding(self) -> keras.layers.Layer:
        """The `ReversibleEmbedding` of the token ids."""
        return self.backbone.token_embedding

    @property
    def vocabulary_size(self) -> int:
        """How many token ids the backbone knows."""
        return self.token_embedding.input_dim

    @property
    def max_sequence_length(self) -> int | None:
        """The longest row the backbone takes, or `None` for any length."""
        return getattr(self.backbone, "max_sequence_length", None)

    @property
    def makes_tokens(self) -> bool:
        """Whether a text's feature is made of those of its tokens.

        If so, the latter cost nothing more; if not, inner layers are enough.
        """
        if self.pooler is not None:
            return True
        return (
            self.backbone.num_layers > 0 and -1 in self.backbone.pooled_layers
        )

    def check_num_layers(self, num_layers: int) -> None:
        """Raises an error unless `call` can return so many layers.

        Args:
            num_layers: int. The layers that `call` shall return.

        Raises:
            ValueError: if the backbone does not give its layers, or has
                fewer.
        """
        known = len(_layer_outputs(self.backbone))
        if not known and num_layers:
            raise ValueError(
                f"A `{type(self.backbone).__name__}` does not give the "
                "features of its layers, only those of the last: it has no "
                "`transformer_layers`. Compare the last layer "
                "(`TokenRegression`). Received: "
                f"num_layers={num_layers}"
            )
        if num_layers > known:
            raise ValueError(
                "Argument `num_layers` must be at most the number of the "
                f"backbone's layers, {known}. Received: "
                f"num_layers={num_layers}"
            )
        self._part(num_layers)  # outside of any compiled step

    def call(
        self,
        inputs: dict[str, Tensor],
        training: bool | None = None,
        num_layers: int = 0,
        needs_tokens: bool = True,
    ) -> dict[str, Any]:
        token_ids = inputs["token_ids"]
        padding_mask = inputs["padding_mask"]
        self._check_length(token_ids.shape[1])
        features = {"token_ids": token_ids, "padding_mask": padding_mask}
        if self._takes_segments:
            features["segment_ids"] = ops.zeros_like(token_ids)
        if num_layers:
            self.check_num_layers(num_layers)
        if num_layers:
            found = self._part(num_layers)(features, training=training)
            if self.pooler is not None:
                found["sequence"] = self.pooler(found["tokens"], padding_mask)
            return found
        if self.pooler is None and not needs_tokens:
            if not table_is_cheaper(self.backbone, token_ids, training):
                return self._part(0)(features, training=training)
            return {
                "sequence": pooled_by_table(
                    self.backbone, token_ids, padding_mask
                )
            }
        outputs = self.backbone(features, training=training)
        if self.pooler is None:
            return {
                "tokens": outputs["sequence_output"],
                "sequence": outputs["pooled_output"],
            }
        if isinstance(outputs, dict):
            outputs = outputs["sequence_output"]
        return {
            "tokens": outputs,
            "sequence": self.pooler(outputs, padding_mask),
        }

    def _check_length(self, length):
        limit = self.max_sequence_length
        if length is not None and limit is not None and length > limit:
            raise ValueError(
                f"`{type(self.backbone).__name__}` has positions for at most "
                f"{limit} tokens. Make shorter views "
                f"(`TextViews(sequence_length={limit})`), or build the "
                f"backbone with `max_sequence_length={length}`. Received: "
                f"token_ids with {length} tokens a row"
            )

    def compute_output_spec(
        self,
        inputs: dict[str, Tensor],
        training: bool | None = None,
        num_layers: int = 0,
        needs_tokens: bool = True,
    ) -> dict[str, Any]:
        batch, length = inputs["token_ids"].shape
        self._check_length(length)
        dtype = self.compute_dtype
        tokens = keras.KerasTensor(
            (batch, length, self.hidden_dim), dtype=dtype
        )
        sequence = keras.KerasTensor((batch, self.pooled_dim), dtype=dtype)
        outputs = {"sequence": sequence}
        if num_layers or needs_tokens or self.pooler is not None:
            outputs["tokens"] = tokens
        if num_layers:
            self.check_num_layers(num_layers)
            outputs["layers"] = [tokens] * num_layers
        return outputs

    def clone(self, **kwargs: Any) -> "TextEncoder":
        """Makes an independent encoder with equal weights.

        The copy is trainable, whatever this one is: a frozen teacher gives
        an encoder that can be fine-tuned. What LoRA learned is in its weights.

        Args:
            **kwargs: replace entries of the configuration, such as `name`.

        Returns:
            A `TextEncoder`.
        """
        config = {**self.get_config(), **kwargs}
        config["trainable"] = True
        backbone = dict(config["backbone"])
        backbone["config"] = {**backbone["config"], "trainable": True}
        config["backbone"] = backbone
        copy = type(self).from_config(config)
        copy.set_weights(
            [ops.convert_to_numpy(value) for value in merged_values(self)]
        )
        return copy

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "pooling": self.pooling,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "TextEncoder":
        config = dict(config)
        backbone = arguments.field(config, "backbone", cls)
        if isinstance(backbone, dict):
            config["backbone"] = keras.saving.deserialize_keras_object(backbone)
        return cls(**config)


def pooled_dim(backbone: keras.Model) -> int:
    """Size of the feature that a text gets from a backbone.

    Args:
        backbone: backbone of a `TextEncoder`.

    Returns:
        An int.
    """
    if isinstance(backbone, DinoLMBackbone):
        return backbone.pooled_dim
    return backbone.hidden_dim


def _part(backbone, num_layers):
    """The backbone as a model of the text's feature, and of its last layers.

    This is not a `keras.Function`, because that would run dropout as it was
    when the graph was made, whatever `training` is.
    """
    whole = backbone.output
    outputs = {}
    if isinstance(backbone, DinoLMBackbone):
        outputs["sequence"] = whole["pooled_output"]
    if num_layers:
        outputs["tokens"] = (
            whole["sequence_output"] if isinstance(whole, dict) else whole
        )
        outputs["layers"] = _layer_outputs(backbone)[-num_layers:]
    return keras.Model(backbone.input, outputs, name="part")


def _layer_outputs(backbone):
    """What comes out of each block, before a final norm."""
    if isinstance(backbone, DinoLMBackbone):
        return backbone.layer_outputs
    return layers_of_stock_backbone(backbone)
