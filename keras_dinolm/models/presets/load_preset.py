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
        check_vocabulary(
            preset, model.backbone, getattr(preprocessor, "tokenizer", None)
        )


def check_vocabulary(preset: Path, backbone: keras.Model, tokenizer: Any):
    """Raises if a tokenizer gives ids that the token embedding has not.

    Args:
        preset: string or path.
        backbone: backbone of a `TextEncoder`.
        tokenizer: keras-hub tokenizer, or `None`.

    Raises:
        ValueError: if it has too many tokens.
    """
    if tokenizer is None:
        return
    tokens, rows = (
        tokenizer.vocabulary_size(),
        backbone.token_embedding.input_dim,
    )
    if tokens > rows:
        raise ValueError(
            f"The tokenizer of the preset '{preset}' has {tokens} tokens, and "
            f"its token embedding {rows} rows: it is not the one that the "
            f"encoder was trained with. {FIX}"
        )
