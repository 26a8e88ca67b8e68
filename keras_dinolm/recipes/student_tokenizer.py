"""The vocabulary of a teacher, for its student."""

import json
import os
import pathlib
from typing import Any

import keras_hub

from keras_dinolm import arguments
from keras_dinolm.models import DinoLMTokenizer
from keras_dinolm.models.tasks.tokenizer import SPECIAL_TOKENS

# Of a larger vocabulary, most tokens are of other languages, and a table of
# them would be many times as large as the blocks.
LARGEST = 65_536


def tokenizer_of(
    teacher: Any, given: Any = None
) -> keras_hub.tokenizers.Tokenizer | None:
    """A tokenizer with the vocabulary of a teacher.

    WordPiece becomes a `DinoLMTokenizer` of the same pieces. Other kinds are
    keras-hub's tokenizers.

    Args:
        teacher: `keras_dinolm.teachers.Teacher`.
        given: what the teacher was made of. Where this is the folder of a
            model, keras-hub reads its tokenizer.

    Returns:
        A tokenizer, or `None` if the teacher has none that can be read.
    """
    tokenizer = getattr(teacher, "tokenizer", None)
    if isinstance(tokenizer, DinoLMTokenizer):
        return tokenizer
    if isinstance(tokenizer, keras_hub.tokenizers.WordPieceTokenizer):
        return _word_piece(
            list(tokenizer.get_vocabulary()),
            set(tokenizer.special_tokens or ()),
            tokenizer.suffix_indicator,
            bool(tokenizer.lowercase),
            bool(tokenizer.strip_accents),
        )
    if isinstance(tokenizer, keras_hub.tokenizers.Tokenizer):
        return tokenizer
    found = _of_hugging_face(tokenizer)
    if found is None and isinstance(given, str | os.PathLike):
        found = _of_folder(given)
    return found


def check_vocabulary(vocabulary: str) -> str:
    """Raises unless it says whose vocabulary the student has.

    Args:
        vocabulary: string.

    Returns:
        The string.
    """
    return arguments.choice(
        "vocabulary", vocabulary, ("auto", "own", "teacher")
    )


def _word_piece(vocabulary, special, mark, lowercase, strip_accents):
    if mark != "##":
        return None
    special |= set(SPECIAL_TOKENS)
    pieces = [
        piece
        for piece in vocabulary
        if piece not in special and not piece.startswith("[unused")
    ]
    return DinoLMTokenizer([*SPECIAL_TOKENS, *pieces], lowercase, strip_accents)


def _of_hugging_face(tokenizer):
    """A `DinoLMTokenizer` of a fast tokenizer of transformers."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    described = json.loads(backend.to_str())
    model, normalizer = described["model"], described.get("normalizer") or {}
    if model.get("type") != "WordPiece":
        return None
    lowercase = bool(normalizer.get("lowercase", False))
    strip = normalizer.get("strip_accents")
    ordered = sorted(model["vocab"], key=model["vocab"].get)
    return _word_piece(
        ordered,
        set(tokenizer.all_special_tokens),
        model.get("continuing_subword_prefix", "##"),
        lowercase,
        lowercase if strip is None else bool(strip),
    )


def _of_folder(given):
    """What keras-hub reads of a folder of Hugging Face, or `None`."""
    if not pathlib.Path(given).is_dir():
        return None
    try:
        return keras_hub.tokenizers.Tokenizer.from_preset(str(given))
    except (ValueError, OSError, KeyError):
        return None
