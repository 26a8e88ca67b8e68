"""Checks a preset folder before anything in it is loaded."""

import pathlib
from typing import Any

import keras
import keras_hub

from keras_dinolm import arguments
from keras_dinolm.models.presets.config_classes import backbone_class
from keras_dinolm.models.presets.config_classes import check_part
from keras_dinolm.models.presets.config_classes import check_values
from keras_dinolm.models.presets.config_sizes import LONGEST
from keras_dinolm.models.presets.config_sizes import check_keras_sizes
from keras_dinolm.models.presets.config_sizes import check_transformers_sizes
from keras_dinolm.models.presets.named import resolve
from keras_dinolm.models.presets.preset_files import CONFIG
from keras_dinolm.models.presets.preset_files import FIX
from keras_dinolm.models.presets.preset_files import PREPROCESSOR_CONFIG
from keras_dinolm.models.presets.preset_files import TASK_CONFIG
from keras_dinolm.models.presets.preset_files import TASK_WEIGHTS
from keras_dinolm.models.presets.preset_files import TOKENIZER_ASSETS
from keras_dinolm.models.presets.preset_files import TOKENIZER_CONFIG
from keras_dinolm.models.presets.preset_files import find_file
from keras_dinolm.models.presets.preset_files import has_file
from keras_dinolm.models.presets.preset_files import local_folder
from keras_dinolm.models.presets.preset_files import read_object
from keras_dinolm.models.presets.weight_shapes import h5_shapes
from keras_dinolm.models.presets.weight_shapes import keras_shapes
from keras_dinolm.models.presets.weight_shapes import safetensors_shapes
from keras_dinolm.typing import Path

# What keras-hub converts into a backbone that `TextEncoder` reads.
_MODEL_TYPES = ("albert", "bert", "distilbert", "roberta", "xlm-roberta")
_TRANSFORMERS_ASSETS = (
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
)
_TRANSFORMERS_CONFIGS = ("tokenizer_config.json", "sentence_bert_config.json")
_TRANSFORMERS_OTHERS = ("modules.json", "1_Pooling/config.json")

# Where tokenizers keep a vocabulary that belongs into a file of its own.
_INLINE = ("vocabulary", "proto", "merges")
_BYTES_A_TOKEN = 1024


def check_preset(preset: Path, needs_tokenizer: bool = True) -> None:
    """Checks that a local preset is whole and asks for nothing that it lacks.

    A preset may come from anywhere. So before anything of it is made or
    loaded, this function looks at all its files: that none is missing, that
    none is outside of the folder, that the classes are those of text encoders,
    that all sizes agree with the shapes in the weight file, and that the
    vocabulary fits the token embedding. It reads no weights. Presets that are
    not local folders (`"hf://..."`) pass, because they are fetched as needed:
    fetch a foreign one into a folder first.

    Args:
        preset: string or path.
        needs_tokenizer: bool. Whether a preset without a tokenizer is not
            whole.

    Raises:
        FileNotFoundError: if a file is missing; names it and the fix.
        ValueError: if a file is broken or must not be loaded; names it, the
            field and the fix.

    Example:

    ```python
    import keras_dinolm as kd

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = kd.models.DinoLMTokenizer([*special, "good", "bad"])
    backbone = kd.models.DinoLMBackbone.from_size(
        "nano", tokenizer.vocabulary_size()
    )
    encoder = kd.models.TextEncoder(backbone)
    kd.models.export_preset(encoder, tokenizer, "my_preset")

    kd.models.check_preset("my_preset")
    ```
    """
    arguments.flag("needs_tokenizer", needs_tokenizer)
    folder = local_folder(resolve(preset))
    if folder is None:
        return
    config = read_object(folder, CONFIG)
    if "registered_name" in config or "class_name" in config:
        _check_keras(folder, config, needs_tokenizer)
    else:
        _check_transformers(folder, config)


def _check_keras(folder, config, needs_tokenizer):
    cls = backbone_class(folder, CONFIG, config)
    check_values(folder, CONFIG, config["config"])
    shapes = keras_shapes(folder)
    check_keras_sizes(folder, CONFIG, cls, config["config"], shapes)
    arguments_of = config["config"]
    rows = arguments_of.get("vocabulary_size", arguments_of.get("vocab_size"))
    if has_file(folder, TASK_CONFIG):
        task = read_object(folder, TASK_CONFIG)
        check_part(folder, TASK_CONFIG, task, "Task")
        _check_task(folder, task["config"], cls, shapes)
        # Saved without one, and so used.
        if task["config"].get("preprocessor", 0) is None:
            needs_tokenizer = False
    if has_file(folder, PREPROCESSOR_CONFIG):
        preprocessor = read_object(folder, PREPROCESSOR_CONFIG)
        check_part(folder, PREPROCESSOR_CONFIG, preprocessor, "Preprocessor")
        _check_preprocessor(folder, PREPROCESSOR_CONFIG, preprocessor["config"])
    if needs_tokenizer or has_file(folder, TOKENIZER_CONFIG):
        tokenizer = read_object(folder, TOKENIZER_CONFIG)
        check_part(folder, TOKENIZER_CONFIG, tokenizer, "Tokenizer")
        _check_tokenizer(folder, TOKENIZER_CONFIG, tokenizer["config"])
        ours = config["registered_name"].startswith("keras_dinolm>")
        _check_assets(folder, tokenizer["class_name"], rows, ours)


def _check_task(folder, config, cls, shapes):
    backbone = config.get("backbone")
    found = backbone_class(folder, TASK_CONFIG, backbone, "backbone.")
    check_values(folder, TASK_CONFIG, backbone["config"], "backbone.")
    check_keras_sizes(folder, TASK_CONFIG, found, backbone["config"], shapes)
    if found is not cls:
        raise ValueError(
            f"The files '{TASK_CONFIG}' and '{CONFIG}' of the preset folder "
            f"'{folder}' must name the same class of backbone. Received: "
            f"{found.__name__} and {cls.__name__}. {FIX}"
        )
    if config.get("preprocessor") is not None:
        inner = config["preprocessor"]["config"]
        _check_preprocessor(folder, TASK_CONFIG, inner, "preprocessor.")
    if "num_classes" in config:
        stored = set(h5_shapes(folder, TASK_WEIGHTS).values())
        value, dim = config["num_classes"], _pooled_dim(backbone["config"])
        if type(value) is not int or (dim, value) not in stored:
            raise ValueError(
                f"The file '{TASK_CONFIG}' of the preset folder '{folder}' "
                f"does not go with '{TASK_WEIGHTS}': `num_classes` must be an "
                f"integer, and an array of shape ({dim}, num_classes) be "
                f"there. Received: num_classes={arguments.shorten(value)}, "
                f"shapes {arguments.shorten(sorted(stored))}. {FIX}"
            )
    elif has_file(folder, TASK_WEIGHTS):
        h5_shapes(folder, TASK_WEIGHTS)


def _pooled_dim(config):
    """Size of the feature of a text, which classifiers read."""
    layers = config.get("pooled_layers")
    if config.get("pooled_join") != "concatenate" or type(layers) is not list:
        return config["hidden_dim"]
    return config["hidden_dim"] * len(layers)


def _check_preprocessor(folder, name, config, where=""):
    _check_length(folder, name, config, "sequence_length", where)
    tokenizer = config.get("tokenizer")
    if isinstance(tokenizer, dict):
        _check_tokenizer(
            folder, name, tokenizer["config"], f"{where}tokenizer."
        )


def _check_tokenizer(folder, name, config, where=""):
    for key in _INLINE:
        # A string here is the path of a file, which may be anywhere.
        if config.get(key) is not None:
            raise ValueError(
                f"The file '{name}' of the preset folder '{folder}' must "
                f"leave `{where}{key}` empty (null): a preset keeps it in "
                f"'{TOKENIZER_ASSETS}'. It is not read. Received: "
                f"{key}={arguments.shorten(config[key])}. {FIX}"
            )
    _check_length(folder, name, config, "sequence_length", where)


def _check_length(folder, name, config, key, where=""):
    value = config.get(key)
    if value is None:
        return
    if type(value) is not int or not 0 < value <= LONGEST:
        raise ValueError(
            f"The file '{name}' of the preset folder '{folder}' must have an "
            f"integer from 1 to {LONGEST} as `{where}{key}`. Received: "
            f"{key}={arguments.shorten(value)}. {FIX}"
        )


def _check_assets(folder, name, rows, exact):
    """The vocabulary is there and, where lines are tokens, fits."""
    registered = read_object(folder, TOKENIZER_CONFIG)["registered_name"]
    cls = keras.saving.get_registered_object(registered)
    for asset in _assets(cls):
        path = find_file(folder, f"{TOKENIZER_ASSETS}/{asset}")
        _check_asset_size(folder, f"{TOKENIZER_ASSETS}/{asset}", path, rows)
        if asset != "vocabulary.txt":
            continue
        lines = _count_lines(path)
        if lines > rows or (exact and lines != rows):
            raise ValueError(
                f"The file '{TOKENIZER_ASSETS}/{asset}' of the preset folder "
                f"'{folder}' has {lines} tokens, and the token embedding in "
                f"its weights {rows} rows: the `{name}` is not the one that "
                f"the encoder was trained with. {FIX}"
            )


def _assets(cls):
    tokenizers = keras_hub.tokenizers
    if issubclass(cls, tokenizers.WordPieceTokenizer):
        return ["vocabulary.txt"]
    if issubclass(cls, tokenizers.BytePairTokenizer):
        return ["vocabulary.json", "merges.txt"]
    if issubclass(cls, tokenizers.SentencePieceTokenizer):
        return ["vocabulary.spm"]
    return []


def _check_asset_size(folder, name, path, rows):
    size, most = path.stat().st_size, (1 << 20) + _BYTES_A_TOKEN * rows
    if size > most:
        raise ValueError(
            f"The file '{name}' of the preset folder '{folder}' has {size} "
            f"bytes, too many for a vocabulary of {rows} tokens. It is not "
            f"read. {FIX}"
        )


def _count_lines(path):
    # As keras-hub's WordPiece reads it: an empty line at the end is none.
    with open(path, "rb") as file:
        text = file.read()
    return text.count(b"\n") + (not text.endswith(b"\n") and bool(text))


def _check_transformers(folder: pathlib.Path, config: dict[str, Any]) -> None:
    kind = config.get("model_type")
    if kind not in _MODEL_TYPES:
        raise ValueError(
            f"The file '{CONFIG}' of the preset folder '{folder}' is neither "
            "that of a Keras preset (with a `registered_name`) nor that of a "
            f"text encoder of Hugging Face (with a `model_type` of "
            f"{', '.join(_MODEL_TYPES)}). Received: "
            f"model_type={arguments.shorten(kind)}. {FIX}"
        )
    check_transformers_sizes(folder, CONFIG, config, safetensors_shapes(folder))
    for name in _TRANSFORMERS_CONFIGS:
        if has_file(folder, name):
            found = read_object(folder, name)
            _check_length(folder, name, found, "max_seq_length")
    for name in (*_TRANSFORMERS_OTHERS, *_TRANSFORMERS_ASSETS):
        if has_file(folder, name):
            path = find_file(folder, name)
            _check_asset_size(folder, name, path, config["vocab_size"])
    if has_file(folder, "vocab.txt"):
        lines = _count_lines(folder / "vocab.txt")
        if lines > config["vocab_size"]:
            raise ValueError(
                f"The file 'vocab.txt' of the preset folder '{folder}' has "
                f"{lines} tokens, and the token embedding "
                f"{config['vocab_size']} rows. {FIX}"
            )
