"""Which tokens may stand in for a token: synonyms and typos.

A view's tokens keep their positions, so that a replacement must have as many
tokens as what it replaces. Both tables here are about single tokens.
"""

import collections
import dataclasses
import pathlib

import numpy as np

from keras_dinolm.views.special_tokens import SpecialTokens

# Shorter tokens have so many others one letter away that a reader could not
# guess what was meant.
_MIN_LETTERS = 4


@dataclasses.dataclass(frozen=True, eq=False)
class ReplacementTable:
    """Replacements of each token; made by `synonym_table` and `typo_table`.

    Args:
        ends: int array `[vocabulary size]`. Where the replacements of each
            token end in `choices`; they begin where the token's before end.
        choices: int array, not empty. Ids of the replacements.
        counts: dictionary of int. What was read, and what could be used.

    Example:

    ```python
    import keras_dinolm as kd

    # Tokens 5 and 6 stand for each other.
    table = kd.views.ReplacementTable.of({5: [6], 6: [5]}, 10)
    table[5]  # [6]
    ```
    """

    ends: np.ndarray
    choices: np.ndarray
    counts: dict = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, replacements, vocabulary_size, counts=None):
        """Makes a table of a dictionary.

        Args:
            replacements: `{id: ids}`.
            vocabulary_size: int.
            counts: as for the class.

        Returns:
            `ReplacementTable`.

        Raises:
            ValueError: if an id is not in the vocabulary, or a token has 2^15
                replacements or more.
        """
        ids = [i for pair in replacements.items() for i in (pair[0], *pair[1])]
        if ids and not 0 <= min(ids) <= max(ids) < vocabulary_size:
            raise ValueError(
                "`replacements` must hold ids in [0, vocabulary_size). "
                f"Received: ids from {min(ids)} to {max(ids)} with "
                f"vocabulary_size={vocabulary_size}"
            )
        sizes = np.zeros(vocabulary_size, "int64")
        for token, others in replacements.items():
            sizes[token] = len(others)
        if sizes.max(initial=0) >= 1 << 15:
            raise ValueError(
                "`replacements` must hold fewer than 32768 for a token. "
                f"Received: {sizes.max()} for token {sizes.argmax()}"
            )
        choices = [
            i for token in sorted(replacements) for i in replacements[token]
        ]
        # Never empty, so that there is something to look up in vain.
        return cls(
            np.cumsum(sizes).astype("int32"),
            np.array(choices or [0], "int32"),
            dict(counts or {}),
        )

    def __getitem__(self, token):
        """The list of a token's replacements."""
        begin = self.ends[token - 1] if token else 0
        return self.choices[begin : self.ends[token]].tolist()

    def get_config(self):
        """A JSON-serialisable dictionary; the arrays as hexadecimal bytes."""
        return {
            "ends": self.ends.astype("<i4").tobytes().hex(),
            "choices": self.choices.astype("<i4").tobytes().hex(),
            "counts": dict(self.counts),
        }

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        ends, choices = (
            np.frombuffer(bytes.fromhex(config[name]), "<i4").astype("int32")
            for name in ("ends", "choices")
        )
        return cls(ends, choices, dict(config["counts"]))


def synonym_table(path, tokenizer):
    """Reads a file of synonyms.

    Each line holds words that mean the same, with tabs between them; each is
    replaced by the others of its lines. Only words that are one token of the
    vocabulary can be used (looked up as written, else in lower case), since
    positions would be lost if the number of tokens changed. The other words,
    and words that no usable one is left for, are counted.

    Args:
        path: str or path of the file, in UTF-8.
        tokenizer: a WordPiece tokenizer, such as `DinoLMTokenizer`.

    Returns:
        `ReplacementTable`, with `counts` of `"words"` (distinct ones in the
        file), `"not_one_token"` and `"without_synonym"`; the rest are used.

    Raises:
        ValueError: if the tokenizer has no vocabulary of words and pieces.

    Example:

    ```python
    import pathlib
    import keras_dinolm as kd

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = kd.models.DinoLMTokenizer([*vocabulary, "big", "large", "red"])
    pathlib.Path("synonyms.tsv").write_text("big\\tlarge\\tsizeable\\n")
    table = kd.views.synonym_table("synonyms.tsv", tokenizer)
    table[5]  # [6]: "large" for "big"
    table.counts  # {"words": 3, "not_one_token": 1, "without_synonym": 0}
    ```

    Reference:
        [EDA](https://arxiv.org/abs/1901.11196)
    """
    vocabulary, prefix = _vocabulary(tokenizer)
    special = _special_ids(tokenizer, vocabulary)
    ids = {
        token: index
        for index, token in enumerate(vocabulary)
        if not token.startswith(prefix) and index not in special
    }
    words, found = set(), {}
    replacements = collections.defaultdict(set)
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        line_words = {word.strip() for word in line.split("\t")} - {""}
        words |= line_words
        line_ids = set()
        for word in line_words:
            index = ids.get(word, ids.get(word.lower()))
            if index is not None:
                found[word] = index
                line_ids.add(index)
        for index in line_ids:
            replacements[index] |= line_ids - {index}
    alone = [word for word, index in found.items() if not replacements[index]]
    return ReplacementTable.of(
        {token: sorted(others) for token, others in replacements.items()},
        len(vocabulary),
        {
            "words": len(words),
            "not_one_token": len(words) - len(found),
            "without_synonym": len(alone),
        },
    )


def typo_table(tokenizer):
    """Finds, for each token, the tokens that are one typo away.

    A letter left out, added, changed, or two neighbours exchanged. Views are
    cut from ids, whose letters cannot be touched; but for tokens of at least
    four letters the vocabulary often has one that looks like a slip of the
    pen: another word ("form" for "from"), another ending ("##ing", "##ign").
    So a typo keeps the number of tokens and their positions; it is not a
    draw from all that people mistype.

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
    vocabulary, prefix = _vocabulary(tokenizer)
    special = _special_ids(tokenizer, vocabulary)
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


def _vocabulary(tokenizer):
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


def _special_ids(tokenizer, vocabulary):
    special = SpecialTokens.of(tokenizer)
    ids = {special.pad_token_id, special.cls_token_id, special.mask_token_id}
    # Also those that views do not know: [UNK], [SEP], [unused7].
    return ids | {
        index
        for index, token in enumerate(vocabulary)
        if len(token) > 2 and token[0] == "[" and token[-1] == "]"
    }
