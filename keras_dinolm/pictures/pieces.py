"""Tokens of any supported tokenizer as text."""

import functools
from collections.abc import Sequence

import keras_hub

CLS = "[CLS]"
_SENTENCE_PIECE_SPACE = "\u2581"
# For a token that is white space alone.
_OPEN_BOX = "\u2423"


class Pieces:
    """The text of each token id, and whether a word begins there.

    WordPiece marks pieces that continue a word (`##es`), SentencePiece and
    byte-level BPE those that begin one; people need neither mark.

    Args:
        tokenizer: a keras-hub tokenizer.
    """

    def __init__(self, tokenizer: keras_hub.tokenizers.Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._suffix_indicator = getattr(tokenizer, "suffix_indicator", None)
        self._is_byte_pair = isinstance(
            tokenizer, keras_hub.tokenizers.BytePairTokenizer
        )
        self._piece = functools.cache(self._read)

    def names(self, ids: Sequence[int]) -> list[str]:
        """A label for each token; a middle dot where a word continues."""
        pieces = [self._piece(i) for i in ids]
        return [text if begins else f"\u00b7{text}" for text, begins in pieces]

    def join(self, ids: Sequence[int]) -> str:
        """The tokens as running text, with a space wherever a word begins."""
        pieces = [self._piece(i) for i in ids]
        return "".join(
            f" {text}" if begins else text for text, begins in pieces
        )

    def join_marked(
        self, before: Sequence[int], ids: Sequence[int], after: Sequence[int]
    ) -> tuple[str, str, str]:
        """Three parts of a running text, the space between two of them kept.

        Args:
            before: ids.
            ids: ids of the part in the middle, which begins and ends without
                white space.
            after: ids.

        Returns:
            Three strings.
        """
        text = self.join(ids)
        gap = " " if before and text.startswith(" ") else ""
        return (
            self.join(before).lstrip() + gap,
            text.strip(),
            self.join(after).rstrip(),
        )

    def _read(self, token_id):
        """`(text, begins)` of a token."""
        if self._is_byte_pair:
            # Its tokens are bytes under other names; only it knows which.
            token = str(self._tokenizer.detokenize([token_id]))
            text, begins = token.strip(), token[:1].isspace()
        else:
            text = str(self._tokenizer.id_to_token(token_id))
            begins = True
            if self._suffix_indicator:
                begins = not text.startswith(self._suffix_indicator)
                text = text.removeprefix(self._suffix_indicator)
            elif hasattr(self._tokenizer, "proto"):
                begins = text.startswith(_SENTENCE_PIECE_SPACE)
                text = text.removeprefix(_SENTENCE_PIECE_SPACE)
        return text or _OPEN_BOX, begins
