"""A keras-hub text embedder with the interface of sentence-transformers."""

import functools
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import keras_hub
import numpy as np

from keras_dinolm.layers.normalize import l2_normalize
from keras_dinolm.layers.validation import check_positive
from keras_dinolm.models.encoder.backbone import DinoLMBackbone
from keras_dinolm.models.encoder.text_encoder import TextEncoder
from keras_dinolm.models.presets.preset_files import check_preset
from keras_dinolm.models.presets.preset_files import is_of_keras_hub
from keras_dinolm.models.tasks.batches import batches_by_length
from keras_dinolm.models.tasks.batches import pad_rows
from keras_dinolm.models.tasks.string_inputs import StringInputs
from keras_dinolm.models.tasks.text_preprocessor import DinoLMTextPreprocessor
from keras_dinolm.typing import Path

OUTPUT_VALUES = ("sentence_embedding", "token_embeddings")
# Hide the bar for short jobs.
_BATCHES_WORTH_A_BAR = 20


@keras.saving.register_keras_serializable(package="keras_dinolm")
class DinoLMTextEmbedder(StringInputs, keras_hub.models.TextEmbedder):
    """Turns texts into features: the pooled output of the backbone.

    `encode` is the method of sentence-transformers. `predict` and
    `encode_text` of keras-hub work as well; they pad every text to the whole
    `sequence_length`.

    keras-hub's own encoders work as well, from a preset of theirs or a folder
    that Hugging Face's `save_pretrained` wrote (this needs `safetensors`).
    They read `[CLS] a text [SEP]`, as they were trained.

    Args:
        backbone: `DinoLMBackbone`, or a keras-hub encoder that `TextEncoder`
            takes.
        preprocessor: `DinoLMTextPreprocessor`, or `None` if inputs come
            preprocessed (then without `encode`). For a keras-hub encoder, its
            `TextClassifierPreprocessor`.
        normalize: bool. Whether the model itself ends in L2 normalisation.
        pooling: `"mean"` (also `None`) or `"cls"` for a keras-hub encoder; a
            `DinoLMBackbone` brings its own pooler.
        **kwargs: as for `keras_hub.models.TextEmbedder`.

    Example:

    ```python
    import keras_dinolm as kd

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = kd.models.DinoLMTokenizer([*special, "good", "bad"])
    backbone = kd.models.DinoLMBackbone.from_size(
        "nano", tokenizer.vocabulary_size()
    )
    # Or `DinoLMTextEmbedder.from_preset("my_preset")`.
    embedder = kd.models.DinoLMTextEmbedder(
        backbone, kd.models.DinoLMTextPreprocessor(tokenizer)
    )
    embedder.encode("good").shape           # (128,)
    embedder.encode(["good", "bad"]).shape  # (2, 128)
    ```

    A BERT of keras-hub, here untrained:

    ```python
    import keras_hub

    tokenizer = keras_hub.models.BertTokenizer([*special, "good", "bad"])
    backbone = keras_hub.models.BertBackbone(
        tokenizer.vocabulary_size(), num_layers=1, num_heads=2, hidden_dim=8,
        intermediate_dim=16,
    )
    embedder = kd.models.DinoLMTextEmbedder(
        backbone,
        keras_hub.models.BertTextClassifierPreprocessor(tokenizer, 128),
    )
    embedder.encode("good").shape  # (8,)
    ```
    """

    backbone_cls = DinoLMBackbone
    preprocessor_cls = DinoLMTextPreprocessor

    def __init__(
        self,
        backbone: keras.Model,
        preprocessor: keras.layers.Layer | None = None,
        normalize: bool = False,
        pooling: str | None = None,
        **kwargs: Any,
    ) -> None:
        # === Layers ===
        self.backbone = backbone
        self.preprocessor = preprocessor
        encoder = TextEncoder(backbone, pooling, name="encoder")

        # === Functional Model ===
        inputs = backbone.input
        if isinstance(backbone, DinoLMBackbone):
            outputs = backbone(inputs)["pooled_output"]
            # Outputs of the backbone's graph, not of a call, which would run
            # all blocks: the text's feature may need none (`pooled_layers`).
            text, tokens = (
                backbone.output[name]
                for name in ("pooled_output", "sequence_output")
            )
        else:
            inputs = {k: inputs[k] for k in ("token_ids", "padding_mask")}
            features = encoder(inputs)
            tokens = features["tokens"]
            text = outputs = features["sequence"]
        if normalize:
            text, outputs = l2_normalize(text), l2_normalize(outputs)
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)
        # `encode` runs these and not this model, whose preprocessor is a layer
        # that stays unbuilt: on jax, Keras would run it eagerly before each
        # batch. They are functions, because Keras would count models as parts
        # of this one.
        self._text_model = functools.cache(
            lambda: keras.Model(inputs, text, name="text")
        )
        self._token_model = functools.cache(
            lambda: keras.Model(inputs, tokens, name="tokens")
        )

        # === Config ===
        self.normalize = normalize
        self.pooling = pooling

    @classmethod
    def from_preset(
        cls, preset: Path, load_weights: bool = True, **kwargs: Any
    ) -> "DinoLMTextEmbedder":
        """Loads a preset of this package, of keras-hub or of Hugging Face.

        Args:
            preset: string or path. A folder, or a name that keras-hub knows.
            load_weights: bool. Whether to load the weights, too.
            **kwargs: as for the constructor.

        Returns:
            A `DinoLMTextEmbedder`.

        Raises:
            FileNotFoundError: if a local preset is not whole.
        """
        check_preset(preset)
        # keras-hub takes no `pathlib.Path`.
        preset = str(preset)
        if not is_of_keras_hub(preset):
            return super().from_preset(preset, load_weights, **kwargs)
        if "preprocessor" not in kwargs:
            base = keras_hub.models.TextClassifierPreprocessor
            kwargs["preprocessor"] = base.from_preset(preset)
        backbone = keras_hub.models.Backbone.from_preset(preset, load_weights)
        embedder = cls(backbone, **kwargs)
        preprocessor = embedder.preprocessor
        limit = getattr(backbone, "max_sequence_length", None)
        if preprocessor is not None and limit is not None:
            # keras-hub's default may be more than the backbone has positions.
            length = min(limit, preprocessor.sequence_length)
            preprocessor.sequence_length = length
        return embedder

    def encode(
        self,
        inputs: str | Sequence[str],
        batch_size: int = 32,
        normalize_embeddings: bool = False,
        show_progress_bar: bool | None = None,
        output_value: str = "sentence_embedding",
    ) -> np.ndarray | list[np.ndarray]:
        """Features of one text or many.

        Texts of similar length share a batch, padded to one of a few lengths.
        So little is computed for padding, and few shapes are compiled.

        Args:
            inputs: string, or list (tuple, array) of strings.
            batch_size: int. Texts a batch.
            normalize_embeddings: bool. Whether to scale sentence embeddings
                to unit length.
            show_progress_bar: bool. `None` shows it on a terminal, for many
                batches.
            output_value: `"sentence_embedding"`, or `"token_embeddings"` for
                one feature per token, `[CLS]` first.

        Returns:
            float32 NumPy array `[dim]` for a string, `[len(inputs), dim]` for
            a list. With `"token_embeddings"` an array `[tokens, dim]`, or a
            list of these.

        Raises:
            TypeError: if `inputs` holds anything but strings.
            ValueError: for another `output_value`, or without a preprocessor.
        """
        if output_value not in OUTPUT_VALUES:
            raise ValueError(
                f"Argument `output_value` must be one of {OUTPUT_VALUES}. "
                f"Received: output_value={output_value!r}"
            )
        if self.preprocessor is None:
            raise ValueError(
                "`encode` reads strings and needs a preprocessor; this model "
                "was built with `preprocessor=None`. Use `from_preset`, or "
                "set `model.preprocessor`."
            )
        batch_size = check_positive("batch_size", batch_size)
        texts, single = _to_texts(inputs)
        rows = self._tokenize(texts)
        if output_value == "token_embeddings":
            results: Any = [None] * len(rows)
            model, whole = self._token_model(), False
        else:
            dim = self.backbone.hidden_dim
            results = np.zeros((len(rows), dim), dtype="float32")
            model, whole = self._text_model(), True
        progress = _Progress(len(rows), batch_size, show_progress_bar)
        for indices in batches_by_length(rows, batch_size):
            batch = pad_rows(
                [rows[i] for i in indices],
                batch_size,
                self.preprocessor.tokenizer.pad_token_id,
                self.preprocessor.sequence_length,
            )
            features = _predict(model, batch)
            if whole:
                results[indices] = features[: len(indices)]
            else:
                for feature, i in zip(features, indices):
                    length = len(rows[i])
                    results[i] = np.array(feature[:length], dtype="float32")
            progress.add(len(indices))
        if normalize_embeddings and whole:
            norms = np.linalg.norm(results, axis=1, keepdims=True)
            results /= np.maximum(norms, 1e-6)
        return results[0] if single else results

    def _tokenize(self, texts):
        """Ids of each text, `[CLS]` first, cut to the sequence length."""
        if not texts:
            return []
        tokenizer = self.preprocessor.tokenizer
        # Stock encoders were trained with [SEP] at the end, ours without it.
        ours = isinstance(self.backbone, DinoLMBackbone)
        end = [] if ours else [_special(tokenizer, "sep", "end")]
        start = _special(tokenizer, "cls", "start")
        limit = self.preprocessor.sequence_length - 1 - len(end)
        rows, too_long = [], 0
        for row in tokenizer.tokenize(texts):
            too_long += len(row) > limit
            rows.append([start, *row[:limit], *end])
        if too_long:
            warnings.warn(
                f"{too_long} of {len(texts)} texts have more than "
                f"{limit} tokens and were cut; what follows is not in their "
                "features. Set `embedder.preprocessor.sequence_length`, or "
                "split long texts.",
                stacklevel=3,
            )
        return rows

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["normalize"] = self.normalize
        config["pooling"] = self.pooling
        return config


def _special(tokenizer, *names):
    """The id of a special token, under the first name that is known."""
    ids = [getattr(tokenizer, f"{name}_token_id", None) for name in names]
    return next(index for index in ids if index is not None)


def _predict(model, batch):
    # keras-hub's own version would preprocess the batch again.
    return keras.Model.predict_on_batch(model, batch)


def _to_texts(inputs):
    """A list of str, and whether `inputs` was a single one."""
    if isinstance(inputs, str):
        return [inputs], True
    if isinstance(inputs, np.ndarray):
        inputs = inputs.tolist()
    if not isinstance(inputs, list | tuple):
        raise TypeError(
            "Argument `inputs` must be a string or a list of strings. "
            f"Received: inputs={inputs!r} (of type {type(inputs).__name__})"
        )
    for index, text in enumerate(inputs):
        if not isinstance(text, str):
            raise TypeError(
                "Argument `inputs` must hold strings only. Received: "
                f"inputs[{index}]={text!r} (of type {type(text).__name__})"
            )
    return list(inputs), False


class _Progress:
    """A Keras progress bar, or nothing."""

    def __init__(self, total: int, batch_size: int, show: bool | None) -> None:
        if show is None:
            many = total > _BATCHES_WORTH_A_BAR * batch_size
            show = many and sys.stderr.isatty()
        self.bar = None
        if show and total:
            self.bar = keras.utils.Progbar(total, unit_name="text")

    def add(self, count: int) -> None:
        if self.bar is not None:
            self.bar.add(count)
