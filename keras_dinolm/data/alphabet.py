"""The characters that a vocabulary can spell, the most frequent ones."""

import collections
from collections.abc import Mapping

# The share of a corpus that the chosen characters make up. Each other one makes
# a word unknown.
_COVERAGE = 0.9999


class Alphabet:
    """Characters of a corpus by frequency, and the first of them as chosen.

    A character takes an id at the start of a word, and another one inside if
    any word has it there. Ideographs are words of their own and take one.

    Args:
        words: mapping of each distinct word to how often it occurs.
        minimum_frequency: int. Rarer characters are not chosen, unless there
            are no others. They only fill what is left.
    """

    def __init__(self, words: Mapping[str, int], minimum_frequency: int):
        counts: dict[str, int] = collections.Counter()
        self._inside: set[str] = set()
        for word, count in words.items():
            self._inside.update(word[1:])
            for character in word:
                counts[character] += count
        self._counts = counts
        self._left = sorted(counts, key=lambda c: (-counts[c], c))
        frequent = sum(n >= minimum_frequency for n in counts.values())
        self._frequent = frequent or len(counts)
        self.characters: set[str] = set()

    def choose(self, size: int) -> None:
        """Chooses some of the most frequent characters."""
        size = min(size, self._frequent)
        self.characters.update(self._left[:size])
        self._left = self._left[size:]

    def choose_by_default(self, vocabulary_size: int) -> None:
        """Chooses as many characters as a vocabulary of some size should have.

        An eighth of the ids, but at least 128 characters (where there is
        room) and at most 1,000. A corpus that needs more of them to spell
        nearly all of its text gets more, within half of the ids.
        """
        room = max((vocabulary_size - 8) // 2, 1)
        least = min(max(vocabulary_size // 8, min(128, room)), 1_000)
        enough = _COVERAGE * sum(self._counts.values())
        size = ids = covered = 0
        for character in self._left:
            ids += self._ids(character)
            full = covered >= enough or ids > vocabulary_size // 2
            if size >= least and full:
                break
            covered += self._counts[character]
            size += 1
        self.choose(size)

    def fill(self, ids: int) -> bool:
        """Chooses further characters for unused ids.

        Args:
            ids: int. How many ids there are.

        Returns:
            Whether any character was left and found room.
        """
        size = len(self.characters)
        left = []
        for character in self._left:
            if self._ids(character) <= ids:
                ids -= self._ids(character)
                self.characters.add(character)
            else:
                left.append(character)
        self._left = left
        return len(self.characters) > size

    def pieces(self, prefix: str) -> list[str]:
        """The tokens of the chosen characters, in a fixed order.

        Args:
            prefix: string. What a token inside a word begins with.

        Returns:
            A list of strings.
        """
        inside = sorted(self.characters & self._inside)
        return sorted(self.characters) + [prefix + c for c in inside]

    def spells(self, word: str) -> bool:
        """Whether all characters of a word are chosen."""
        return self.characters.issuperset(word)

    def _ids(self, character):
        return 1 + (character in self._inside)
