"""One pinned way from text to words, shared by every tokenizer path.

`tf.data` (ICU and RE2), Python (`unicodedata`) and Hugging Face `tokenizers`
(Rust) each bring their own edition of Unicode, and disagree about characters
that one of them does not know yet. Ids that depend on the path would be a
silent bug, so none of the three is asked. One table from code point to
replacement decides, and what remains is splitting at U+0020, which all of them
do in the same way.

The table comes from `unicodedata.ucd_3_2_0`, the frozen Unicode 3.2 database
that every CPython has (for IDNA), and from explicit blocks for what came later
(emoji, newer symbols and ideographs). So a Python upgrade cannot change ids. A
test pins the digest of the table.

- White space and control characters become one space.
- Format characters (zero-width joiners and non-joiners, soft hyphens, byte
  order marks, bidi controls) and variation selectors vanish, as Unicode has
  it for comparing texts. Persian words with and without ZWNJ are the same
  word. The zero-width space parts words.
- Punctuation, symbols, emoji and CJK ideographs stand alone as words. The mark
  between Tibetan syllables is a space.
- Scripts without spaces (Thai, Khmer, kana, ...) are split into syllables, see
  `syllables.py`.
- `strip_accents` removes the marks of European scripts (also from precomposed
  letters) only. Vowel signs of Hindi or Thai and the points of Hebrew and
  Arabic are not accents.
- `lowercase` maps single characters, without regard to context or language:
  "I" becomes "i" in Turkish, too, and "ß" stays.
- Nothing is composed or unfolded. Ligatures, full-width letters and signs such
  as U+FDFA are characters of their own. Apart from accents, decomposed text
  (kana and Hangul in file names of macOS) has other words than composed text:
  apply `unicodedata.normalize("NFC", text)` first.
- What is not valid text (lone surrogates, bytes that are not UTF-8) separates
  words like a space.
- Words of more than `MAX_WORD_LENGTH` characters are cut, see `long_words.py`.
"""

import functools
import hashlib
import unicodedata
from collections.abc import Iterator

from keras_dinolm.text.long_words import LONG_WORD
from keras_dinolm.text.long_words import cut_long_words
from keras_dinolm.text.syllables import FINAL
from keras_dinolm.text.syllables import SYLLABLE
from keras_dinolm.text.syllables import split_syllables

# Part of every tokenizer's fingerprint: raise it when the words of any text
# change.
VERSION = 2

NUM_CODE_POINTS = 0x110000

_UCD = unicodedata.ucd_3_2_0

# Marks that European scripts put on letters; all blocks of combining
# diacritics, also those younger than Unicode 3.2.
_ACCENTS = (
    (0x0300, 0x036F),
    (0x1AB0, 0x1AFF),
    (0x1DC0, 0x1DFF),
    (0x20D0, 0x20FF),
    (0xFE20, 0xFE2F),
)
# Soft hyphen, variation selectors, tags, and other format controls.
_VANISHING = (
    (0x00AD, 0x00AD),
    (0x200B, 0x200F),
    (0x2060, 0x206F),
    (0xFE00, 0xFE0F),
    (0x1BCA0, 0x1BCA3),
    (0xE0000, 0xE0FFF),
)
# Tsheg, after each Tibetan syllable.
_SPACES = ((0x0F0B, 0x0F0C),)
_STANDALONE = (
    # Punctuation and symbols: whole blocks, assigned or not.
    (0x2010, 0x2027),
    (0x2030, 0x205E),
    (0x20A0, 0x20CF),
    (0x2190, 0x2BFF),
    (0x2E00, 0x2E7F),
    (0x1F000, 0x1FAFF),
)
# Capitals younger than Unicode 3.2, and how far their small letters are away:
# German, Georgian, Glagolitic, Osage, Adlam.
_CAPITALS = (
    (0x1E9E, 0x1E9E, 0xDF - 0x1E9E),
    (0x1C90, 0x1CBA, -0xBC0),
    (0x1CBD, 0x1CBF, -0xBC0),
    (0x2C00, 0x2C2F, 0x30),
    (0x104B0, 0x104D3, 40),
    (0x1E900, 0x1E921, 34),
)
# Ideographs, as in BERT, plus the planes reserved for them.
IDEOGRAPHS = (
    (0x2E80, 0x2FDF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFD),
)
# All code points that can become something else. Hangul syllables (from AC00)
# are letters, planes 4 to 13 are empty.
_CHANGEABLE = ((0x0, 0xABFF), (0xD7A4, 0x3FFFD), (0xE0000, 0xE0FFF))


def _within(code, ranges):
    return any(low <= code <= high for low, high in ranges)


def is_ideograph(code: int) -> bool:
    """Whether a code point stands alone as a word, as in BERT."""
    return _within(code, IDEOGRAPHS)


def _without_accents(character):
    """The base letter if only accents are lost, or else the character."""
    decomposed = _UCD.normalize("NFD", character)
    base = [c for c in decomposed if not _within(ord(c), _ACCENTS)]
    return base[0] if len(base) == 1 else character


def _replacement(code, lowercase, strip_accents):
    character = chr(code)
    if is_ideograph(code):
        return f" {character} "
    category = _UCD.category(character)
    if category in ("Zs", "Zl", "Zp", "Cc", "Cs") or code == 0xFFFD:
        return " "
    if _within(code, _SPACES):
        return " "
    if category == "Cf" or _within(code, _VANISHING):
        return ""
    if strip_accents:
        if _within(code, _ACCENTS):
            return ""
        character = _without_accents(character)
    if category[0] in "PS" or _within(code, _STANDALONE):
        return f" {character} "
    # The case pairs of characters that Unicode 3.2 knows do not change.
    if lowercase and category in ("Lu", "Lt"):
        # One character stays one character ("İ" lowers to two).
        lowered = character.lower()[0]
        return _without_accents(lowered) if strip_accents else lowered
    if lowercase:
        for low, high, distance in _CAPITALS:
            if low <= code <= high:
                return chr(code + distance)
    return character


class ReplacementTable(dict):
    """What each code point becomes, computed when it is first looked up.

    `str.translate` takes it. A value is nothing, one space, one character, or
    one character between two spaces.

    Args:
        lowercase: bool. Whether letters are lower-cased.
        strip_accents: bool. Whether accents are removed.
    """

    def __init__(self, lowercase: bool, strip_accents: bool):
        super().__init__()
        self.options = (bool(lowercase), bool(strip_accents))

    def __missing__(self, code: int) -> str:
        self[code] = _replacement(code, *self.options)
        return self[code]


@functools.cache
def replacement_table(lowercase: bool, strip_accents: bool) -> ReplacementTable:
    """The one `ReplacementTable` of these options, which only grows."""
    return ReplacementTable(lowercase, strip_accents)


def exceptions(
    lowercase: bool, strip_accents: bool
) -> Iterator[tuple[int, str]]:
    """Yields pairs (code point, replacement) where the two differ, in order.

    `IDEOGRAPHS` are left out. Each of them becomes itself between two spaces.
    """
    table = replacement_table(lowercase, strip_accents)
    for low, high in _CHANGEABLE:
        for code in range(low, high + 1):
            if not is_ideograph(code) and table[code] != chr(code):
                yield code, table[code]


@functools.cache
def table_digest(lowercase: bool, strip_accents: bool) -> str:
    """A hexadecimal digest that changes when any rule of this file does."""
    pairs = exceptions(lowercase, strip_accents)
    text = ";".join(f"{k:x}={v}" for k, v in pairs)
    text += ";".join(f"{low:x}-{high:x}" for low, high in IDEOGRAPHS)
    text += f";{SYLLABLE};{FINAL};{LONG_WORD}"
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def normalize(
    text: str, lowercase: bool = True, strip_accents: bool = True
) -> str:
    """Turns a text into words with spaces between them.

    Args:
        text: str.
        lowercase: bool. Whether letters are lower-cased. Defaults to `True`.
        strip_accents: bool. Whether accents are removed. Defaults to `True`.

    Returns:
        A string whose only white space is U+0020 (in runs of any length).

    Example:

    ```python
    from keras_dinolm.text.normalization import normalize

    normalize("Größe=np.zeros(3)").split()
    # ['große', '=', 'np', '.', 'zeros', '(', '3', ')']
    ```
    """
    text = text.translate(replacement_table(lowercase, strip_accents))
    return cut_long_words(split_syllables(text))
