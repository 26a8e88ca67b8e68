"""What each token of a vocabulary spells, whatever the kind of tokenizer."""

import functools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_dinolm import arguments
from keras_dinolm.text.piece_spans import piece_spans

WORD_PIECE, BYTES, WORDS_WITH_SPACES = "WordPiece", "bytes", "spaces"
_SPACE = "\u2581"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


def piece_bytes(tokenizer: Any) -> list[bytes | None]:
    """The UTF-8 bytes that each token of a keras-hub tokenizer stands for.

    Args:
        tokenizer: a `DinoLMTokenizer`, or a WordPiece, byte-pair or
            SentencePiece tokenizer of keras-hub.

    Returns:
        List, one entry an id. `None` for a token that stands for no text of
        its own: `[UNK]` and other special tokens.

    Raises:
        ValueError: for another kind of tokenizer.
    """
    import keras_hub

    kinds = keras_hub.tokenizers
    if isinstance(tokenizer, kinds.WordPieceTokenizer):
        tokens = list(tokenizer.get_vocabulary())
        mark, kind = tokenizer.suffix_indicator, WORD_PIECE
    elif isinstance(tokenizer, kinds.BytePairTokenizer):
        size = max(tokenizer.vocabulary.values()) + 1
        tokens = [""] * size
        for token, index in tokenizer.vocabulary.items():
            tokens[index] = token
        mark, kind = "", BYTES
    elif isinstance(tokenizer, kinds.SentencePieceTokenizer):
        tokens = list(tokenizer.get_vocabulary())
        mark, kind = "", WORDS_WITH_SPACES
    else:
        arguments.refuse(
            "tokenizer",
            tokenizer,
            "a WordPiece, byte-pair or SentencePiece tokenizer of keras-hub",
        )
    special = _special(tokenizer)
    return [
        None if token in special else bytes_of(token, kind, mark)
        for token in tokens
    ]


def bytes_of(token: str, kind: str, mark: str = "##") -> bytes:
    """The UTF-8 bytes that a token stands for.

    Args:
        token: str, as the vocabulary has it.
        kind: `"WordPiece"`, `"bytes"` (byte-level pairs) or `"spaces"`
            (SentencePiece).
        mark: str. What begins a WordPiece token that continues a word.
    """
    if kind == WORD_PIECE:
        return token.removeprefix(mark).encode("utf-8", "surrogatepass")
    if kind == BYTES:
        table = _byte_of_letter()
        if all(letter in table for letter in token):
            return bytes(table[letter] for letter in token)
        return token.encode("utf-8", "surrogatepass")
    byte = _BYTE.fullmatch(token)
    if byte:
        return bytes([int(byte[1], 16)])
    return token.replace(_SPACE, " ").encode("utf-8", "surrogatepass")


def plain_pieces(tokenizer: Any) -> list[str]:
    """The tokens of a vocabulary as plain strings, as texts of their own.

    A table of tokens starts from what a teacher says of each of them alone.

    Args:
        tokenizer: a `DinoLMTokenizer`, or a WordPiece, byte-pair or
            SentencePiece tokenizer of keras-hub.

    Returns:
        List of str, one an id: without `"##"`, and with the characters of
        byte-level tokens. Empty for special tokens and parts of characters.

    Raises:
        ValueError: for another kind of tokenizer.

    Example:

    ```python
    import keras_dinolm as kd

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = kd.models.DinoLMTokenizer([*special, "talk", "##ing"])
    kd.teachers.plain_pieces(tokenizer)[5:]  # ["talk", "ing"]
    ```
    """
    return [as_text(piece) for piece in piece_bytes(tokenizer)]


def as_text(piece: bytes | None) -> str:
    """The bytes of a token as a text; empty if they are none."""
    try:
        return "" if piece is None else piece.decode("utf-8").strip()
    except UnicodeDecodeError:
        return ""


class TokenSpans:
    """Where the tokens of texts lie in them, for one keras-hub tokenizer.

    Args:
        tokenizer: as for `piece_bytes`.
    """

    def __init__(self, tokenizer: Any):
        self.pieces = piece_bytes(tokenizer)

    def __call__(self, text: str, ids: Sequence[int]) -> np.ndarray:
        """Spans of the tokens of a text: int32 `[tokens, 2]`.

        Args:
            text: str.
            ids: the ids of its tokens, or of the first ones.
        """
        return piece_spans(text, [self.pieces[index] for index in ids])


def _special(tokenizer):
    """Tokens that no text is spelled with."""
    special = set(getattr(tokenizer, "special_tokens", None) or ())
    for name in ("oov_token", "unk_token"):
        special.add(getattr(tokenizer, name, None))
    return special | {"<unk>", "[UNK]"}


@functools.cache
def _byte_of_letter():
    """The byte that each letter of a byte-level vocabulary stands for.

    Bytes that print are letters themselves, and the others are the letters
    from 256 on, in their order (GPT-2).
    """
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printed]
    table = {chr(byte): byte for byte in printed}
    return table | {chr(256 + n): byte for n, byte in enumerate(others)}
