"""A keras-hub text embedder with the interface of sentence-transformers."""

import sys
import warnings
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

import keras
import keras_hub
import numpy as np

from keras_dinolm import arguments
from keras_dinolm.layers.normalize import l2_normalize
from keras_dinolm.models.encoder.backbone import DinoLMBackbone
from keras_dinolm.models.encoder.text_encoder import TextEncoder
from keras_dinolm.models.encoder.text_encoder import pooled_dim
from keras_dinolm.models.encoder.weight_changes import changes_of
from keras_dinolm.models.presets.load_preset import check_loaded
from keras_dinolm.models.presets.load_preset import check_vocabulary
from keras_dinolm.models.presets.load_preset import checked_options
from keras_dinolm.models.presets.named import resolve
from keras_dinolm.models.presets.preset_files import is_of_keras_hub
from keras_dinolm.models.presets.preset_files import named_errors
from keras_dinolm.models.presets.write_preset import save_model
from keras_dinolm.models.tasks.apart import call_apart
from keras_dinolm.models.tasks.batches import batches_by_length
from keras_dinolm.models.tasks.batches import pad_rows
from keras_dinolm.models.tasks.embeddings import PRECISIONS
from keras_dinolm.models.tasks.embeddings import SIMILARITIES
from keras_dinolm.models.tasks.embeddings import quantize_embeddings
from keras_dinolm.models.tasks.embeddings import similarity_matrix
from keras_dinolm.models.tasks.embeddings import similarity_pairs
from keras_dinolm.models.tasks.embeddings import unit_length
from keras_dinolm.models.tasks.network_call import NetworkCall
from keras_dinolm.models.tasks.recompiled import Recompiled
from keras_dinolm.models.tasks.string_inputs import StringInputs
from keras_dinolm.models.tasks.text_preprocessor import DinoLMTextPreprocessor
from keras_dinolm.models.tasks.text_preprocessor import check_preprocessor
from keras_dinolm.models.tasks.text_preprocessor import special_token_id
from keras_dinolm.models.tasks.token_rows import token_rows
from keras_dinolm.typing import Path

OUTPUT_VALUES = ("sentence_embedding", "token_embeddings")
# Hide the bar for short jobs.
_BATCHES_WORTH_A_BAR = 20
# Texts that are tokenized at a time; an interrupt is answered in between.
_TEXTS_AT_A_TIME = 1024
# The first of these prompts that there is belongs to a document.
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")


@keras.saving.register_keras_serializable(package="keras_dinolm")
class DinoLMTextEmbedder(
    StringInputs, Recompiled, keras_hub.models.TextEmbedder
):
    """Turns texts into features: the pooled output of the backbone.

    `encode` is the method of sentence-transformers. Any number of threads may
    call it, also while another one trains the model or sets its weights: each
    batch is computed with the weights of before or with those of after. A
    `KeyboardInterrupt` leaves the embedder as it was.

    `predict` and `encode_text` of keras-hub work as well; they pad every text
    to the whole `sequence_length`.

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
        prompts: dictionary from names to strings that `encode` puts before a
            text, such as `{"query": "query: "}`.
        default_prompt_name: string. The prompt of `encode` without one.
        similarity_fn_name: `"cosine"`, `"dot"`, `"euclidean"` or
            `"manhattan"`. What `similarity` computes.
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
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        similarity_fn_name: str = "cosine",
        **kwargs: Any,
    ) -> None:
        arguments.flag("normalize", normalize)
        check_preprocessor(preprocessor)
        arguments.choice("similarity_fn_name", similarity_fn_name, SIMILARITIES)
        prompts = _checked_prompts(prompts, default_prompt_name)

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
        self._serve(inputs, outputs)
        # `encode` runs these and not this model, whose preprocessor is a layer
        # that stays unbuilt. They are made by functions, because Keras would
        # count models as parts of this one.
        changes = changes_of(backbone)
        self._text_call = NetworkCall(
            lambda: keras.Model(inputs, text, name="text"), changes
        )
        self._token_call = NetworkCall(
            lambda: keras.Model(inputs, tokens, name="tokens"), changes
        )

        if preprocessor is not None:
            check_vocabulary("The model", backbone, preprocessor)

        # === Config ===
        self.normalize = normalize
        self.pooling = pooling
        self.prompts = prompts
        self.default_prompt_name = default_prompt_name
        self.similarity_fn_name = similarity_fn_name

    @classmethod
    @named_errors
    def from_preset(
        cls, preset: Path, load_weights: bool = True, **kwargs: Any
    ) -> "DinoLMTextEmbedder":
        """Loads a preset of this package, of keras-hub or of Hugging Face.

        Args:
            preset: string or path. A folder, or a name such as
                `"dinolm_nano_en"`; `presets` lists them.
            load_weights: bool. Whether to load the weights, too.
            **kwargs: as for the constructor, and `dtype`, by default the
                precision that the preset was written with.

        Returns:
            A `DinoLMTextEmbedder`.

        Raises:
            FileNotFoundError: if a local preset is not whole.
            ValueError: if a file of it must not be loaded, a weight is NaN,
                or the vocabulary does not fit the token embedding.
        """
        preset = resolve(preset)
        kwargs = checked_options(
            preset, kwargs, needs_tokenizer="preprocessor" not in kwargs
        )
        if not is_of_keras_hub(preset):
            embedder = super().from_preset(preset, load_weights, **kwargs)
            check_loaded(preset, embedder, load_weights)
            return embedder
        if "preprocessor" not in kwargs:
            base = keras_hub.models.TextClassifierPreprocessor
            kwargs["preprocessor"] = base.from_preset(preset)
        options = {"dtype": kwargs.pop("dtype")} if "dtype" in kwargs else {}
        backbone = keras_hub.models.Backbone.from_preset(
            preset, load_weights, **options
        )
        embedder = cls(backbone, **kwargs)
        check_loaded(preset, embedder, load_weights)
        preprocessor = embedder.preprocessor
        limit = getattr(backbone, "max_sequence_length", None)
        if preprocessor is not None and limit is not None:
            # keras-hub's default may be more than the backbone has positions.
            length = min(limit, preprocessor.sequence_length)
            preprocessor.sequence_length = length
        return embedder

    def save_to_preset(
        self, preset_dir: Path, max_shard_size: float | None = 10
    ) -> None:
        """Writes a preset of all parts, in place of an earlier one.

        Args:
            preset_dir: string or path. New, empty, or a preset without any
                other file.
            max_shard_size: number or `None`. Largest file of weights, in GB.

        Raises:
            FileExistsError: if `preset_dir` holds something else.
            ValueError: if a weight is NaN or infinite.
        """
        save_model(self, preset_dir, super().save_to_preset, max_shard_size)

    def encode(
        self,
        inputs: str | Iterable[str],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: str = "sentence_embedding",
        precision: str = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
    ) -> Any:
        """Features of one text or many.

        Texts of similar length share a batch, padded to one of a few lengths.
        So little is computed for padding, and few shapes are compiled.

        Args:
            inputs: string, or strings: a list, an array, one column of a
                table, a generator.
            prompt_name: string. The name of one of `prompts`. Without it and
                without `prompt`, `default_prompt_name`.
            prompt: string that is put before each text.
            batch_size: int. Texts a batch.
            show_progress_bar: bool. `None` shows it on a terminal, for many
                batches.
            output_value: `"sentence_embedding"`, or `"token_embeddings"` for
                one feature per token, `[CLS]` first.
            precision: `"float32"`, `"int8"`, `"uint8"`, `"binary"` or
                `"ubinary"`, see `quantize_embeddings` of
                sentence-transformers. The steps of int8 and uint8 span what
                these texts have.
            convert_to_numpy: bool. With `False`, a list of tensors of the
                backend, one a text.
            convert_to_tensor: bool. Whether to return one tensor of the
                backend, whatever `convert_to_numpy` is.
            device: `None`. The network runs where its weights are; load it
                within `keras.device(...)` for another place.
            normalize_embeddings: bool. Whether to scale sentence embeddings
                to unit length, after `truncate_dim`.
            truncate_dim: int. How many features to keep, the first ones.

        Returns:
            float32 NumPy array `[dim]` for a string, `[n, dim]` for n
            strings. With `"token_embeddings"` an array `[tokens, dim]`, or a
            list of these.

        Raises:
            ValueError: for wrong arguments, without a preprocessor, or if
                features are not finite.
        """
        arguments.choice("output_value", output_value, OUTPUT_VALUES)
        arguments.choice("precision", precision, PRECISIONS)
        for name, value in (
            ("convert_to_numpy", convert_to_numpy),
            ("convert_to_tensor", convert_to_tensor),
            ("normalize_embeddings", normalize_embeddings),
        ):
            arguments.flag(name, value)
        if show_progress_bar is not None:
            arguments.flag("show_progress_bar", show_progress_bar)
        batch_size = arguments.integer("batch_size", batch_size, 1)
        if truncate_dim is not None:
            truncate_dim = arguments.integer(
                "truncate_dim", truncate_dim, 1, pooled_dim(self.backbone)
            )
        if device is not None:
            arguments.refuse(
                "device",
                device,
                "`None`: the network runs where its weights are. Load it "
                "within `with keras.device(...):` for another device",
            )
        whole = output_value == "sentence_embedding"
        if not whole:
            _check_only_whole(precision, truncate_dim, normalize_embeddings)
        if self.preprocessor is None:
            raise ValueError(
                "`encode` reads strings and needs a preprocessor; this model "
                "was built with `preprocessor=None`. Use `from_preset`, or "
                "set `model.preprocessor`."
            )
        texts, single = _to_texts(inputs)
        start = self._prompt(prompt, prompt_name)
        if start:
            texts = [start + text for text in texts]
        if whole:
            features = self._sentence_embeddings(
                texts, batch_size, show_progress_bar, truncate_dim
            )
            if normalize_embeddings:
                features = unit_length(features)
            features = quantize_embeddings(features, precision)
        else:
            features = self._token_embeddings(
                texts, batch_size, show_progress_bar
            )
        if convert_to_tensor or not convert_to_numpy:
            if whole and convert_to_tensor:
                features = keras.ops.convert_to_tensor(features)
            else:
                features = [keras.ops.convert_to_tensor(x) for x in features]
        return features[0] if single else features

    def encode_query(self, inputs: str | Iterable[str], **kwargs: Any) -> Any:
        """Features of queries: `encode` with the prompt `"query"`.

        Args:
            inputs: as for `encode`.
            **kwargs: as for `encode`. A `prompt` or `prompt_name` replaces
                that prompt; without any of them nothing is put before a text.

        Returns:
            What `encode` returns.
        """
        return self._encode_as(("query",), inputs, kwargs)

    def encode_document(
        self, inputs: str | Iterable[str], **kwargs: Any
    ) -> Any:
        """Features of documents: `encode` with the prompt `"document"`.

        Without that prompt, it is `"passage"` or `"corpus"`.

        Args:
            inputs: as for `encode`.
            **kwargs: as for `encode`. A `prompt` or `prompt_name` replaces
                that prompt; without any of them nothing is put before a text.

        Returns:
            What `encode` returns.
        """
        return self._encode_as(_DOCUMENT_PROMPTS, inputs, kwargs)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> np.ndarray:
        """How alike each of some embeddings is to each of others.

        Args:
            embeddings1: float array or tensor `[n, dim]` or `[dim]`, as
                `encode` returns.
            embeddings2: as `embeddings1`, `[m, dim]` or `[dim]`.

        Returns:
            float32 NumPy array `[n, m]` of what `similarity_fn_name` names;
            greater is more alike.

        Raises:
            ValueError: for other arrays.
        """
        return similarity_matrix(
            self.similarity_fn_name, embeddings1, embeddings2
        )

    def similarity_pairwise(
        self, embeddings1: Any, embeddings2: Any
    ) -> np.ndarray:
        """How alike the embeddings of each pair are.

        Args:
            embeddings1: as for `similarity`.
            embeddings2: as `embeddings1`, with as many rows.

        Returns:
            float32 NumPy array `[n]`.

        Raises:
            ValueError: for other arrays.
        """
        return similarity_pairs(
            self.similarity_fn_name, embeddings1, embeddings2
        )

    def _encode_as(self, names, inputs, kwargs):
        if kwargs.get("prompt") is None and kwargs.get("prompt_name") is None:
            # Also in the place of `default_prompt_name`.
            prompts = [self.prompts[n] for n in names if n in self.prompts]
            kwargs = {**kwargs, "prompt": prompts[0] if prompts else ""}
        return self.encode(inputs, **kwargs)

    def _prompt(self, prompt, prompt_name):
        """What is put before each text."""
        if prompt is not None:
            if prompt_name is not None:
                raise ValueError(
                    "Give `prompt` or `prompt_name`, not both. Received: "
                    f"prompt={arguments.shorten(prompt)}, "
                    f"prompt_name={arguments.shorten(prompt_name)}"
                )
            return arguments.instance("prompt", prompt, str, "a string")
        if prompt_name is None:
            prompt_name = self.default_prompt_name
            if prompt_name is None:
                return ""
        if not isinstance(prompt_name, str) or prompt_name not in self.prompts:
            names = ", ".join(map(repr, self.prompts)) or "none yet"
            arguments.refuse(
                "prompt_name",
                prompt_name,
                f"the name of one of `embedder.prompts` ({names})",
            )
        return self.prompts[prompt_name]

    def _sentence_embeddings(self, texts, batch_size, show, dim):
        features = np.zeros(
            (len(texts), dim or pooled_dim(self.backbone)), dtype="float32"
        )
        for indices, _, found in self._computed(
            self._text_call, texts, batch_size, show
        ):
            features[indices] = found[: len(indices), :dim]
        return features

    def _token_embeddings(self, texts, batch_size, show):
        features: list[Any] = [None] * len(texts)
        for indices, lengths, found in self._computed(
            self._token_call, texts, batch_size, show
        ):
            for feature, length, i in zip(found, lengths, indices):
                features[i] = np.array(feature[:length], dtype="float32")
        return features

    def _computed(self, call, texts, batch_size, show):
        """Yields indices of texts, their lengths, and what `call` gives."""
        rows = self._tokenize(texts)
        progress = _Progress(len(rows), batch_size, show)
        for indices in batches_by_length(rows, batch_size):
            batch = pad_rows(
                [rows[i] for i in indices],
                batch_size,
                self.preprocessor.tokenizer.pad_token_id,
                self.preprocessor.sequence_length,
            )
            lengths = [len(rows[i]) for i in indices]
            found = np.asarray(call(batch), dtype="float32")
            _check_finite(found, lengths, indices, self.backbone)
            yield indices, lengths, found
            progress.add(len(indices))

    def _tokenize(self, texts):
        """Ids of each text, `[CLS]` first, cut to the sequence length."""
        tokenizer = self.preprocessor.tokenizer
        # Stock encoders were trained with [SEP] at the end, ours without it.
        ours = isinstance(self.backbone, DinoLMBackbone)
        end = [] if ours else [special_token_id(tokenizer, "sep", "end")]
        start = special_token_id(tokenizer, "cls", "start")
        limit = self.preprocessor.sequence_length - 1 - len(end)
        rows, too_long = [], 0
        for first in range(0, len(texts), _TEXTS_AT_A_TIME):
            part = texts[first : first + _TEXTS_AT_A_TIME]
            found, longer = call_apart(token_rows, tokenizer, part, limit)
            rows += [[start, *row, *end] for row in found]
            too_long += longer
        if too_long:
            warnings.warn(
                f"{too_long} of {len(texts)} texts have more than "
                f"{limit} tokens and were cut; what follows is not in their "
                "features. Set `embedder.preprocessor.sequence_length`, or "
                "split long texts.",
                stacklevel=5,
            )
        return rows

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("backbone", "normalize", "pooling"):
            # The graph was made with it. A later one would only be saved.
            is_made = name in vars(self)
            if name == "backbone":
                is_made = getattr(self, name, None) is not None
            old = getattr(self, name, None)
            if is_made and old is not value and old != value:
                raise AttributeError(
                    f"`{name}` cannot be changed once the model is made. "
                    "Build another one: `DinoLMTextEmbedder(backbone, "
                    f"preprocessor, {name}=...)`."
                )
        super().__setattr__(name, value)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["normalize"] = self.normalize
        config["pooling"] = self.pooling
        config["prompts"] = dict(self.prompts)
        config["default_prompt_name"] = self.default_prompt_name
        config["similarity_fn_name"] = self.similarity_fn_name
        return config


def _checked_prompts(prompts, default_prompt_name):
    prompts = {} if prompts is None else prompts
    if not isinstance(prompts, Mapping) or not all(
        isinstance(x, str) for pair in prompts.items() for x in pair
    ):
        arguments.refuse(
            "prompts", prompts, "a dictionary from names to strings"
        )
    if default_prompt_name is not None:
        arguments.choice(
            "default_prompt_name", default_prompt_name, list(prompts)
        )
    return dict(prompts)


def _check_only_whole(precision, truncate_dim, normalize_embeddings):
    """Raises if an argument of sentence embeddings is set."""
    for name, value, default in (
        ("precision", precision, "float32"),
        ("truncate_dim", truncate_dim, None),
        ("normalize_embeddings", normalize_embeddings, False),
    ):
        if value != default:
            raise ValueError(
                f"Argument `{name}` is for sentence embeddings. Leave it "
                "with `output_value='token_embeddings'`. "
                f"Received: {name}={value!r}"
            )


def _check_finite(features, lengths, indices, backbone):
    """Raises if the features of a text hold NaN or infinity."""
    if np.isfinite(features).all():
        return
    for feature, length, index in zip(features, lengths, indices):
        # Only the tokens of the text count; the rest is padding.
        real = feature[:length] if feature.ndim == 2 else feature
        if np.isfinite(real).all():
            continue
        broken = [
            v.path
            for v in backbone.variables
            if keras.backend.is_float_dtype(v.dtype)
            and not np.isfinite(
                np.asarray(keras.ops.convert_to_numpy(v), dtype="float32")
            ).all()
        ]
        cause = (
            f"These weights are not: {', '.join(broken[:5])}. Load another "
            "file of weights."
            if broken
            else "Its weights are. Compute in a wider type, such as "
            f"`dtype='float32'`; the backbone computes in "
            f"{backbone.compute_dtype}."
        )
        raise ValueError(
            f"The features of inputs[{index}] are not finite (NaN or "
            f"infinity). {cause}"
        )


def _to_texts(inputs):
    """A list of str, and whether `inputs` was a single one."""
    if isinstance(inputs, np.ndarray) and inputs.ndim == 0:
        inputs = inputs.item()
    if isinstance(inputs, str):
        return [str(inputs)], True
    if isinstance(inputs, set | frozenset):
        arguments.refuse("inputs", inputs, "a list: a set has no order")
    return arguments.strings("inputs", inputs), False


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
