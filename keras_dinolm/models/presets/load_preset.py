"""What comes before and after keras-hub loads a preset."""

from typing import Any

import keras

from keras_dinolm.models.presets.check_preset import check_preset
from keras_dinolm.models.presets.finite import check_finite
from keras_dinolm.models.presets.precision import read_policy
from keras_dinolm.models.presets.precision import settle_policies
from keras_dinolm.models.presets.preset_files import FIX
from keras_dinolm.models.presets.preset_files import local_folder
from keras_dinolm.typing import Path


def checked_options(
    preset: Path, options: dict[str, Any], needs_tokenizer: bool = False
) -> dict[str, Any]:
    """Checks a preset, and adds its precision to keyword arguments.

    Args:
        preset: string or path.
        options: keyword arguments of a `from_preset`.
        needs_tokenizer: bool. Whether a tokenizer must be there.

    Returns:
        The keyword arguments for keras-hub's `from_preset`.

    Raises:
        FileNotFoundError: if a local preset is not whole.
        ValueError: if a file of it must not be loaded.
    """
    check_preset(preset, needs_tokenizer)
    dtype = read_policy(local_folder(preset), options.get("dtype"))
    return options if dtype is None else {**options, "dtype": dtype}


def check_loaded(
    preset: Path, model: keras.Model, load_weights: bool = True
) -> None:
    """Raises if what was loaded cannot give right features.

    Args:
        preset: string or path.
        model: a backbone, or a task with `backbone` and `preprocessor`.
        load_weights: bool. Whether its weights were loaded.

    Raises:
        ValueError: if a weight is NaN or infinite, or the vocabulary has more
            tokens than the token embedding has rows.
    """
    settle_policies(getattr(model, "backbone", model))
    if load_weights:
        check_finite(model.weights, f"The preset '{preset}'", FIX)
    preprocessor = getattr(model, "preprocessor", None)
    if preprocessor is not None:
        check_vocabulary(f"The preset '{preset}'", model.backbone, preprocessor)


def check_vocabulary(
    where: str, backbone: keras.Model, preprocessor: Any
) -> None:
    """Raises if a tokenizer gives ids that the token embedding has not.

    Args:
        where: string. What has the two, for the message.
        backbone: backbone of a `TextEncoder`.
        preprocessor: keras-hub preprocessor. A tokenizer in it that has no
            vocabulary yet passes.

    Raises:
        ValueError: if it has too many tokens.
    """
    tokenizer = getattr(preprocessor, "tokenizer", None)
    # WordPiece and byte pairs have a vocabulary, SentencePiece has a proto.
    if all(
        getattr(tokenizer, name, None) is None
        for name in ("vocabulary", "proto")
    ):
        return
    tokens = tokenizer.vocabulary_size()
    rows = backbone.token_embedding.input_dim
    if tokens > rows:
        raise ValueError(
            f"{where} has a tokenizer of {tokens} tokens and a token embedding "
            f"of {rows} rows: the tokenizer is not the one that the encoder "
            "was trained with. Use that one, or make the backbone with "
            "`vocabulary_size=tokenizer.vocabulary_size()`."
        )
