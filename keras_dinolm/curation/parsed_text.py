"""A text that is parsed once for all rules that measure it."""

import collections
import functools
import re
from collections.abc import Collection

from keras_dinolm.text.sentences import split_sentences

# A word stands between white space; punctuation around it is no part of it.
_WORD = re.compile(r"[^\W_](?:\S*[^\W_])?")
_BULLETS = ("•", "‣", "-", "*")
_ELLIPSES = ("...", "…")
_TERMINAL = (".", "?", "!", '"', "'")
_POLICIES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)


class ParsedText:
    """What rules measure.

    A *word* is what stands between white space, without the punctuation around
    it, in lower case; punctuation alone is none. A *line* is one with more than
    white space in it. Shares are of the characters of all words (or of all
    lines), and are 0 where there are none.

    Attributes:
        text: str.
        words, lines, paragraphs: lists of str.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._repeated: dict[int, float] = {}

    @functools.cached_property
    def words(self) -> list[str]:
        return _WORD.findall(self.text.lower())

    @functools.cached_property
    def lines(self) -> list[str]:
        return _not_blank(self.text.splitlines())

    @functools.cached_property
    def paragraphs(self) -> list[str]:
        return _not_blank(re.split(r"\n\s*\n", self.text))

    @functools.cached_property
    def _lengths(self):
        return [len(word) for word in self.words]

    # === Words ===

    def mean_word_length(self) -> float:
        return _ratio(sum(self._lengths), len(self.words))

    def alphabetic_words(self) -> float:
        """The share of words with a letter in them."""
        return _ratio(
            sum(any(map(str.isalpha, word)) for word in self.words),
            len(self.words),
        )

    def stop_words(self, words: Collection[str]) -> int:
        """How many of the given words occur."""
        return len(set(words).intersection(self.words))

    def per_word(self, *symbols: str) -> float:
        """Occurrences of symbols for each word."""
        count = sum(map(self.text.count, symbols))
        return _ratio(count, len(self.words), empty=float(count))

    # === Lines ===

    def bullet_lines(self) -> float:
        starts = sum(line.startswith(_BULLETS) for line in self.lines)
        return _ratio(starts, len(self.lines))

    def ellipses(self) -> float:
        return self.per_word(*_ELLIPSES)

    def ellipsis_lines(self) -> float:
        ends = sum(line.endswith(_ELLIPSES) for line in self.lines)
        return _ratio(ends, len(self.lines))

    def prose_sentences(
        self, minimum_words: int, maximum_length: int, wrapped: bool
    ) -> int:
        """Sentences in lines that C4 takes for prose."""
        lines = self.lines
        if wrapped:
            lines = [" ".join(part.split()) for part in self.paragraphs]
        return sum(
            len(split_sentences(line))
            for line in lines
            if _is_prose(line, minimum_words, maximum_length)
        )

    # === Repetition ===

    def repeated_lines(self) -> float:
        return _repeated(self.lines)[0]

    def repeated_line_characters(self) -> float:
        return _repeated(self.lines)[1]

    def repeated_paragraphs(self) -> float:
        return _repeated(self.paragraphs)[0]

    def repeated_paragraph_characters(self) -> float:
        return _repeated(self.paragraphs)[1]

    def top_ngram(self, n: int) -> float:
        """The share of the most frequent run of n words, if it comes again."""
        grams = self._ngrams(n)
        counts = collections.Counter(grams)
        if len(counts) == len(grams):
            return 0.0

        def rank(gram):
            return counts[gram], sum(map(len, gram))

        top = max(counts, key=rank)
        return self._share(
            n, (i for i, gram in enumerate(grams) if gram == top)
        )

    def repeated_ngrams(self, n: int) -> float:
        """The share of runs of n words that occurred before."""
        if n not in self._repeated:
            self._repeated[n] = self._find_repeated(n)
        return self._repeated[n]

    def _find_repeated(self, n):
        # If no shorter run comes again, no longer one does.
        if self._repeated.get(n - 1) == 0.0:
            return 0.0
        seen, places = set(), []
        for place, gram in enumerate(self._ngrams(n)):
            if gram in seen:
                places.append(place)
            seen.add(gram)
        return self._share(n, places)

    def _ngrams(self, n):
        return list(zip(*(self.words[i:] for i in range(n))))

    def _share(self, n, places):
        """The share of characters in runs of n words, each counted once."""
        covered = set()
        for place in places:
            covered.update(range(place, place + n))
        lengths = self._lengths
        return _ratio(sum(lengths[i] for i in covered), sum(lengths))


def _not_blank(pieces):
    return [piece.strip() for piece in pieces if piece.strip()]


def _ratio(count, total, empty=0.0):
    return count / total if total else empty


def _is_prose(line, minimum_words, maximum_length):
    lower = line.lower()
    words = line.split()
    return (
        line.endswith(_TERMINAL)
        and not line.endswith("...")
        and len(words) >= minimum_words
        and max(map(len, words)) <= maximum_length
        and "javascript" not in lower
        and not any(policy in lower for policy in _POLICIES)
    )


def _repeated(pieces):
    """Shares of pieces that occurred before, and of their characters."""
    seen, count, characters = set(), 0, 0
    for piece in pieces:
        if piece in seen:
            count += 1
            characters += len(piece)
        seen.add(piece)
    total = sum(map(len, pieces))
    return _ratio(count, len(pieces)), _ratio(characters, total)
