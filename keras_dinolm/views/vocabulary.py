"""The vocabulary of a WordPiece tokenizer, as the tables read it."""

from typing import Any

from keras_dinolm.views.special_tokens import SpecialTokens


def read_vocabulary(tokenizer: Any) -> tuple[list[str], str]:
    """The tokens of a WordPiece tokenizer, and what marks a word's pieces.

    Args:
        tokenizer: object with `get_vocabulary` and `suffix_indicator`.

    Returns:
        Pair of a list of str, and a str such as `"##"`.

    Raises:
        ValueError: if the tokenizer has none.
    """
    prefix = getattr(tokenizer, "suffix_indicator", None)
    if not prefix or not hasattr(tokenizer, "get_vocabulary"):
        raise ValueError(
            "`tokenizer` must be a WordPiece tokenizer, with `get_vocabulary` "
            "and a `suffix_indicator`, such as "
            "`keras_dinolm.models.DinoLMTokenizer`. For others, make a "
            "`keras_dinolm.views.ReplacementTable.of({id: ids}, size)`. "
            f"Received: tokenizer={tokenizer!r}"
        )
    return list(tokenizer.get_vocabulary()), prefix


def special_ids(tokenizer: Any, vocabulary: list[str]) -> set[int]:
    """Ids of the special tokens, which nothing replaces and which replace none.

    Args:
        tokenizer: as for `SpecialTokens.of`.
        vocabulary: list of str. All tokens.

    Returns:
        Set of int.
    """
    special = SpecialTokens.of(tokenizer)
    ids = {special.pad_token_id, special.cls_token_id, special.mask_token_id}
    # Also those that views do not know: [UNK], [SEP], [unused7].
    return ids | {
        index
        for index, token in enumerate(vocabulary)
        if len(token) > 2 and token[0] == "[" and token[-1] == "]"
    }
