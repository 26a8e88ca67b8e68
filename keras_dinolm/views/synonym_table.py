"""Words that mean the same."""

import collections
from typing import Any

from keras_dinolm import arguments
from keras_dinolm.typing import Path
from keras_dinolm.views.replacement_table import ReplacementTable
from keras_dinolm.views.vocabulary import read_vocabulary
from keras_dinolm.views.vocabulary import special_ids


def synonym_table(path: Path, tokenizer: Any) -> ReplacementTable:
    """Reads a file of synonyms.

    Each line holds words that mean the same, with tabs between them; each is
    replaced by the others of its lines. Only words that are one token of the
    vocabulary can be used (as written, or else in lower case), since positions
    would be lost if the number of tokens changed. The table counts the other
    words, and words without a usable synonym.

    Args:
        path: str or path of the file, in UTF-8.
        tokenizer: a WordPiece tokenizer, such as `DinoLMTokenizer`.

    Returns:
        `ReplacementTable`, with `counts` of `"words"` (distinct ones in the
        file), `"not_one_token"` and `"without_synonym"`; the rest are used.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is not UTF-8, or the tokenizer has no
            vocabulary of words and pieces.

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
    path = arguments.path("path", path)
    vocabulary, prefix = read_vocabulary(tokenizer)
    special = special_ids(tokenizer, vocabulary)
    ids = {
        token: index
        for index, token in enumerate(vocabulary)
        if not token.startswith(prefix) and index not in special
    }
    words, found = set(), {}
    replacements = collections.defaultdict(set)
    for line in _read(path).splitlines():
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


def _read(path):
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"The file of synonyms '{path}' is not UTF-8 ({error.reason} at "
            f"byte {error.start}). Convert it: `iconv -f cp1252 -t utf-8 FILE`."
        ) from None
