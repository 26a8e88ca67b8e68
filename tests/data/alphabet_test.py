"""Which characters a vocabulary can spell."""

import random

import pytest

import keras_dinolm as kd
from keras_dinolm.data.alphabet import Alphabet

pytestmark = pytest.mark.once


def chinese(count, characters=3_000):
    """Texts in which characters are as frequent as in real ones, or so."""
    draw = random.Random(0)
    letters = [chr(0x4E00 + i) for i in range(characters)]
    weights = [1 / (rank + 10) for rank in range(characters)]
    return ["".join(draw.choices(letters, weights, k=60)) for _ in range(count)]


def english(count):
    draw = random.Random(0)
    syllables = ["ba", "ke", "lo", "mi", "nu", "ra", "se", "ti"]
    words = ["".join(draw.choices(syllables, k=3)) for _ in range(400)]
    return [" ".join(draw.choices(words, k=30)) for _ in range(count)]


def train(texts, size, **options):
    return kd.data.train_tokenizer(texts, size, show_progress=False, **options)


def rate(tokenizer, texts, script):
    return kd.data.unknown_rates(tokenizer, texts)[script].rate


def test_characters_fill_the_ids_that_words_leave_unused():
    texts = chinese(3_000)
    tokenizer = train(texts, 8_192)
    assert tokenizer.vocabulary_size() == 5 + len(set("".join(texts)))
    assert rate(tokenizer, texts, "Han") == 0


def test_the_most_frequent_characters_win_where_room_is_short():
    texts = chinese(1_000)
    with pytest.warns(UserWarning, match="words in Han.*vocabulary_size"):
        tokenizer = train(texts, 1_024)
    assert tokenizer.vocabulary_size() == 1_024
    counts: dict[str, int] = {}
    for character in "".join(texts):
        counts[character] = counts.get(character, 0) + 1
    known = {c for c in counts if tokenizer(c).tolist() != [1]}
    assert len(known) == 1_024 - 5
    least = min(counts[c] for c in known)
    assert least >= max(counts[c] for c in counts.keys() - known)
    # Nothing but the best 1,019 characters of the text.
    ranked = sorted(counts.values(), reverse=True)
    unknown = sum(ranked[1_019:]) / sum(ranked)
    assert rate(tokenizer, texts, "Han") == pytest.approx(unknown)


def test_two_scripts_share_a_vocabulary():
    texts = chinese(1_500) + english(1_000)
    tokenizer = train(texts, 8_192)
    rates = kd.data.unknown_rates(tokenizer, texts)
    assert rates["Latin"].rate == 0
    assert rates["Han"].rate == 0


def test_few_characters_take_no_room_from_words():
    """Where the old default was enough, nothing changes."""
    texts = english(500)
    default = train(texts, 256)
    assert default.vocabulary_size() == 256
    explicit = train(texts, 256, alphabet_size=128)
    assert default.get_vocabulary() == explicit.get_vocabulary()


def test_alphabet_size_is_a_limit():
    tokenizer = train(
        chinese(100) + english(10), 4_000, alphabet_size=50, minimum_frequency=1
    )
    tokens = set(tokenizer.get_vocabulary()[5:])
    assert len({c for token in tokens for c in token.strip("#")}) == 50


def test_new_characters_bring_their_words():
    # The word has a character of rank 130, behind 128 more frequent ones.
    frequent = [chr(0x4E00 + i) for i in range(129)]
    texts = ["".join(frequent) * 20, "кот кот кот кот"]
    tokenizer = train(texts, 1_024)
    assert len(tokenizer("кот")) == 1


def test_rare_characters_only_fill_what_is_left():
    texts = [*english(200), "ѫ ѫ", "ў ў", "ѭ"]
    room = train(texts, 8_192)
    assert room.vocabulary_size() < 8_192
    assert [room(c)[0] > 4 for c in "ѫўѭ"] == [True, True, True]
    full = train(texts, 200)
    assert full.vocabulary_size() == 200
    assert [full(c)[0] > 4 for c in "ѫўѭ"] == [True, True, False]
    limited = train(texts, 8_192, alphabet_size=100)
    assert [limited(c)[0] > 4 for c in "ѫўѭ"] == [True, True, False]


@pytest.mark.parametrize("size", [16, 64, 300, 1_000, 8_192])
def test_default_leaves_room_for_special_tokens(size):
    words = {text: 3 for text in " ".join(chinese(50) + english(5)).split()}
    alphabet = Alphabet(words, 2)
    alphabet.choose_by_default(size)
    assert 0 < len(alphabet.pieces("##")) <= size - 5
