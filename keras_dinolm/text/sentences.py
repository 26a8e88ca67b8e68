"""Splitting a text into sentences."""

import re

# The end of a sentence is white space after a full stop (with closing quotes
# or brackets), or a blank line. Splitting only at white space leaves the ids
# of a text what they are without splitting.
_SENTENCE_END = re.compile(r"(?<=[.!?。！？])[\"'”’)\]]*\s+|\n\s*\n")


def split_sentences(text: str) -> list[str]:
    """The sentences of a text. Joined, they are the text again."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    starts = [0, *ends]
    pieces = [text[a:b] for a, b in zip(starts, [*ends, len(text)])]
    return [piece for piece in pieces if piece]
