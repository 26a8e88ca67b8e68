"""`DinoLMTokenizer`: WordPiece with the same ids on every path."""

import hashlib
import os
from typing import Any

import keras
import keras_hub
import numpy as np

from keras_dinolm import arguments
from keras_dinolm.models.encoder.backbone import DinoLMBackbone
from keras_dinolm.models.presets.check_preset import check_preset
from keras_dinolm.models.presets.named import resolve
from keras_dinolm.models.presets.preset_files import named_errors
from keras_dinolm.models.presets.write_preset import save_part
from keras_dinolm.models.tasks.vocabulary import SPECIAL_TOKENS
from keras_dinolm.models.tasks.vocabulary import check_vocabulary
from keras_dinolm.models.tasks.vocabulary import read_vocabulary
from keras_dinolm.models.tasks.vocabulary import refuse_files_in_safe_mode
from keras_dinolm.text import normalization
from keras_dinolm.text.encoder import SUFFIX_INDICATOR
from keras_dinolm.text.encoder import UNKNOWN
from keras_dinolm.text.encoder import Encoder
from keras_dinolm.typing import Path

# Nobody reads more tokens at once, and a forged file may ask for terabytes.
_LONGEST = 1 << 20

# Arguments of the base class that this class sets.
_FIXED = {
    "oov_token",
    "special_tokens",
    "special_tokens_in_strings",
    "split",
    "split_on_cjk",
    "suffix_indicator",
}


@keras.saving.register_keras_serializable(package="keras_dinolm")
class DinoLMTokenizer(keras_hub.tokenizers.WordPieceTokenizer):
    """A WordPiece tokenizer, fast and the same everywhere.

    One pinned normalisation (`keras_dinolm.text.normalization`) turns text
    into words before any library sees it. Therefore a `tf.data` pipeline
    (tensorflow-text), plain Python without TensorFlow (Hugging Face
    `tokenizers`) and the worker processes of `keras_dinolm.data.tokenize`
    give the same ids for every string, on every backend, whatever edition of
    Unicode each of them knows.

    Scripts without spaces (Thai, Lao, Khmer, Burmese, kana, ...) are split into
    syllables, and ideographs stand alone, so that no id depends on what
    precedes a syllable.

    Ids 0 to 4 are `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]` and `[MASK]`. Only
    preprocessors and views add them. When a text contains `"[MASK]"`, it is
    tokenized as three ordinary words.

    `detokenize(tokenize(text))` is the normalised text with one space between
    words (lower case and without accents, by default). Words with a character
    that the vocabulary lacks become `[UNK]`. Without `[UNK]`, tokenizing the
    result gives the same ids again.

    Args:
        vocabulary: list of str, or path of a file with one token per line.
            The first five are the special tokens above; pieces that continue
            a word begin with `"##"`. `keras_dinolm.data.train_tokenizer`
            makes one.
        lowercase: bool. Whether letters are lower-cased. Defaults to `True`.
        strip_accents: bool. Whether accents are removed: use `False` for
            languages that tell words apart by them, such as Vietnamese. Then
            composed and decomposed forms of the same letter are different
            characters. Defaults to the value of `lowercase`.
        sequence_length: int. If given, outputs are dense: cut, or padded with
            0, to this length. Defaults to `None`.
        **kwargs: arguments of `keras.layers.Layer`.

    Example:

    ```python
    import keras_dinolm as kd

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary += ["a", "quick", "fox", "##es", "."]
    tokenizer = kd.models.DinoLMTokenizer(vocabulary)
    tokenizer("A quick fox.")  # [5, 6, 7, 9]
    tokenizer(["Foxes", "A fox"])  # [[7, 8], [5, 7]]
    tokenizer.detokenize([7, 8, 9])  # "foxes ."
    ```

    Reference:
        [Song et al., 2021](https://arxiv.org/abs/2012.15524)
    """

    backbone_cls = DinoLMBackbone

    def __init__(
        self,
        vocabulary: list[str] | Path | None = None,
        lowercase: bool = True,
        strip_accents: bool | None = None,
        sequence_length: int | None = None,
        **kwargs: Any,
    ):
        lowercase = arguments.flag("lowercase", lowercase)
        if strip_accents is None:
            strip_accents = lowercase
        strip_accents = arguments.flag("strip_accents", strip_accents)
        if sequence_length is not None:
            sequence_length = arguments.integer(
                "sequence_length", sequence_length, 1, _LONGEST
            )
        _check_layer_arguments(kwargs)
        names = ("pad_token", "unk_token", "cls_token", "sep_token")
        for token, name in zip(SPECIAL_TOKENS, (*names, "mask_token")):
            self._add_special_token(token, name)
        # The names under which keras-hub's packers look for them.
        self._add_special_token("[CLS]", "start_token")
        self._add_special_token("[SEP]", "end_token")
        self._text_lowercase = lowercase
        self._text_strip_accents = strip_accents
        # The base class gets words and must not touch them.
        super().__init__(
            vocabulary=vocabulary,
            sequence_length=sequence_length,
            lowercase=False,
            strip_accents=False,
            split=False,
            suffix_indicator=SUFFIX_INDICATOR,
            oov_token=UNKNOWN,
            **kwargs,
        )
        if self.compute_dtype not in ("int32", "int64"):
            arguments.refuse("dtype", self.compute_dtype, "'int32' or 'int64'")

    def set_vocabulary(self, vocabulary: list[str] | Path | None) -> None:
        """Sets the vocabulary.

        A vocabulary that is refused leaves the one before in place.

        Args:
            vocabulary: list of str, or path of a file with one token per
                line, in UTF-8.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is no vocabulary; names the token that is wrong.
        """
        source = ""
        if isinstance(vocabulary, str | os.PathLike):
            refuse_files_in_safe_mode(vocabulary)
            source = os.fspath(vocabulary)
            vocabulary = read_vocabulary(vocabulary)
        if vocabulary is not None:
            vocabulary = check_vocabulary(vocabulary, source)
        super().set_vocabulary(vocabulary)
        self._encoder: Encoder | None = None
        if vocabulary is not None:
            self._encoder = Encoder(**self.encoder_config())

    def load_assets(self, dir_path: str) -> None:
        """Reads the vocabulary from the folder of a preset.

        Args:
            dir_path: string. The folder.

        Raises:
            ValueError: if its file is no vocabulary.
        """
        # The file is a part of the preset, also where Keras trusts no other.
        path = os.path.join(dir_path, "vocabulary.txt")
        self.set_vocabulary(check_vocabulary(read_vocabulary(path), path))

    def encoder_config(self) -> dict[str, Any]:
        """The arguments of the `Encoder` that other processes work with."""
        self._check_vocabulary()
        return {
            # A plain list: Keras wraps those it tracks.
            "vocabulary": list(self.vocabulary),
            "lowercase": self._text_lowercase,
            "strip_accents": self._text_strip_accents,
        }

    def tokenize(self, inputs: Any) -> Any:
        """Turns one string, or a batch of strings, into ids.

        Args:
            inputs: a string (or bytes, read as UTF-8), a list of strings or
                one column of a table, or a string tensor of rank 0 or 1.

        Returns:
            An int32 vector for one string, and a list of lists for a batch
            (in a TensorFlow graph, a ragged tensor). With `sequence_length`,
            dense arrays.

        Raises:
            ValueError: if `inputs` is anything else.
        """
        self._check_vocabulary()
        assert self._encoder is not None  # made with the vocabulary
        if self._use_tf_workflow():
            return self._tokenize_graph(inputs)
        texts, batched = _to_strings(inputs)
        rows = self._encoder(texts)
        if self.sequence_length:
            dense = np.zeros((len(rows), self.sequence_length), "int32")
            for index, row in enumerate(rows):
                row = row[: self.sequence_length]
                dense[index, : len(row)] = row
            return dense if batched else dense[0]
        return rows if batched else np.array(rows[0], dtype="int32")

    def _tokenize_graph(self, inputs):
        # Imported here, because only a TensorFlow graph needs it.
        from keras_dinolm.text.tf_words import split_words

        words, unbatched = split_words(
            inputs, self._text_lowercase, self._text_strip_accents
        )
        tokens = super().tokenize(words)
        return tokens[0] if unbatched else tokens

    def fingerprint(self) -> str:
        """A hexadecimal string that tells tokenizers apart.

        Tokenizers with the same fingerprint give the same ids for all texts.
        """
        self._check_vocabulary()
        digest = hashlib.sha256()
        digest.update(
            f"{normalization.VERSION} {self._text_lowercase} "
            f"{self._text_strip_accents}\n".encode()
        )
        digest.update("\n".join(self.vocabulary).encode("utf-8"))
        return digest.hexdigest()[:16]

    @classmethod
    @named_errors
    def from_preset(cls, preset: Path, **kwargs: Any) -> "DinoLMTokenizer":
        """Loads the tokenizer of a preset, which is checked first.

        Args:
            preset: string or path. A folder, or a name such as
                `"dinolm_nano_en"`; `presets` lists them.
            **kwargs: replace entries of the configuration.

        Returns:
            A `DinoLMTokenizer`.

        Raises:
            FileNotFoundError: if a local preset is not whole.
            ValueError: if a file of it must not be loaded.
        """
        preset = resolve(preset)
        check_preset(preset)
        return super().from_preset(preset, **kwargs)

    def save_to_preset(self, preset_dir: Path) -> None:
        """Writes the tokenizer as a part of a preset.

        What belongs to the other parts of an earlier preset stays.

        Args:
            preset_dir: string or path. New, empty, or a preset without any
                other file.

        Raises:
            FileExistsError: if `preset_dir` holds something else.
        """
        save_part(preset_dir, super().save_to_preset)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for name in _FIXED:
            config.pop(name, None)
        config["lowercase"] = self._text_lowercase
        config["strip_accents"] = self._text_strip_accents
        return config


def _check_layer_arguments(kwargs):
    fixed = _FIXED & kwargs.keys()
    if fixed:
        raise ValueError(
            "A `DinoLMTokenizer` has a fixed way from text to words. It takes "
            f"no {', '.join(f'`{name}`' for name in sorted(fixed))}."
        )
    # keras-hub makes a path of it.
    file = kwargs.get("config_file")
    if file is not None and (
        not isinstance(file, str) or os.path.basename(file) != file
    ):
        arguments.refuse("config_file", file, "the name of a file, not a path")


def _to_strings(inputs):
    """A flat list of str, and whether `inputs` was a batch."""
    if hasattr(inputs, "numpy"):  # a TensorFlow tensor outside of a graph
        inputs = inputs.numpy()
    if isinstance(inputs, np.ndarray):
        inputs = inputs.tolist()
    if isinstance(inputs, str | bytes):
        return [_to_string(inputs)], False
    if isinstance(inputs, list | tuple):
        inputs = [_to_string(text) for text in inputs]
    return arguments.strings("inputs", inputs), True


def _to_string(text):
    # Invalid bytes separate words, as they do in a TensorFlow graph.
    if isinstance(text, bytes):
        return text.decode("utf-8", errors="replace")
    return text
