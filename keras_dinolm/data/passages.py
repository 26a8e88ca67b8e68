"""Documents cut into short passages at the ends of sentences."""

import re

from keras_dinolm import arguments
from keras_dinolm.data.corpora.documents import Texts
from keras_dinolm.data.corpora.documents import read_documents
from keras_dinolm.text.sentences import split_sentences

# Kana, ideographs and what lies between stand alone as words.
_ALONE = "\u2e80-\ua4cf\uf900-\ufaff\U00020000-\U0003fffd"
_WORD = re.compile(f"[{_ALONE}]|[^\\s{_ALONE}]+")


def passages(
    texts: Texts,
    max_words: int = 32,
    min_words: int = 3,
    show_progress: bool = False,
) -> list[str]:
    """Cuts documents into short passages, at ends of sentences if possible.

    A fixed teacher reads a few sentences better than a whole document, whose
    one feature says little of each of them, and it costs less. Sentences that
    follow each other share a passage as long as they fit. A longer sentence
    is cut between words. Alternates of documents are left out.

    Args:
        texts: iterable of `str`, `Document`, or mappings with `"text"`.
        max_words: int. The most words of a passage. Ideographs and kana are
            words of their own. Defaults to `32`.
        min_words: int. Shorter passages are left out. Defaults to `3`.
        show_progress: bool. Whether to show a progress bar. Defaults to
            `False`.

    Returns:
        A list of str, in the order of the documents.

    Raises:
        ValueError: if an argument is out of its range, or no passage is left.

    Example:

    ```python
    import keras_dinolm as kd

    text = "One sentence of five words. Another one. A third has four."
    kd.data.passages([text], max_words=7)
    # ["One sentence of five words. Another one.", "A third has four."]
    ```
    """
    max_words = arguments.integer("max_words", max_words, 1)
    min_words = arguments.integer(
        "min_words", min_words, 1, max_words, meaning="at most `max_words`"
    )
    show_progress = arguments.flag("show_progress", show_progress)
    found: list[str] = []
    documents = read_documents(texts, "Cutting", show_progress, "texts")
    for document in documents:
        for passage, size in _passages(document.text, max_words):
            if size >= min_words:
                found.append(passage)
    if not found:
        raise ValueError(
            f"`texts` has no passage of at least `min_words`={min_words} words."
        )
    return found


def _passages(text, most):
    """Yields passages of a document, and how many words each has."""
    start = end = size = 0
    for first, last, words in _pieces(text, most):
        if size and size + words > most:
            yield text[start:end].strip(), size
            size = 0
        if not size:
            start = first
        end, size = last, size + words
    if size:
        yield text[start:end].strip(), size


def _pieces(text, most):
    """Yields where the sentences of a text, or parts of them, begin and end.

    With each comes its number of words, at most `most`.
    """
    place = 0
    for sentence in split_sentences(text):
        words = [match.start() for match in _WORD.finditer(sentence)]
        for first in range(0, len(words), most):
            after = first + most
            end = words[after] if after < len(words) else len(sentence)
            yield (
                place + words[first],
                place + end,
                min(len(words) - first, most),
            )
        place += len(sentence)
