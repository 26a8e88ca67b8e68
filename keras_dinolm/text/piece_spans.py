"""Where the tokens of a text lie in it, in characters, for any tokenizer."""

import functools
import unicodedata
from collections.abc import Sequence

import numpy as np

# A piece that is not where it should be is looked for in as many letters.
_REACH = 64
# After an unknown token, as many of the next pieces must be found together.
_AHEAD = 4


def piece_spans(text: str, pieces: Sequence[bytes | None]) -> np.ndarray:
    """Finds the characters of a text that each of its tokens stands for.

    Tokenizers change case and accents, drop white space, and have tokens for
    what they do not know. So pieces that spell the very bytes of the text are
    counted off, and all others are found in order, without regard to case,
    accents and white space. An unknown token takes what lies between its
    neighbours.

    Args:
        text: str.
        pieces: the UTF-8 bytes that each token stands for, or a part of a
            character's bytes; `None` for a token that stands for anything.
            They may end before the text does.

    Returns:
        int32 `[pieces, 2]`: the first character of each token, and the one
        after its last. Both are equal for a token that stands for nothing.

    Example:

    ```python
    from keras_dinolm.text.piece_spans import piece_spans

    spans = piece_spans("Déjà vu!", [b"deja", b"v", None])
    assert spans.tolist() == [[0, 4], [5, 6], [6, 8]]
    ```
    """
    spans = _exact_spans(text, pieces)
    return _found_spans(text, pieces) if spans is None else spans


def _exact_spans(text, pieces):
    """Spans of pieces that spell the text byte by byte, or `None`."""
    if not len(pieces) or None in pieces:
        return None
    data = text.encode("utf-8", "surrogatepass")
    spelled = b"".join(pieces)
    added = 0
    if not data.startswith(spelled):
        # Some tokenizers put a space before the first word.
        if not (b" " + data).startswith(spelled):
            return None
        added = 1
    ends = np.cumsum([len(piece) for piece in pieces])
    starts = np.concatenate([[0], ends[:-1]])
    starts = np.maximum(starts - added, 0)
    ends = np.maximum(ends - added, starts)
    if len(data) != len(text):
        sizes = [
            len(letter.encode("utf-8", "surrogatepass")) for letter in text
        ]
        owner = np.append(np.repeat(np.arange(len(text)), sizes), len(text))
        full = ends > starts
        starts = owner[starts]
        ends = np.where(full, owner[ends - 1] + 1, starts)
    return np.stack([starts, ends], 1).astype("int32")


def _found_spans(text, pieces):
    letters, places = _letters(text)
    groups = _whole_letters(pieces)
    # In letters; -1 is not known yet.
    found = np.full((len(groups), 2), -1, dtype="int64")
    cursor, waiting = 0, []
    for number, (_, word) in enumerate(groups):
        if word is None:
            waiting.append(number)
            continue
        if waiting:
            start = _start_after_unknown(
                letters, cursor + 1, [word for _, word in groups[number:]]
            )
        elif letters.startswith(word, cursor):
            start = cursor
        else:
            start = letters.find(word, cursor, cursor + _REACH + len(word))
        if start < 0:
            # The tokenizer turned it into something else.
            waiting.append(number)
            continue
        _share(found, waiting, cursor, start, text, places)
        waiting = []
        cursor = start + len(word)
        found[number] = start, cursor
    _share(found, waiting, cursor, len(letters), text, places)
    spans = np.zeros((len(pieces), 2), dtype="int32")
    for (indices, _), (start, end) in zip(groups, found):
        if end > start:
            spans[indices] = places[start], places[end - 1] + 1
        else:
            here = places[start] if start < len(places) else len(text)
            spans[indices] = here, here
    return spans


def _start_after_unknown(letters, least, words):
    """Where the pieces after an unknown token begin, or -1."""
    ahead = []
    for word in words[:_AHEAD]:
        if word is None:
            break
        ahead.append(word)
    for count in range(len(ahead), 0, -1):
        joined = "".join(ahead[:count])
        start = letters.find(joined, least) if joined else least - 1
        if start >= 0:
            return start
    return -1


def _share(found, waiting, start, end, text, places):
    """Gives the letters between known tokens to those that are not known."""
    if not waiting:
        return
    # One token a word, if there are as many.
    for marks_are_words in (False, True):
        words = [
            place
            for place in range(start, end)
            if place == start or _parts(text, places, place, marks_are_words)
        ]
        if len(words) == len(waiting):
            break
    else:
        words = np.linspace(start, end, len(waiting) + 1).astype(int)[:-1]
    bounds = [*words, max(end, start)]
    for number, first, last in zip(waiting, bounds, bounds[1:]):
        found[number] = first, last


def _parts(text, places, place, marks_are_words):
    """Whether a word begins at a letter."""
    before, here = places[place - 1], places[place]
    if here > before + 1:
        return True
    marks = not (text[before].isalnum() and text[here].isalnum())
    return marks_are_words and marks and here > before


def _whole_letters(pieces):
    """Pairs of the indices of tokens and the letters that they spell.

    Tokens that are parts of one character's bytes are one group.
    """
    groups, indices, data = [], [], b""
    for index, piece in enumerate(pieces):
        if piece is None:
            if indices:
                groups.append((indices, None))
                indices, data = [], b""
            groups.append(([index], None))
            continue
        indices, data = [*indices, index], data + piece
        try:
            word = _letters(data.decode("utf-8", "surrogatepass"))[0]
        except UnicodeDecodeError:
            if len(data) < 4:
                continue
            word = None
        groups.append((indices, word))
        indices, data = [], b""
    if indices:
        groups.append((indices, None))
    return groups


def _letters(text):
    """The letters of a text that count, and the place of each in it."""
    if text.isascii():
        places = [i for i, c in enumerate(text) if c.isprintable() and c != " "]
        lowered = text.lower()
        return "".join([lowered[i] for i in places]), places
    letters: list[str] = []
    places = []
    for index, character in enumerate(text):
        folded = _fold(character)
        letters.append(folded)
        places += [index] * len(folded)
    return "".join(letters), places


@functools.lru_cache(maxsize=1 << 16)
def _fold(character):
    """A character without case, accents and all that shows nothing."""
    return "".join(
        letter
        for letter in unicodedata.normalize("NFKD", character).lower()
        if letter != "\ufffd"
        and unicodedata.category(letter)[0] not in "ZC"
        and unicodedata.category(letter) != "Mn"
    )
