"""An encoder, its tokenizer and its heads, ready to read texts."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import keras
import keras_hub
import numpy as np

from keras_dinolm import arguments
from keras_dinolm.models import TextEncoder
from keras_dinolm.models.distillation.tower import Tower
from keras_dinolm.models.presets.load_preset import check_loaded
from keras_dinolm.models.presets.load_preset import checked_options
from keras_dinolm.models.presets.preset_heads import has_heads
from keras_dinolm.models.presets.preset_heads import load_tower
from keras_dinolm.models.tasks.batches import batches_by_length
from keras_dinolm.models.tasks.batches import pad_rows
from keras_dinolm.pictures.attention_probabilities import attention_model
from keras_dinolm.pictures.attention_probabilities import predict_attention
from keras_dinolm.pictures.pieces import CLS
from keras_dinolm.pictures.pieces import Pieces
from keras_dinolm.pictures.tokens import Tokens
from keras_dinolm.typing import Path
from keras_dinolm.views.special_tokens import SpecialTokens


class TextReader:
    """Reads texts with an encoder, and knows what its tokens look like.

    All pictures are made from a reader. It opens any preset of this library,
    of a `DinoLMBackbone` or of a keras-hub encoder, with or without heads.

    Args:
        network: what `model.learned()` of a `DinoLM` returns (an encoder with
            its heads), a `TextEncoder`, or a backbone that it takes.
        tokenizer: the tokenizer that the network was trained with.

    Raises:
        ValueError: if the network is none of these, or the tokenizer has
            tokens that it does not know.

    Example:

    ```python
    import keras_dinolm as kd

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = kd.models.DinoLMTokenizer([*special, "fox", "##es", "."])
    backbone = kd.models.DinoLMBackbone(
        tokenizer.vocabulary_size(), num_layers=1, num_heads=2, hidden_dim=8,
        intermediate_dim=16,
    )
    # Or `TextReader.from_preset("my_preset")`.
    reader = kd.pictures.TextReader(backbone, tokenizer)
    tokens = reader.tokens("Foxes.")
    tokens.names  # ("[CLS]", "fox", "·es", ".")
    reader.features([tokens.ids])[0]["tokens"].shape  # (4, 8)
    ```
    """

    def __init__(
        self,
        network: keras.layers.Layer,
        tokenizer: keras_hub.tokenizers.Tokenizer,
    ) -> None:
        arguments.instance(
            "network",
            network,
            keras.layers.Layer,
            "what `model.learned()` returns, a `TextEncoder` or a backbone",
        )
        arguments.instance(
            "tokenizer",
            tokenizer,
            keras_hub.tokenizers.Tokenizer,
            "the tokenizer that the network was trained with",
        )
        self.tower = network if isinstance(network, Tower) else None
        if self.tower is not None:
            network = network.encoder
        elif not isinstance(network, TextEncoder):
            network = TextEncoder(network)
        self.encoder = network
        self.tokenizer = tokenizer
        used = tokenizer.vocabulary_size()
        if used > self.encoder.vocabulary_size:
            raise ValueError(
                "`tokenizer` and `network` do not belong together: the "
                f"tokenizer has {used} tokens, the token embedding "
                f"{self.encoder.vocabulary_size} rows. Pass the tokenizer "
                "that the network was trained with."
            )
        self._special = SpecialTokens.of(tokenizer)
        self._models: dict[Any, keras.Model] = {}

    @classmethod
    def from_preset(
        cls, preset: Path, pooling: str | None = None
    ) -> "TextReader":
        """Opens a preset that `export_preset` wrote, with heads if it has any.

        Args:
            preset: string or path.
            pooling: as for `TextEncoder`: how a keras-hub backbone was pooled
                in training. A `DinoLMBackbone` knows; leave `None`.

        Returns:
            A `TextReader`.

        Raises:
            FileNotFoundError: if the preset is not whole.
        """
        options = checked_options(preset, {}, needs_tokenizer=True)
        backbone = keras_hub.models.Backbone.from_preset(str(preset), **options)
        check_loaded(preset, backbone)
        network = TextEncoder(backbone, pooling=pooling)
        if has_heads(preset):
            network = load_tower(network, preset)
        return cls(network, keras_hub.models.Tokenizer.from_preset(str(preset)))

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the heads, none if the preset was written without them."""
        return () if self.tower is None else self.tower.heads

    @functools.cached_property
    def pieces(self) -> Pieces:
        """The text of each token id."""
        return Pieces(self.tokenizer)

    def tokens(
        self, text: str, max_tokens: int | None = None, name: str = "text"
    ) -> Tokens:
        """Splits a text into tokens.

        Args:
            text: string.
            max_tokens: int. Where the text is cut, without counting `[CLS]`;
                `None` cuts where the encoder must.
            name: string. The name of the argument, for errors.

        Returns:
            `Tokens`.

        Raises:
            ValueError: if `text` is no string.
        """
        ids = self.ids(text, name)
        kept = ids[: self.limit("max_tokens", max_tokens)]
        return Tokens(
            text,
            self.row(kept),
            (CLS, *self.pieces.names(kept)),
            num_left_out=len(ids) - len(kept),
        )

    def ids(self, text: str, name: str = "text") -> tuple[int, ...]:
        """All ids of a text, without `[CLS]`.

        Args:
            text: string.
            name: string. The name of the argument, for errors.

        Returns:
            A tuple of ints.

        Raises:
            ValueError: if `text` is no string.
        """
        if not isinstance(text, str):
            arguments.refuse(name, text, "a string")
        # keras-hub may return tensors.
        return tuple(
            int(i) for i in np.asarray(self.tokenizer.tokenize([text])[0])
        )

    def row(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Ids as the encoder reads them: `[CLS]` first, as in training.

        Args:
            ids: sequence of ids of a text.

        Returns:
            A tuple of ints.
        """
        return (self._special.cls_token_id, *ids)

    def limit(self, name: str, length: int | None) -> int | None:
        """The smaller of a length and what the encoder takes after `[CLS]`.

        Args:
            name: string. The name of the argument, for errors.
            length: int, or `None`.

        Returns:
            An int, or `None` if neither has a limit.
        """
        longest = self.encoder.max_sequence_length
        limits = [] if longest is None else [longest - 1]
        if length is not None:
            limits.append(arguments.count(name, length))
        return min(limits, default=None)

    def features(
        self, rows: Sequence[Sequence[int]], batch_size: int = 32
    ) -> list[dict[str, np.ndarray]]:
        """What the encoder makes of rows of token ids.

        Args:
            rows: list of sequences of ids, each with `[CLS]` first.
            batch_size: int. Rows at a time.

        Returns:
            A list of `{"tokens": float array [length, dim], "sequence": float
            array [dim]}`, one a row.
        """
        if "features" not in self._models:
            self._models["features"] = self._model(lambda features: features)
        return self._predict("features", rows, batch_size, {"tokens"})

    def assignments(
        self,
        rows: Sequence[Sequence[int]],
        head: str,
        of_tokens: bool,
        batch_size: int = 32,
    ) -> list[dict[str, np.ndarray]]:
        """The nearest prototype of each text, or of each token.

        Args:
            rows: as for `features`.
            head: string, `"sequence"` or `"token"`.
            of_tokens: boolean. Whether tokens are assigned, or texts.
            batch_size: int. Rows at a time.

        Returns:
            A list of `{"prototype": int array, "cosine": float array}`, one a
            row: scalars, or with `of_tokens` of shape `[length]`.

        Raises:
            ValueError: if there is no such head.
        """
        tower = self._tower_with(head)
        name = head, of_tokens
        if name not in self._models:
            projection = tower.projection(head)
            prototypes = tower.prototypes(head)
            kind = "tokens" if of_tokens else "sequence"

            def nearest(features):
                cosines = prototypes(projection(features[kind]))
                return {
                    "prototype": keras.ops.argmax(cosines, axis=-1),
                    "cosine": keras.ops.max(cosines, axis=-1),
                }

            self._models[name] = self._model(nearest)
        per_token = {"prototype", "cosine"} if of_tokens else set()
        return self._predict(name, rows, batch_size, per_token)

    def attention(self, row: Sequence[int]) -> np.ndarray:
        """What the tokens of a row attend to.

        Args:
            row: sequence of ids, `[CLS]` first.

        Returns:
            float32 array `[layers, heads, L, L]`; the L tokens are the
            registers, if there are any, and those of the row.

        Raises:
            ValueError: if the backbone's attention cannot be read.
        """
        if "attention" not in self._models:
            self._models["attention"] = attention_model(self.encoder)
        batch = self.batch([row])
        found = predict_attention(self._models["attention"], batch)[:, 0]
        # Padding gets no attention and comes last.
        length = found.shape[-1] - batch["token_ids"].shape[1] + len(row)
        return found[:, :, :length, :length]

    def check_head(self, head: str) -> None:
        """Raises unless the network has a head of that name.

        Args:
            head: string.

        Raises:
            ValueError: if there is no such head.
        """
        self._tower_with(head)

    def _tower_with(self, head):
        """The network with its heads, if that head is one of them."""
        arguments.string("head", head)
        if not self.heads:
            raise ValueError(
                "There are no heads, and so no prototypes. Write the preset "
                "with `model.export_preset(..., heads=True)`, or give "
                "`TextReader` the network `model.learned()` of a `DinoLM`. "
                f"Received: head={head!r}"
            )
        if head not in self.heads:
            raise ValueError(
                f"Argument `head` must be one of {self.heads}, those that the "
                f"network was trained with. Received: head={head!r}"
            )
        return self.tower

    def _model(self, function):
        """A model from rows to a function of their features."""
        inputs = {
            "token_ids": keras.Input((None,), dtype="int32", name="token_ids"),
            "padding_mask": keras.Input(
                (None,), dtype="bool", name="padding_mask"
            ),
        }
        return keras.Model(inputs, function(self.encoder(inputs)))

    def _predict(self, name, rows, batch_size, per_token):
        """Outputs of each row; those `per_token` without padding."""
        batch_size = arguments.count("batch_size", batch_size)
        results = [None] * len(rows)
        for indices in batches_by_length(rows, batch_size):
            batch = self.batch([rows[i] for i in indices], batch_size)
            found = self._models[name].predict_on_batch(batch)
            for place, i in enumerate(indices):
                length = len(rows[i])
                results[i] = {
                    key: _plain(value[place])[:length]
                    if key in per_token
                    else _plain(value[place])
                    for key, value in found.items()
                }
        return results

    def batch(
        self, rows: Sequence[Sequence[int]], batch_size: int = 1
    ) -> dict[str, np.ndarray]:
        """Rows as one batch. There are few shapes, so few are compiled.

        Args:
            rows: list of sequences of ids.
            batch_size: int. Rows of a full batch; surplus rows are empty.

        Returns:
            `{"token_ids": int32 array, "padding_mask": bool array}`, both
            `[rows, length]`.
        """
        longest = self.encoder.max_sequence_length
        return pad_rows(
            rows,
            batch_size,
            self._special.pad_token_id,
            math.inf if longest is None else longest,
        )


def _plain(value):
    """The value in a dtype that NumPy knows, which bfloat16 is not."""
    value = np.asarray(value)
    whole = np.issubdtype(value.dtype, np.integer)
    return value.astype("int64" if whole else "float32")
