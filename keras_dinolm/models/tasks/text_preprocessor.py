"""From strings to the rows that a `DinoLMBackbone` reads."""

from typing import Any

import keras
import keras_hub

from keras_dinolm import arguments
from keras_dinolm.models.encoder.backbone import DinoLMBackbone
from keras_dinolm.models.presets.check_preset import check_preset
from keras_dinolm.models.presets.named import resolve
from keras_dinolm.models.presets.preset_files import named_errors
from keras_dinolm.models.presets.write_preset import save_part
from keras_dinolm.models.tasks.tokenizer import DinoLMTokenizer
from keras_dinolm.typing import Path


@keras.saving.register_keras_serializable(package="keras_dinolm")
class DinoLMTextPreprocessor(
    keras_hub.models.TextClassifierPreprocessor,
    keras_hub.models.TextEmbedderPreprocessor,
):
    """Tokenizes, adds `[CLS]`, cuts and pads: `[CLS] a text [PAD] [PAD]`.

    The rows look as views do in training, which have no `[SEP]` at the end.
    A pair of texts (a tuple of two batches) becomes `[CLS] first [SEP]
    second`, for classifiers that learn what the separator means. Classifier
    and embedder share this class, so that the one preprocessor of a preset,
    with its `sequence_length`, serves both. Runs inside `tf.data`, and as
    plain Python without TensorFlow.

    Args:
        tokenizer: `DinoLMTokenizer`.
        sequence_length: int, at least 2. Tokens a row, `[CLS]` included.
            Longer texts are cut. Defaults to 128, as views in training.
        truncate: `"round_robin"` or `"waterfall"`. How a pair shares a row
            that is too short for both.
        **kwargs: as for `keras_hub.models.Preprocessor`.

    Call arguments:
        x: string, list of strings, string tensor, or a tuple of these.
        y: labels, passed through.
        sample_weight: weights, passed through.

    Returns:
        `{"token_ids": int32 [batch, sequence_length], "padding_mask": bool
        [batch, sequence_length]}`, with `y` and `sample_weight` if given.

    Example:

    ```python
    import keras_dinolm as kd

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = kd.models.DinoLMTokenizer([*special, "good", "bad"])
    preprocessor = kd.models.DinoLMTextPreprocessor(tokenizer, 8)
    preprocessor(["good", "bad good"])["token_ids"].shape  # (2, 8)
    ```
    """

    backbone_cls = DinoLMBackbone
    tokenizer_cls = DinoLMTokenizer

    def __init__(
        self,
        tokenizer: DinoLMTokenizer,
        sequence_length: int = 128,
        truncate: str = "round_robin",
        **kwargs: Any,
    ) -> None:
        sequence_length = arguments.count(
            "sequence_length", sequence_length, 2, meaning="[CLS] and one token"
        )
        arguments.choice("truncate", truncate, ("round_robin", "waterfall"))
        arguments.instance(
            "tokenizer",
            tokenizer,
            keras_hub.tokenizers.Tokenizer,
            "a `DinoLMTokenizer`",
        )
        # `super` is not used, because the two parents were not made to be
        # combined. Both constructors do just this.
        keras_hub.models.Preprocessor.__init__(self, **kwargs)
        self.tokenizer = tokenizer
        self.packer = None
        self.sequence_length = sequence_length
        self.truncate = truncate

    def build(self, input_shape: Any) -> None:
        # The packer is not made in the constructor, because a loaded tokenizer
        # gets its vocabulary later.
        self.packer = keras_hub.layers.MultiSegmentPacker(
            sequence_length=self.sequence_length,
            start_value=special_token_id(self.tokenizer, "cls", "start"),
            end_value=[],
            sep_value=special_token_id(self.tokenizer, "sep", "end"),
            pad_value=self.tokenizer.pad_token_id,
            truncate=self.truncate,
        )
        self.built = True

    def call(self, x: Any, y: Any = None, sample_weight: Any = None) -> Any:
        # Segments are told apart by [SEP] alone.
        rows = super().call(x)
        rows = {name: rows[name] for name in ("token_ids", "padding_mask")}
        return keras.utils.pack_x_y_sample_weight(rows, y, sample_weight)

    @classmethod
    @named_errors
    def from_preset(
        cls, preset: Path, **kwargs: Any
    ) -> "DinoLMTextPreprocessor":
        """Loads the preprocessor of a preset, which is checked first.

        Args:
            preset: string or path. A folder, or a name such as
                `"dinolm_nano_en"`; `presets` lists them.
            **kwargs: replace entries of the configuration.

        Returns:
            A `DinoLMTextPreprocessor`.

        Raises:
            FileNotFoundError: if a local preset is not whole.
            ValueError: if a file of it must not be loaded.
        """
        preset = resolve(preset)
        check_preset(preset)
        return super().from_preset(preset, **kwargs)

    def save_to_preset(self, preset_dir: Path) -> None:
        """Writes the preprocessor as a part of a preset.

        What belongs to the other parts of an earlier preset stays.

        Args:
            preset_dir: string or path. New, empty, or a preset without any
                other file.

        Raises:
            FileExistsError: if `preset_dir` holds something else.
        """
        save_part(preset_dir, super().save_to_preset)


def special_token_id(tokenizer: Any, *names: str) -> int:
    """The id of a special token, under the first name that is known.

    Args:
        tokenizer: tokenizer of keras-hub.
        *names: strings, such as `"cls"` and `"start"`.

    Raises:
        ValueError: if it has none.
    """
    ids = [getattr(tokenizer, f"{name}_token_id", None) for name in names]
    for index in ids:
        if index is not None:
            return index
    raise ValueError(
        f"The tokenizer has no {' or '.join(names)} token. Set its vocabulary "
        "(`set_vocabulary`), or take one of an encoder."
    )


def check_preprocessor(preprocessor: Any) -> None:
    """Raises a `ValueError` unless this is a preprocessor or `None`."""
    if preprocessor is not None:
        arguments.instance(
            "preprocessor",
            preprocessor,
            keras.layers.Layer,
            "a `DinoLMTextPreprocessor` or `None`",
        )
