"""What the views need to know of a tokenizer."""

import dataclasses
import unicodedata
from typing import Any

import keras
import numpy as np

from keras_dinolm import arguments
from keras_dinolm.views.compared_by_config import ComparedByConfig
from keras_dinolm.views.compared_by_config import from_hex

_TABLES = ("continues", "punctuation", "sentence_ends")
_SENTENCE_ENDS = frozenset(".!?\u2026\u3002\uff01\uff1f\u0964")


@keras.saving.register_keras_serializable(package="keras_dinolm")
@dataclasses.dataclass(frozen=True, eq=False)
class SpecialTokens(ComparedByConfig):
    """Ids of the special tokens, and which tokens are pieces or marks.

    `TextViews` takes one of these in place of a tokenizer, for token ids that
    no tokenizer of this package made.

    Args:
        pad_token_id: int. Fills views up to their width.
        cls_token_id: int. Begins each view.
        mask_token_id: int. Takes the place of masked tokens.
        continues: bool array `[vocabulary size]`, or `None`. True for tokens
            that belong to the word of the token before them, such as `##ing`.
            `None` makes each token a word of its own.
        punctuation: bool array `[vocabulary size]`, or `None`. True for
            punctuation marks. Needed to remove them.
        sentence_ends: bool array `[vocabulary size]`, or `None`. True for
            marks that end a sentence. Needed to shuffle sentences.

    Raises:
        ValueError: if an id is not an integer from 0 on, or a table is no
            array of bool.

    Example:

    ```python
    import keras_dinolm as kd

    special_tokens = kd.views.SpecialTokens(
        pad_token_id=0, cls_token_id=1, mask_token_id=2
    )
    views = kd.views.TextViews(special_tokens, sequence_length=128)
    ```
    """

    pad_token_id: int
    cls_token_id: int
    mask_token_id: int
    continues: np.ndarray | None = None
    punctuation: np.ndarray | None = None
    sentence_ends: np.ndarray | None = None

    def __post_init__(self):
        for name in ("pad_token_id", "cls_token_id", "mask_token_id"):
            value = arguments.count(
                name,
                getattr(self, name),
                0,
                meaning="the token's id in the vocabulary",
            )
            object.__setattr__(self, name, value)
        for name in _TABLES:
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _as_table(name, value))

    @classmethod
    def of(cls, tokenizer: Any) -> "SpecialTokens":
        """Reads them off a tokenizer.

        Args:
            tokenizer: `SpecialTokens`, or an object with `pad_token_id`,
                `mask_token_id`, and `cls_token_id` or `start_token_id`. Which
                tokens continue a word, and which are punctuation, is known
                for keras-hub's WordPiece tokenizers.

        Returns:
            `SpecialTokens`.

        Raises:
            ValueError: if one of the ids is missing.
        """
        if isinstance(tokenizer, cls):
            return tokenizer
        ids: dict = {}
        for name, *others in (
            ("pad_token_id",),
            ("cls_token_id", "start_token_id"),
            ("mask_token_id",),
        ):
            found = [getattr(tokenizer, n, None) for n in (name, *others)]
            found = [value for value in found if value is not None]
            if not found:
                raise ValueError(
                    f"`tokenizer` has no `{name}`, which views need. Pass a "
                    "`keras_dinolm.models.DinoLMTokenizer`, or "
                    "`keras_dinolm.views.SpecialTokens(pad_token_id=..., "
                    "cls_token_id=..., mask_token_id=...)`. "
                    f"Received: tokenizer={tokenizer!r}"
                )
            ids[name] = int(found[0])
        prefix = getattr(tokenizer, "suffix_indicator", None)
        if prefix:
            vocabulary = tokenizer.get_vocabulary()
            tests = (
                lambda token: token.startswith(prefix),
                _is_punctuation,
                lambda token: bool(token) and set(token) <= _SENTENCE_ENDS,
            )
            for name, test in zip(_TABLES, tests):
                ids[name] = np.array([test(token) for token in vocabulary])
        return cls(**ids)

    def get_config(self) -> dict:
        """A JSON-serialisable dictionary; tables as hexadecimal bits."""
        config: dict = {
            "pad_token_id": self.pad_token_id,
            "cls_token_id": self.cls_token_id,
            "mask_token_id": self.mask_token_id,
        }
        for name in _TABLES:
            table = getattr(self, name)
            if table is not None:
                config["vocabulary_size"] = len(table)
                config[name] = np.packbits(table).tobytes().hex()
        return config

    @classmethod
    def from_config(cls, config: dict) -> "SpecialTokens":
        """The inverse of `get_config`.

        Args:
            config: dict.

        Returns:
            `SpecialTokens`.
        """
        config = dict(config)
        size = config.pop("vocabulary_size", None)
        for name in _TABLES:
            if name in config:
                packed = from_hex(name, config[name], "u1")
                size = arguments.count("vocabulary_size", size)
                if not 0 <= 8 * len(packed) - size < 8:
                    arguments.refuse(
                        "vocabulary_size", size, f"the tokens of `{name}`"
                    )
                config[name] = np.unpackbits(packed, count=size) != 0
        return cls(**config)


def _as_table(name, value):
    """An array of bool, one a token of the vocabulary, or an error."""
    table = np.asarray(value)
    if table.ndim != 1 or not table.size or table.dtype != bool:
        arguments.refuse(name, value, "an array of bool, one for each token")
    return table


def _is_punctuation(token):
    return bool(token) and all(
        unicodedata.category(character).startswith("P") for character in token
    )
