"""Scripts without spaces: words that do not depend on what precedes them."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_dinolm.text import syllables
from keras_dinolm.text.normalization import normalize

pytestmark = pytest.mark.once

# Blocks of the scripts, and of neighbours that texts mix them with.
BLOCKS = [
    (0x0E00, 0x0E7F),
    (0x0E80, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x1980, 0x19DF),
    (0x1A20, 0x1AAF),
    (0x1B00, 0x1B7F),
    (0x3040, 0x30FF),
    (0x4E00, 0x4FFF),
    (0xA980, 0xA9DF),
    (0xAA60, 0xAADF),
    (0xFF66, 0xFF9F),
]


def words(text):
    return normalize(text).split()


def texts(blocks=BLOCKS, extra=" ", max_size=40):
    ranges = [
        st.characters(min_codepoint=a, max_codepoint=b) for a, b in blocks
    ]
    marks = st.sampled_from(
        [chr(c) for c in sorted(syllables._AFTER | syllables._JOINING)]
    )
    letters = st.one_of(*ranges, marks, st.sampled_from(extra))
    return st.lists(letters, max_size=max_size).map("".join)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Thai: vowels before and after; ั and ื take a final; ร์ is silent.
        ("ภาษาไทยเป็น", "ภา ษา ไท ย เป็ น"),
        ("กันคืนมือรั่วสัตว์", "กัน คืน มือ รั่ว สัตว์"),
        ("เบอร์ศุกร์สิทธิ์", "เบ อร์ ศุ กร์ สิ ทธิ์"),
        # A space that the writer put parts what would be one syllable.
        ("กั น", "กั น"),
        # Lao.
        ("ຄົນລາວເຂົ້າ", "ຄົນ ລາ ວ ເຂົ້າ"),
        # Khmer: a consonant beneath another; bantoc on a final.
        ("ភាសាខ្មែរចាប់ផ្តើម", "ភា សា ខ្មែ រ ចាប់ ផ្តើ ម"),
        # Burmese: killed finals, stacked and superscript consonants.
        ("မြန်မာကောင်းတယ်", "မြန် မာ ကောင်း တယ်"),
        ("အင်္ဂလိပ်ဗုဒ္ဓ", "အင်္ဂ လိပ် ဗု ဒ္ဓ"),
        # Japanese: small kana, the length mark and ん are not alone.
        ("日本語のコンピューター", "日 本 語 の コン ピュー ター"),
        ("人々がちょっと", "人 々 が ちょっ と"),
        ("ﾊﾟｿｺﾝ", "ﾊﾟ ｿ ｺﾝ"),
        # Tibetan writes a mark between syllables.
        ("བོད་སྐད་ཡིན།", "བོད སྐད ཡིན །"),
        # Javanese and Balinese stack, too.
        ("ꦲꦏ꧀ꦱꦫ", "ꦲ ꦏ꧀ꦱ ꦫ"),
        ("ᬅᬓ᭄ᬱᬭ", "ᬅ ᬓ᭄ᬱ ᬭ"),
        # Numbers and other scripts end a word.
        ("ราคา100บาท", "รา คา 100 บา ท"),
        ("๒๕ပ၂", "๒ ๕ ပ ၂"),
    ],
)
def test_syllables(text, expected):
    assert words(text) == expected.split(" ")


@pytest.mark.parametrize(
    "text",
    [
        "ภาษาไทยไม่มีช่องว่างระหว่างคำ" * 3,
        "ພາສາລາວບໍ່ມີຊ່ອງຫວ່າງ" * 3,
        "ភាសាខ្មែរមិនមានដកឃ្លារវាងពាក្យទេ" * 3,
        "မြန်မာစာတွင်စကားလုံးများကြားနေရာလွတ်မရှိပါ" * 3,
        "これは日本語の文章ですがコンピューターで処理します" * 3,
        "中文的词之间没有空格" * 6,
    ],
)
@pytest.mark.parametrize("front", ["x", "က", "ក", "ก", "ກ", "あ", "中", "7"])
def test_a_character_in_front_changes_no_word(text, front):
    assert words(front + text) == [front, *words(text)]


@settings(deadline=None, max_examples=300)
@given(front=texts(extra=" a7ш"), text=texts(max_size=15))
def test_whatever_precedes_changes_at_most_the_first_word(front, text):
    # A text begins where a syllable may: with no mark of what precedes it.
    text = "ก" + text
    expected = words(text)[1:]
    assert expected == words(front + text)[-len(expected) :] or not expected


@settings(deadline=None, max_examples=300)
@given(text=texts(extra=" a7ш́"))
def test_words_are_those_of_the_words(text):
    assert words(" ".join(words(text))) == words(text)


@settings(deadline=None, max_examples=200)
@given(text=texts(extra=" a7ш"))
def test_only_spaces_are_added(text):
    split = syllables.split_syllables(text)
    assert split.replace(" ", "") == text.replace(" ", "")
    # And each space that was there still parts words.
    alone = [word for part in text.split(" ") for word in words(part)]
    assert words(text) == alone


def test_no_mark_leaves_its_letter():
    """Grapheme clusters, by Python's edition of the Unicode database."""
    marks = 0
    for code in sorted(syllables._SCRIPTS):
        if unicodedata.category(chr(code)) in ("Mn", "Mc", "Me"):
            marks += 1
            text = "က" + chr(code)
            assert syllables.split_syllables(text).split() == [text], hex(code)
    assert marks > 250


def test_texts_of_other_scripts_are_not_touched():
    for text in ("plain words", "Größe наука ελληνικά हिन्दी 한국어 العربية"):
        assert syllables.split_syllables(text) is text
