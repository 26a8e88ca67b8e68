"""Words of scripts that put no spaces between them.

Thai, Lao, Khmer, Burmese, kana and their like write sentences without spaces.
Where their words end is knowledge, not a rule: dictionaries decide, and each
library has another one. So here a word is an *orthographic syllable*, which a
rule can find: a base character with everything that is written around it.
This is Unicode's extended grapheme cluster (UAX #29), and where the line
breaking rules (UAX #14) or the spelling forbid to part two clusters, both:

- Thai and Lao vowels before or after their consonant: "เก" and "กา".
- Stacked consonants of Khmer, Burmese, Balinese, Javanese, Tai Tham.
- A consonant whose vowel is killed ends the syllable before it: "န်" in
  "ကန်", "ร์" in "เบอร์", "ប់" in "ចាប់".
- A Thai or Lao vowel that is never last takes the next consonant: "กัน".
- Small kana, the length mark, and the nasal "ん": "シャー", "ほん".

Whether a syllable begins at a character depends on its neighbours alone. So
what precedes a text does not change its words, except a first syllable that
it belongs to.

The classes are written down here, and not read from a database, so that
another edition of Unicode changes no id. Python's `re` and TensorFlow's RE2
read the same patterns.
"""

import re


def _parse(ranges):
    """The code points of ranges such as `"0E40-0E44 17D2"`."""
    points = set()
    for part in ranges.split():
        low, _, high = part.partition("-")
        points.update(range(int(low, 16), int(high or low, 16) + 1))
    return points


def character_class(points: set[int]) -> str:
    """A class of characters for `re` and RE2, such as `[ก-ฮ]`."""
    ranges: list[list[int]] = []
    for point in sorted(points):
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    return f"[{''.join(f'{chr(a)}-{chr(b)}' for a, b in ranges)}]"


# All characters of these scripts, assigned or not.
_SCRIPTS = _parse(
    "0E00-0EFF"  # Thai, Lao
    " 1000-109F A9E0-A9FF AA60-AA7F 116D0-116FF"  # Burmese
    " 1780-17FF 19E0-19FF"  # Khmer
    " 1950-197F 1980-19DF 1A20-1AAF AA80-AADF"  # Tai Le, Lue, Tham, Viet
    " 11700-1174F"  # Ahom
    " 1A00-1A1F 1B00-1B7F 1BC0-1BFF A930-A95F A980-A9DF"  # Buginese,
    # Balinese, Batak, Rejang, Javanese
    " 3005-3007 3021-3029 3031-3035 3038-303C"  # iteration marks, numerals
    " 3040-30FF 31F0-31FF FF66-FF9F 1AFF0-1B16F"  # kana
    " 3100-312F 31A0-31BF"  # Bopomofo
    " A000-A4CF 17000-18D7F 1B170-1B2FF"  # Yi, Tangut, Khitan, Nushu
    " 12000-1254F 13000-1467F"  # cuneiform, hieroglyphs
)
# Vowels that are written, and typed, before their consonant.
_BEFORE = _parse("0E40-0E44 0EC0-0EC4 19B5-19B7 19BA AAB5-AAB6 AAB9 AABB-AABC")
# What joins the next consonant to this one, beneath it.
_JOINING = _parse("1039 17D2 1A60 1B44 A9C0")
# What belongs to the character before it.
_AFTER = _parse(
    "0E30-0E3A 0E45 0E47-0E4E 0EB0-0EBD 0EC8-0ECE"
    " 102B-1038 103A-103E 1056-1059 105E-1060 1062-1064 1067-106D 1071-1074"
    " 1082-108D 108F 109A-109D A9E5 AA7B-AA7D"
    " 17B4-17D1 17D3 17DD"
    " 1970-1974 19B0-19B4 19B8-19B9 19BB-19C9"
    " 1A55-1A5F 1A61-1A7F AAB0-AAB4 AAB7-AAB8 AABA AABD-AAC2 1171D-1172B"
    " 1A17-1A1B 1B00-1B04 1B34-1B43 1B6B-1B73 1BE6-1BF3 A947-A953"
    " A980-A983 A9B3-A9BF 13430-13455"
    # Small kana, the nasal, marks of voice, length and repetition.
    " 3041 3043 3045 3047 3049 3063 3083 3085 3087 308E 3093 3095-3096"
    " 3099-309A 309D-309E"
    " 30A1 30A3 30A5 30A7 30A9 30C3 30E3 30E5 30E7 30EE 30F3 30F5-30F6"
    " 30FC-30FE 31F0-31FF"
    " FF67-FF70 FF9D-FF9F"
    # Marks of all scripts, if `strip_accents` left them.
    " 0300-036F 1AB0-1AFF 1DC0-1DFF 20D0-20FF FE20-FE2F"
)
_BASE = _SCRIPTS - _BEFORE - _JOINING - _AFTER

_THAI_OR_LAO = "[ก-ฮກ-ຮ]"
# A consonant without a vowel: by asat, karan, bantoc and toandakhiat.
_KILLED = (
    "[က-ဪဿၐ-ၕၚ-ၝၡၥၦၮ-ၰၵ-ႁႎ]\u1037?\u103a"
    "|[ก-ฮ][\u0e34-\u0e39]?\u0e4c"
    "|[ກ-ຮ]\u0ecc"
    "|[ក-ឳ][\u17cb\u17cd]"
)

_before = character_class(_BEFORE)
_base = character_class(_BASE)
_after = character_class(_AFTER)
_joining = character_class(_JOINING)

# A space goes before and after each match.
SYLLABLE = (
    f"(?:{_before}+{_base}?|{_base})(?:{_after}+|{_joining}{_base}?|{_KILLED})*"
)
# Two neighbours that become one: the first ends in a vowel that is never last
# (and perhaps a tone), the second is a consonant alone.
FINAL = (
    f"({_THAI_OR_LAO}\u0ebc?[\u0e31\u0e37\u0eb1\u0ebb]"
    "[\u0e48-\u0e4b\u0ec8-\u0ecb]?)  "
    f"({_THAI_OR_LAO}(?:{_KILLED})*) "
)

_ANY = re.compile(character_class(_SCRIPTS))
_SYLLABLE = re.compile(SYLLABLE)
_FINAL = re.compile(FINAL)


def split_syllables(text: str) -> str:
    """Puts spaces around each syllable of scripts that write none.

    Args:
        text: str, in which all white space is U+0020.

    Returns:
        A string. Characters of other scripts are where they were.

    Example:

    ```python
    from keras_dinolm.text.syllables import split_syllables

    assert split_syllables("ภาษาไทย").split() == ["ภา", "ษา", "ไท", "ย"]
    assert split_syllables("plain words") == "plain words"
    ```
    """
    # Most texts have none of these scripts, and this is a fast way to know.
    if text.isascii() or not _ANY.search(text):
        return text
    return _FINAL.sub(r"\1\2 ", _SYLLABLE.sub(r" \g<0> ", text))
