"""Cutting words that are too long for WordPiece.

A base64 blob, a hash, a chain of German nouns: a word above the limit would
become one unknown token. It is cut where its *content* says so, after
characters that are frequent in every alphabet (a quarter of the code points,
among them a, e, i and u). Pieces of a fixed length would all shift, and all
ids change, if a single character were put in front. Pieces cut by content are
the same again after some fifteen characters.

Words within the limit, and what remains within it at the end, stay whole.
"""

import re

from keras_dinolm.text.syllables import character_class

# WordPiece in tensorflow-text gives up on words above 100 bytes. 25 characters
# are at most 100 bytes in UTF-8, so that limit is never reached.
MAX_WORD_LENGTH = 25

# With shorter pieces, long words of a language would lose their shape. With
# longer ones, more of the text depends on what precedes it.
_MIN_LENGTH = 8

# Letters and digits whose code point is 1 modulo 4, and Hangul syllables
# without a final consonant.
_CUT_AFTER = {
    *(c for c in range(0x31, 0x2000, 4) if c > 0x7F or chr(c).isalnum()),
    *range(0xAC00, 0xD7A4, 28),
}

# A space goes after each match: a word that stays whole, with the space behind
# it, or else a piece to cut off.
LONG_WORD = (
    f"[^ ]{{1,{MAX_WORD_LENGTH}}}(?: |$)"
    f"|[^ ]{{{_MIN_LENGTH - 1},{MAX_WORD_LENGTH - 1}}}?"
    f"{character_class(_CUT_AFTER)}"
    f"|[^ ]{{{MAX_WORD_LENGTH}}}"
)
# Whether a text has a word to cut.
ANY_LONG_WORD = f"[^ ]{{{MAX_WORD_LENGTH + 1}}}"

_LONG_WORD = re.compile(LONG_WORD)
_ANY_LONG_WORD = re.compile(ANY_LONG_WORD)


def cut_long_words(text: str) -> str:
    """Puts spaces into words of more than `MAX_WORD_LENGTH` characters.

    Args:
        text: str, in which all white space is U+0020.

    Returns:
        A string without such words.

    Example:

    ```python
    from keras_dinolm.text.long_words import cut_long_words

    cut_long_words("donaudampfschifffahrtsgesellschaft").split()
    # ['donaudampfschi', 'fffahrtsgesellschaft']
    ```
    """
    if not _ANY_LONG_WORD.search(text):
        return text
    return _LONG_WORD.sub(r"\g<0> ", text)
