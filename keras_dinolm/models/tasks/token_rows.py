"""The token ids of texts, cut to a length, without reading on in vain."""

import itertools
from typing import Any

# How many characters of a long text are read at first, for each token that
# there is room for.
_CHARACTERS = 32


def token_rows(
    tokenizer: Any, texts: list[str], limit: int
) -> tuple[list[list[int]], int]:
    """Ids of each text, at most `limit`, and how many texts had more.

    A text that is far longer is read up to a space behind the tokens there is
    room for: what follows a space changes no token before it.

    Args:
        tokenizer: tokenizer of keras-hub.
        texts: list of strings.
        limit: int. The most ids of a row.

    Returns:
        A list of lists of ids, and an int.
    """
    size = _CHARACTERS * (limit + 1)
    heads = [_head(text, size) for text in texts]
    rows = [list(row) for row in tokenizer.tokenize(heads)] if texts else []
    too_long = 0
    for index, (text, head) in enumerate(zip(texts, heads)):
        for turn in itertools.count(1):
            if len(rows[index]) > limit or len(head) == len(text):
                break
            head = _head(text, size << (3 * turn))
            [row] = tokenizer.tokenize([head])
            rows[index] = list(row)
        too_long += len(rows[index]) > limit
        rows[index] = rows[index][:limit]
    return rows, too_long


def _head(text, size):
    """The text up to the last space among its first characters."""
    if len(text) <= 2 * size:
        return text
    end = max(text.rfind(space, 0, size) for space in " \n\t")
    # Without a space, there is no place where one may cut.
    return text[:end] if end > 0 else text
