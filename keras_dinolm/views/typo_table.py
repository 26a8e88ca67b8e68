"""Tokens that look like a slip of the pen."""

import collections
from typing import Any

from keras_dinolm.views.replacement_table import ReplacementTable
from keras_dinolm.views.vocabulary import read_vocabulary
from keras_dinolm.views.vocabulary import special_ids

# Shorter tokens have so many others one letter away that a reader could not
# guess what was meant.
_MIN_LETTERS = 4


def typo_table(tokenizer: Any) -> ReplacementTable:
    """Finds, for each token, the tokens that are one typo away.

    A typo leaves out, adds or changes a letter, or exchanges two neighbours.
    Views are cut from ids, whose letters cannot be changed. For a token of
    at least four letters, the vocabulary often has another that looks like a
    slip of the pen: another word ("form" for "from"), another ending ("##ing",
    "##ign"). Such a typo keeps the number of tokens and their positions. It is
    no model of everything that people mistype.

    Args:
        tokenizer: a WordPiece tokenizer, such as `DinoLMTokenizer`.

    Returns:
        `ReplacementTable`, with `counts` of `"tokens"` (all of the
        vocabulary) and `"with_typo"`.

    Raises:
        ValueError: if the tokenizer has no vocabulary of words and pieces.

    Example:

    ```python
    import keras_dinolm as kd

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = kd.models.DinoLMTokenizer([*vocabulary, "form", "from", "far"])
    table = kd.views.typo_table(tokenizer)
    table[5]  # [6]: "from" for "form"
    ```

    Reference:
        [Damerau, 1964](https://dl.acm.org/doi/10.1145/363958.363994)
    """
    vocabulary, prefix = read_vocabulary(tokenizer)
    special = special_ids(tokenizer, vocabulary)
    near = collections.defaultdict(set)
    for index, token in enumerate(vocabulary):
        goes_on = token.startswith(prefix)
        letters = token[len(prefix) :] if goes_on else token
        if (
            index in special
            or len(letters) < _MIN_LETTERS
            or not letters.isalpha()
        ):
            continue
        # Words one typo apart have a form with a letter less in common.
        near[goes_on, letters].add((index, letters))
        for i in range(len(letters)):
            shorter = letters[:i] + letters[i + 1 :]
            near[goes_on, shorter].add((index, letters))
    replacements = collections.defaultdict(set)
    for tokens in near.values():
        for index, letters in tokens:
            for other, other_letters in tokens:
                if _one_typo(letters, other_letters):
                    replacements[index].add(other)
    return ReplacementTable.of(
        {token: sorted(others) for token, others in replacements.items()},
        len(vocabulary),
        {"tokens": len(vocabulary), "with_typo": len(replacements)},
    )


def _one_typo(a, b):
    """Whether two words are one omission, change or exchange apart."""
    if abs(len(a) - len(b)) > 1:
        return False
    if len(a) != len(b):
        a, b = sorted((a, b), key=len)
        return any(b[:i] + b[i + 1 :] == a for i in range(len(b)))
    wrong = [i for i in range(len(a)) if a[i] != b[i]]
    if len(wrong) == 2:
        i, j = wrong
        return j == i + 1 and a[i] == b[j] and a[j] == b[i]
    return len(wrong) == 1
