"""Words above the limit of WordPiece: cut by their content."""

import base64
import random

import pytest

from keras_dinolm.text.long_words import MAX_WORD_LENGTH
from keras_dinolm.text.long_words import cut_long_words
from keras_dinolm.text.normalization import normalize

pytestmark = pytest.mark.once


def blobs(count=50):
    """Yields long words without a space, of many kinds."""
    draw = random.Random(0)
    parts = "donau dampf schiff fahrts gesellschafts rechts schutz".split()
    for _ in range(count):
        raw = draw.randbytes(300)
        text = base64.b64encode(raw).decode()
        yield "".join(c for c in text if c.isalnum()).lower()
        yield raw.hex()
        yield str(int.from_bytes(raw, "big"))
        yield "".join(draw.choices("acgt", k=400))
        yield "".join(draw.choices(parts, k=60))
        yield "".join(map(chr, draw.choices(range(0x430, 0x450), k=400)))
        yield "".join(map(chr, draw.choices(range(0xAC00, 0xD7A4), k=400)))


def test_pieces_are_short_and_lose_nothing():
    for blob in blobs(5):
        pieces = cut_long_words(blob).split()
        assert "".join(pieces) == blob
        assert max(map(len, pieces)) <= MAX_WORD_LENGTH
        # No shower of crumbs.
        assert len(blob) / len(pieces) > 8


def test_words_within_the_limit_stay_whole():
    text = "a" * MAX_WORD_LENGTH + " e" * 30 + "  " + "1" * MAX_WORD_LENGTH
    assert cut_long_words(text) is text
    # Also beside a long one.
    assert cut_long_words(f"{text} {'x' * 26}").split()[:-2] == text.split()


def test_pieces_are_the_same_again_soon_after_a_character_in_front():
    """Pieces of a fixed length would never be the same again."""
    distances = []
    for blob in blobs():
        ends = []
        for front in ("", "x"):
            place, starts = -len(front), set()
            for piece in cut_long_words(front + blob).split():
                starts.add(place)
                place += len(piece)
            ends.append(starts)
        common = {place for place in ends[0] & ends[1] if place > 0}
        distances.append(min(common, default=len(blob)))
        # Once the same, always the same.
        assert {p for p in ends[0] if p > distances[-1]} == {
            p for p in ends[1] if p > distances[-1]
        }
    assert sum(distances) / len(distances) < 25
    assert sorted(distances)[int(0.95 * len(distances))] < 80


@pytest.mark.parametrize("letter", ["é", "漢", "ж", "𝔘", "ก", "ิ", "\u0300"])
def test_no_word_is_too_long_for_wordpiece(letter):
    for count in (24, 25, 26, 50, 51, 1_000):
        for text in (letter * count, "e" + letter * count):
            for word in normalize(text, False, False).split():
                assert len(word) <= MAX_WORD_LENGTH
                assert len(word.encode()) <= 100
