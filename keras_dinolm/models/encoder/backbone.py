"""The encoder that the library trains."""

import numbers
from collections.abc import Sequence
from typing import Any

import keras
import keras_hub
import numpy as np
from keras import initializers
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.layers.encoder_block import NORM_EPSILON
from keras_dinolm.layers.encoder_block import EncoderBlock
from keras_dinolm.layers.mlp import ACTIVATIONS
from keras_dinolm.layers.normalize import l2_normalize
from keras_dinolm.layers.poolers import POOLERS
from keras_dinolm.layers.poolers import get_pooler
from keras_dinolm.layers.registers import Registers
from keras_dinolm.layers.rotary import RotaryTables
from keras_dinolm.models.encoder.weight_changes import AnnouncesChanges
from keras_dinolm.models.encoder.weight_changes import changes_of
from keras_dinolm.models.presets.load_preset import check_loaded
from keras_dinolm.models.presets.load_preset import checked_options
from keras_dinolm.models.presets.named import resolve
from keras_dinolm.models.presets.precision import quantized_config
from keras_dinolm.models.presets.precision import settle_policies
from keras_dinolm.models.presets.preset_files import named_errors
from keras_dinolm.models.presets.write_preset import save_model
from keras_dinolm.typing import Path

# Heads have 64 features. The feed-forward layer is four times as wide as
# the features.
SIZES = {
    "nano": {"num_layers": 2, "num_heads": 2, "hidden_dim": 128},
    "tiny": {"num_layers": 4, "num_heads": 2, "hidden_dim": 128},
    "mini": {"num_layers": 4, "num_heads": 4, "hidden_dim": 256},
    "small": {"num_layers": 6, "num_heads": 6, "hidden_dim": 384},
    "base": {"num_layers": 12, "num_heads": 12, "hidden_dim": 768},
    "large": {"num_layers": 24, "num_heads": 16, "hidden_dim": 1024},
}

JOINS = ("average", "concatenate")

# Far more than anyone trains; a typing error would build blocks for hours.
MOST_LAYERS = 1_000


@keras.saving.register_keras_serializable(package="keras_dinolm")
class DinoLMBackbone(AnnouncesChanges, keras_hub.models.Backbone):
    """A pre-norm text encoder with registers and rotary positions.

    Rows of token ids become one feature per token and one per sequence.
    Positions are relative (RoPE), so there is no longest sequence, though
    features are best up to the lengths seen in training;
    `LongContextAdaptation` continues training at longer ones. Padding does
    not change the features of a row. The pooler is a part of the backbone, so
    that its weights, if it has any, travel with a preset.

    Args:
        vocabulary_size: int. Rows of the token embedding.
        num_layers: int. Encoder blocks; with 0 a bag of embeddings, see
            `extend_depth`.
        num_heads: int. Attention heads; must divide `hidden_dim`.
        hidden_dim: int. Size of the features.
        intermediate_dim: int. Width of the feed-forward layers.
        num_registers: int. Learned tokens before the sequence, which the
            output leaves out; 0 for none.
        activation: `"gelu"` (exact) or `"swiglu"`.
        layer_scale: float or `None`. Gain of the residual branches at the
            start; `None` for no `LayerScale`. Encoders of 12 or more layers
            that train for long start as low as 1e-5.
        dropout: float in [0, 1). Dropout on the embeddings and on the output
            of each residual branch.
        drop_path_rate: float in [0, 1). Probability that a sample skips a
            residual branch.
        pooling: `"mean"` over the real tokens, `"cls"`, `"attention"`
            (learned weights, which start as the mean), or `"weighted_mean"`
            (one weight a token of the vocabulary, see
            `kd.layers.WeightedMeanPooling`; they are
            `backbone.pooler.log_weights`).
        pooled_layers: tuple of ints. The layers whose token features, each
            through the norm of the output, are pooled: 0 the embeddings, `i`
            what block `i` gives, counted from 1, and -1 the last. `(0, -1)`
            is the first-last average: what a text is about is in its words,
            and blocks that learn to predict tokens do not keep all of it. No
            loss on the text's feature reaches blocks above these layers.
        pooled_join: `"average"` for the mean of these layers, or
            `"concatenate"`: what each of them pools to, side by side. The
            feature is then as wide as all of them together
            (`backbone.pooled_dim`). A classifier reads more from it. Each
            layer's part has the length `sqrt(hidden_dim)` times its share, so
            that the cosine of two texts is the mean of the layers' cosines,
            weighted by the squares of the shares.
        pooled_shares: tuple of floats, one for each of `pooled_layers`, with
            `pooled_join="concatenate"`. `None` for equal shares.
        embedding_stddev: float. Standard deviation of the token embeddings at
            the start. They are drawn from a plain normal distribution,
            because Keras' `TruncatedNormal(0.02)` has a standard deviation
            of 0.0176.
        max_wavelength: float. Longest period of the rotary positions.
        scaling_factor: float. Rotary positions are divided by it; see
            `extend_context`.
        position_jitter: float, at least 1. In training, the rotary positions
            of a batch are multiplied by a random number between
            `1 / position_jitter` and `position_jitter`; see
            `kd.layers.RotaryTables`.
        remat: bool. Whether to keep only the input of each block and to
            compute the block again in the backward pass. This saves memory
            and costs about a third more time. Gradients are the same, also
            with dropout.
        dtype: string or `keras.DTypePolicy` for computation and weights.
        **kwargs: `name` and `trainable`.

    Returns:
        The model maps `{"token_ids": int [batch, length], "padding_mask":
        bool [batch, length]}` (`True` at real tokens) to `{"sequence_output":
        float [batch, length, hidden_dim], "pooled_output": float [batch,
        pooled_dim]}`, where `pooled_dim` is `hidden_dim` unless layers are
        joined side by side.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    backbone = kd.models.DinoLMBackbone.from_size("nano", vocabulary_size=100)
    features = backbone({
        "token_ids": np.ones((2, 12), "int32"),
        "padding_mask": np.ones((2, 12), "bool"),
    })
    features["pooled_output"].shape  # (2, 128)
    ```

    References:
        - [DINOv2](https://arxiv.org/abs/2304.07193)
        - [Vision Transformers Need Registers](https://arxiv.org/abs/2309.16588)
        - [RoFormer](https://arxiv.org/abs/2104.09864)
        - [BERT-flow](https://arxiv.org/abs/2011.05864) (first-last average)
    """

    def __init__(
        self,
        vocabulary_size: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        intermediate_dim: int,
        num_registers: int = 4,
        activation: str = "gelu",
        layer_scale: float | None = 0.1,
        dropout: float = 0.0,
        drop_path_rate: float = 0.0,
        pooling: str = "mean",
        pooled_layers: Sequence[int] = (-1,),
        pooled_join: str = "average",
        pooled_shares: Sequence[float] | None = None,
        embedding_stddev: float = 0.02,
        max_wavelength: float = 10_000.0,
        scaling_factor: float = 1.0,
        position_jitter: float = 1.0,
        remat: bool = False,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        unknown = sorted(set(kwargs) - {"name", "trainable"})
        if unknown:
            raise ValueError(
                f"`{type(self).__name__}` has no argument {unknown}. Received: "
                f"{', '.join(f'{name}={kwargs[name]!r}' for name in unknown)}"
            )
        vocabulary_size = arguments.count("vocabulary_size", vocabulary_size)
        num_layers = arguments.integer("num_layers", num_layers, 0, MOST_LAYERS)
        num_heads = arguments.count("num_heads", num_heads)
        hidden_dim = arguments.count("hidden_dim", hidden_dim)
        intermediate_dim = arguments.count("intermediate_dim", intermediate_dim)
        num_registers = arguments.count("num_registers", num_registers, 0)
        arguments.choice("activation", activation, ACTIVATIONS)
        if layer_scale is not None:
            layer_scale = arguments.number("layer_scale", layer_scale)
        dropout = arguments.number("dropout", dropout, 0, below=1)
        drop_path_rate = arguments.number(
            "drop_path_rate", drop_path_rate, 0, below=1
        )
        arguments.choice("pooling", pooling, POOLERS)
        embedding_stddev = arguments.number(
            "embedding_stddev", embedding_stddev, 0
        )
        max_wavelength = arguments.number(
            "max_wavelength", max_wavelength, above=0
        )
        scaling_factor = arguments.number(
            "scaling_factor", scaling_factor, above=0
        )
        position_jitter = arguments.number(
            "position_jitter",
            position_jitter,
            1,
            meaning="1 is no jitter",
        )
        remat = arguments.flag("remat", remat)
        if hidden_dim % (2 * num_heads):
            raise ValueError(
                "`hidden_dim / num_heads` must be an even integer: rotary "
                "positions rotate pairs of features of a head. Received: "
                f"hidden_dim={hidden_dim}, num_heads={num_heads}"
            )
        pooled_layers = _pooled_layers(pooled_layers, num_layers)
        arguments.choice("pooled_join", pooled_join, JOINS)
        pooled_shares = _pooled_shares(
            pooled_shares, pooled_layers, pooled_join
        )

        # === Layers ===
        self.token_embedding = keras_hub.layers.ReversibleEmbedding(
            input_dim=vocabulary_size,
            output_dim=hidden_dim,
            embeddings_initializer=initializers.RandomNormal(
                stddev=embedding_stddev
            ),
            dtype=dtype,
            name="token_embedding",
        )
        self.embedding_dropout = keras.layers.Dropout(
            dropout, dtype=dtype, name="embedding_dropout"
        )
        self.registers = Registers(num_registers, dtype=dtype, name="registers")
        self.rotary_tables = RotaryTables(
            hidden_dim // num_heads,
            num_prefix_tokens=num_registers,
            max_wavelength=max_wavelength,
            scaling_factor=scaling_factor,
            position_jitter=position_jitter,
            dtype=dtype,
            name="rotary_tables",
        )
        self.blocks = [
            EncoderBlock(
                num_heads=num_heads,
                intermediate_dim=intermediate_dim,
                activation=activation,
                dropout=dropout,
                drop_path_rate=drop_path_rate,
                layer_scale=layer_scale,
                remat=remat,
                dtype=dtype,
                name=f"block_{index}",
            )
            for index in range(num_layers)
        ]
        self.output_norm = keras.layers.LayerNormalization(
            epsilon=NORM_EPSILON, dtype=dtype, name="output_norm"
        )
        of_pooler = {
            "attention": {"num_heads": num_heads},
            "weighted_mean": {"vocabulary_size": vocabulary_size},
        }
        self.pooler = get_pooler(
            pooling, dtype=dtype, name="pooler", **of_pooler.get(pooling, {})
        )

        # === Functional Model ===
        token_ids = keras.Input(shape=(None,), dtype="int32", name="token_ids")
        padding_mask = keras.Input(
            shape=(None,), dtype="bool", name="padding_mask"
        )
        x = self.embedding_dropout(self.token_embedding(token_ids))
        x, attention_mask = self.registers(x, padding_mask)
        cos, sin = self.rotary_tables(x)
        layers = [x[:, num_registers:]]
        for block in self.blocks:
            x = block(x, attention_mask=attention_mask, cos=cos, sin=sin)
            layers.append(x[:, num_registers:])
        normed = {
            index: self.output_norm(layers[index])
            for index in {-1, *pooled_layers}
        }
        tokens = [normed[index] for index in pooled_layers]
        if len(tokens) > 1 and pooled_join == "average":
            average = keras.layers.Average(dtype=dtype, name="layer_average")
            tokens = [average(tokens)]
        rows = [padding_mask]
        if pooling == "weighted_mean":
            rows.append(token_ids)
        pooled = [self.pooler(x, *rows) for x in tokens]
        if len(pooled) > 1:
            pooled = [_side_by_side(pooled, pooled_shares)]
        super().__init__(
            inputs={"token_ids": token_ids, "padding_mask": padding_mask},
            outputs={
                "sequence_output": normed[-1],
                "pooled_output": pooled[0],
            },
            dtype=dtype,
            **kwargs,
        )

        # A function, because Keras would look for state in a list of tensors.
        self._layer_outputs = lambda: layers[1:]

        # === Config ===
        self.vocabulary_size = vocabulary_size
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.hidden_dim = hidden_dim
        self.intermediate_dim = intermediate_dim
        self.num_registers = num_registers
        self.activation = activation
        self.layer_scale = layer_scale
        self.dropout = dropout
        self.drop_path_rate = drop_path_rate
        self.pooling = pooling
        self.pooled_layers = pooled_layers
        self.pooled_join = pooled_join
        self.pooled_shares = pooled_shares
        self.embedding_stddev = embedding_stddev
        self.max_wavelength = max_wavelength
        self.scaling_factor = scaling_factor
        self.position_jitter = position_jitter
        self.remat = remat

    @property
    def pooled_dim(self) -> int:
        """Size of a text's feature, `hidden_dim` unless layers are joined."""
        side_by_side = self.pooled_join == "concatenate"
        return self.hidden_dim * (
            len(self.pooled_layers) if side_by_side else 1
        )

    @property
    def layer_outputs(self) -> list[keras.KerasTensor]:
        """Symbolic features of the tokens after each block, first to last.

        They are taken before the norm of the output and without registers.
        A Keras model of these outputs computes them:

        ```python
        import keras
        import keras_dinolm as kd

        backbone = kd.models.DinoLMBackbone.from_size("nano", 100)
        layers = keras.Model(backbone.input, backbone.layer_outputs)
        ```
        """
        return self._layer_outputs()

    @classmethod
    def from_size(
        cls, name: str, vocabulary_size: int, **overrides: Any
    ) -> "DinoLMBackbone":
        """Makes a backbone of one of the named sizes.

        Args:
            name: `"nano"` 2x128 (layers x features), `"tiny"` 4x128,
                `"mini"` 4x256, `"small"` 6x384, `"base"` 12x768 or
                `"large"` 24x1024.
            vocabulary_size: int, e.g. `tokenizer.vocabulary_size()`.
            **overrides: any argument of the constructor. With
                `activation="swiglu"` the feed-forward layers get two thirds
                of the width (a multiple of 8), and so cost the same.

        Returns:
            A `DinoLMBackbone`.

        Raises:
            ValueError: if there is no size of that name.
        """
        arguments.choice("name", name, SIZES)
        config = {**SIZES[name], **overrides}
        width = 4 * arguments.count("hidden_dim", config["hidden_dim"])
        if config.get("activation") == "swiglu":
            width = -(-2 * width // (3 * 8)) * 8
        config.setdefault("intermediate_dim", width)
        return cls(vocabulary_size=vocabulary_size, **config)

    @classmethod
    @named_errors
    def from_preset(
        cls, preset: Path, load_weights: bool = True, **kwargs: Any
    ) -> "DinoLMBackbone":
        """Loads the backbone of a preset, which may be a foreign one.

        The folder is checked first, as by `check_preset`.

        Args:
            preset: string or path. A folder, or a name such as
                `"dinolm_nano_en"`; `presets` lists them.
            load_weights: bool. Whether to load the weights, too.
            **kwargs: replace entries of the configuration. `dtype` defaults
                to the precision that the preset was written with.

        Returns:
            A `DinoLMBackbone`.

        Raises:
            FileNotFoundError: if a local preset is not whole.
            ValueError: if a file of it must not be loaded, or a weight is NaN.
        """
        preset = resolve(preset)
        kwargs = checked_options(preset, kwargs)
        backbone = super().from_preset(preset, load_weights, **kwargs)
        check_loaded(preset, backbone, load_weights)
        return backbone

    def save_to_preset(
        self, preset_dir: Path, max_shard_size: float | None = 10
    ) -> None:
        """Writes the backbone as a part of a preset.

        What belongs to the other parts of an earlier preset stays.
        `export_preset` writes a whole one.

        Args:
            preset_dir: string or path. New, empty, or a preset without any
                other file.
            max_shard_size: number or `None`. Largest file of weights, in GB.

        Raises:
            FileExistsError: if `preset_dir` holds something else.
            ValueError: if a weight is NaN or infinite.
        """
        save = super().save_to_preset
        save_model(self, preset_dir, save, max_shard_size, keep=True)

    def default_lora_layer_names(self) -> list[str]:
        """The layers that keras-hub's `enable_lora` adapts."""
        return ["query_key_value"]

    def enable_lora(
        self, rank: int, target_layer_names: list[str] | None = None
    ) -> None:
        """Freezes the backbone and adds low-rank updates, as keras-hub does.

        Args:
            rank: int. The rank of the updates.
            target_layer_names: list of strings. The layers that get them.
                `None` for those of `default_lora_layer_names`.
        """
        arguments.integer("rank", rank, 1)
        with changes_of(self).short():
            super().enable_lora(rank, target_layer_names)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "DinoLMBackbone":
        backbone = super().from_config(config)
        settle_policies(backbone)
        return backbone

    def get_config(self) -> dict[str, Any]:
        config = quantized_config(self, super().get_config)
        config.update(
            {
                "vocabulary_size": self.vocabulary_size,
                "num_layers": self.num_layers,
                "num_heads": self.num_heads,
                "hidden_dim": self.hidden_dim,
                "intermediate_dim": self.intermediate_dim,
                "num_registers": self.num_registers,
                "activation": self.activation,
                "layer_scale": self.layer_scale,
                "dropout": self.dropout,
                "drop_path_rate": self.drop_path_rate,
                "pooling": self.pooling,
                "pooled_layers": self.pooled_layers,
                "pooled_join": self.pooled_join,
                "pooled_shares": self.pooled_shares,
                "embedding_stddev": self.embedding_stddev,
                "max_wavelength": self.max_wavelength,
                "scaling_factor": self.scaling_factor,
                "position_jitter": self.position_jitter,
                "remat": self.remat,
            }
        )
        return config


def _pooled_layers(layers, num_layers):
    """Checks the layers and writes the last one as -1."""
    if isinstance(layers, np.ndarray):
        layers = layers.tolist()
    layers = tuple(layers) if isinstance(layers, (list, tuple)) else (layers,)
    if not layers or not all(
        isinstance(layer, numbers.Integral)
        and not isinstance(layer, bool)
        and -1 <= layer <= num_layers
        for layer in layers
    ):
        raise ValueError(
            "Argument `pooled_layers` must name one layer or more, each from "
            f"0 (the embeddings) to num_layers={num_layers}, or -1 for the "
            f"last. Received: pooled_layers={layers}"
        )
    # Without blocks, the embeddings are the last layer.
    named = [-1 if layer == num_layers else int(layer) for layer in layers]
    return tuple(dict.fromkeys(named))


def _pooled_shares(shares, layers, join):
    """Checks that there is a share for each layer."""
    if shares is None:
        return None
    if join != "concatenate":
        raise ValueError(
            "Argument `pooled_shares` goes with pooled_join='concatenate'; an "
            "average has none. "
            f"Received: pooled_shares={shares}, pooled_join={join!r}"
        )
    if isinstance(shares, np.ndarray):
        shares = shares.tolist()
    if not isinstance(shares, list | tuple) or len(shares) != len(layers):
        arguments.refuse(
            "pooled_shares",
            shares,
            f"a tuple of numbers, one for each of pooled_layers={layers}",
        )
    return tuple(
        arguments.number(f"pooled_shares[{index}]", share, above=0)
        for index, share in enumerate(shares)
    )


def _side_by_side(features, shares):
    """Joins what the layers pool to, each part at the length of its share."""
    scale = features[0].shape[-1] ** 0.5
    parts = [
        scale * share * l2_normalize(feature)
        for feature, share in zip(features, shares or [1.0] * len(features))
    ]
    return ops.cast(ops.concatenate(parts, axis=-1), features[0].dtype)
