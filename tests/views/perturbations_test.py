"""Perturbations: how often, how far, and that every token is accounted for."""

import itertools

import numpy as np
import pytest

import keras_dinolm as kd

# Everything here is NumPy; `agreement_test.py` compares the backends with it.
pytestmark = pytest.mark.once

PAD, CLS, MASK = 0, 1, 2
# Ids tell their place: document `b` holds BASE * (b + 1) + index.
BASE = 100
SIZE = 5_000
IDS = np.arange(SIZE)
# Words of two, one and one tokens.
CONTINUES = IDS % 4 == 1
PUNCTUATION = IDS % 4 == 3
ENDS = IDS % 12 == 11
SPECIAL = kd.views.SpecialTokens(PAD, CLS, MASK, CONTINUES, PUNCTUATION, ENDS)
# Replacements are out of the range of places: what they stand for is known.
SYNONYMS = kd.views.ReplacementTable.of(
    {i: [i + 1_000, i + 2_000, i + 3_000] for i in range(100, 1_000)}, SIZE
)
TYPOS = kd.views.ReplacementTable.of(
    {i: [i + 4_000] for i in range(100, 1_000, 2)}, SIZE
)
ALL = {
    "word_deletion": 0.2,
    "punctuation_removal": 0.3,
    "word_swap": 0.5,
    "sentence_shuffle": 0.5,
    "synonym_replacement": 0.3,
    "typos": 0.3,
}


def make_windows(lengths, window=96):
    lengths = np.asarray(lengths, np.int32)
    documents = np.arange(len(lengths))[:, None] % 9
    token_ids = BASE * (1 + documents) + np.arange(window)
    token_ids[np.arange(window) >= lengths[:, None]] = PAD
    return {"token_ids": token_ids.astype(np.int32), "lengths": lengths}


def make(windows, seed=0, step=0, **arguments):
    group = kd.views.ViewGroup("all", **{"count": 1, **arguments})
    views = kd.views.TextViews(
        SPECIAL, 128, (group,), synonyms=SYNONYMS, typos=TYPOS
    )
    return views(windows, seed=seed, step=step)["all"]


def full_views(number=600, **arguments):
    """Ids and positions of views of whole windows of 96: `[number, 96]`."""
    made = make(make_windows([96] * number), **arguments)
    return made["token_ids"][:, 0, 1:], made["positions"][:, 0, 1:]


def within(share, probability, draws):
    """Whether a share is what a probability gives, to 5 standard errors."""
    error = np.sqrt(probability * (1 - probability) / draws)
    return abs(share - probability) <= 5 * error


# === All together ===


@pytest.mark.parametrize("names", [(name,) for name in ALL] + [tuple(ALL)])
def test_positions_stay_true(names):
    lengths = [0, 1, 2, 3, 7, 50, 95, 96, 96]
    windows = make_windows(lengths)
    windows["starts"] = np.arange(9, dtype=np.int32) * 5
    made = make(
        windows,
        count=6,
        span=(0.1, 1.0),
        **{name: ALL[name] for name in names},
    )
    ids, positions = made["token_ids"], made["positions"]
    text = positions >= 0
    # Text first, padding after it.
    sizes = text.sum(-1)
    slots = np.arange(ids.shape[-1])
    np.testing.assert_array_equal(
        text, (slots >= 1) & (slots <= sizes[..., None])
    )
    np.testing.assert_array_equal(ids[~text[..., :]] > 2, False)
    assert ((sizes > 0) == (np.array(lengths) > 0)[:, None]).all()
    index = positions - windows["starts"][:, None, None]
    original = BASE * (1 + np.arange(9))[:, None, None] + index
    moved = (ids - original)[text]
    if "typos" in names or "synonym_replacement" in names:
        assert set(np.unique(moved % 1_000)) == {0}
    else:
        assert (moved == 0).all()
    # Each token at most once, and inside one span.
    for row, length in zip(index.reshape(54, -1), np.repeat(lengths, 6)):
        row = np.sort(row[row >= 0])
        assert (np.diff(row) > 0).all() and (row < length).all()
        if not {"word_deletion", "punctuation_removal"} & set(names):
            assert (np.diff(row) == 1).all()


def test_a_row_does_not_depend_on_the_others():
    windows = make_windows([5, 30, 96, 17, 96, 2])
    arguments = {"count": 3, "span": (0.2, 1.0), **ALL}
    whole = make(windows, seed=5, step=6, **arguments)
    changed = {key: value.copy() for key, value in windows.items()}
    changed["token_ids"][3:] = 101
    changed["lengths"][3:] = 4
    for other in (changed, {key: value[:3] for key, value in windows.items()}):
        part = make(other, seed=5, step=6, **arguments)
        for key in whole:
            np.testing.assert_array_equal(part[key][:3], whole[key][:3])


def test_off_means_untouched():
    ids, positions = full_views(number=9)
    zeros, zero_positions = full_views(number=9, **dict.fromkeys(ALL, 0.0))
    never = kd.schedules.Linear(0.0, 1e-9, steps=10)  # On, with no chance.
    slowly, slow_positions = full_views(number=9, **dict.fromkeys(ALL, never))
    for received, expected in [
        (zeros, ids),
        (slowly, ids),
        (zero_positions, positions),
        (slow_positions, positions),
    ]:
        np.testing.assert_array_equal(received, expected)


def test_views_of_one_document_are_changed_independently():
    made = make(make_windows([96] * 300), count=2, word_deletion=0.5)
    kept = np.zeros((300, 2, 97), bool)
    np.put_along_axis(kept, made["positions"], True, 2)
    first, second = kept[:, 0, 2:96:4], kept[:, 1, 2:96:4]
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.06


# === Punctuation ===


@pytest.mark.parametrize("probability", [0.3, 1.0])
def test_punctuation_is_removed_and_nothing_else(probability):
    ids, positions = full_views(punctuation_removal=probability)
    text = positions >= 0
    marks = PUNCTUATION[ids] & text
    assert ((text & ~marks).sum(1) == 72).all()
    left = marks.sum() / (600 * 24)
    assert within(left, 1 - probability, 600 * 24)


def test_a_text_of_marks_alone_keeps_one():
    windows = make_windows([40] * 50)
    windows["token_ids"][:] = np.where(windows["token_ids"], 103, 0)
    made = make(windows, punctuation_removal=1.0, word_deletion=0.9)
    assert (made["padding_mask"].sum(-1) == 2).all()


def test_no_view_is_emptied_by_words_and_marks_together():
    windows = make_windows([2, 3, 4, 5] * 200)
    made = make(windows, punctuation_removal=1.0, word_deletion=0.99)
    assert (made["padding_mask"].sum(-1) > 1).all()


# === Swaps ===


def words_of(positions):
    """Numbers of the words of a view of a whole window, in its order."""
    number = np.cumsum(~CONTINUES[BASE : BASE + 96]) - 1
    words = number[positions]
    runs = words[np.r_[True, np.diff(words) != 0]]
    assert len(set(runs)) == len(runs)  # No word is torn apart.
    for word in runs:  # Nor turned around.
        assert (np.diff(positions[words == word]) == 1).all()
    return runs


@pytest.mark.parametrize("probability", [0.1, 1.0])
def test_words_change_places_with_a_neighbour(probability):
    _, positions = full_views(word_swap=probability)
    orders = np.stack([words_of(row) for row in positions])
    moves = orders - np.arange(72)
    assert np.abs(moves).max() == 1
    share = (moves != 0).mean(0)
    # Words in the middle; half as many draws as words, two views a phase.
    assert within(share[1:-1].mean(), probability, 600 * 35)
    assert within(share[0], probability / 2, 600)
    assert within(share[-1], probability / 2, 600)


# === Sentences ===


def test_sentences_are_shuffled_in_windows():
    _, positions = full_views(
        number=3_000, sentence_shuffle=1.0, sentence_window=3
    )
    # A sentence ends after ids 11, 23, ...: in the first documents, there are
    # other remainders of 100 * (b + 1) modulo 12.
    rows = np.flatnonzero(np.arange(3_000) % 9 == 2)  # 300 = 25 * 12
    number = np.arange(96) // 12
    orders = []
    for row in positions[rows]:
        sentences = number[row]
        runs = sentences[np.r_[True, np.diff(sentences) != 0]]
        assert sorted(runs) == list(range(8))
        for sentence in runs:
            assert (np.diff(row[sentences == sentence]) == 1).all()
        orders.append(runs)
    orders = np.stack(orders)
    assert np.abs(orders - np.arange(8)).max() == 2
    # Windows 0 1 2 | 3 4 5 | 6 7, or 0 | 1 2 3 | 4 5 6 | 7, or
    # 0 1 | 2 3 4 | 5 6 7: all orders inside them, equally often.
    tops = np.maximum.accumulate(orders, axis=1)
    cut = tops == np.arange(8)  # What comes first stays in front.
    phases = [
        cut[:, 2] & cut[:, 5],
        cut[:, 0] & cut[:, 3] & cut[:, 6],
        cut[:, 1] & cut[:, 4],
    ]
    assert np.logical_or.reduce(phases).all()
    # 4 and 5 are in one window in two of three phases; then each comes first
    # equally often. 3, 4, 5 in all six orders in one phase of three.
    behind = (np.argsort(orders)[:, 4] > np.argsort(orders)[:, 5]).mean()
    assert within(behind, 1 / 3, len(rows))
    # Only a window 3 4 5 brings 5 before 3: half of its orders.
    reversed_ends = (np.argsort(orders)[:, 3] > np.argsort(orders)[:, 5]).mean()
    assert within(reversed_ends, 1 / 6, len(rows))
    seen = {tuple(order) for order in orders[:, 3:6] if set(order) == {3, 4, 5}}
    assert seen == set(itertools.permutations((3, 4, 5)))


def test_sentence_shuffles_happen_as_often_as_asked():
    shares = []
    for probability in (0.5, 1.0):
        _, positions = full_views(
            number=1_800, sentence_shuffle=probability, sentence_window=2
        )
        rows = positions[np.arange(1_800) % 9 == 2]
        shares.append((rows != np.arange(96)).mean())
    # Half of the windows of two keep their order anyway; 8 sentences have 4
    # windows in one phase, 3 in the other.
    assert shares[1] == pytest.approx(0.5 * 7 / 8, abs=0.06)
    assert shares[0] == pytest.approx(0.25 * 7 / 8, abs=0.06)


def test_several_marks_in_a_row_end_one_sentence():
    # Three sentences of one word and two marks each.
    text = [104, 107, 107, 108, 119, 119, 116, 131, 131]
    ends = np.isin(IDS, [107, 119, 131])
    special = kd.views.SpecialTokens(PAD, CLS, MASK, None, ends, ends)
    group = kd.views.ViewGroup("all", 1, sentence_shuffle=1.0)
    views = kd.views.TextViews(special, 128, (group,))
    windows = {
        "token_ids": np.tile(np.int32(text), (200, 1)),
        "lengths": np.full(200, 9),
    }
    made = views(windows)["all"]["positions"][:, 0, 1:].reshape(-1, 3, 3)
    assert (np.diff(made, axis=-1) == 1).all()
    assert (made[..., 0] % 3 == 0).all()
    assert len(np.unique(made[..., 0], axis=0)) == 6


# === Replacements ===


def test_synonyms_replace_words_of_one_token():
    ids, positions = full_views(synonym_replacement=0.4)
    np.testing.assert_array_equal(positions, np.tile(np.arange(96), (600, 1)))
    original = make_windows([96] * 600)["token_ids"]
    moves = (ids - original) // 1_000
    # Words of two tokens stay as they are.
    one = (original % 4 == 2) | (original % 4 == 3)
    assert (moves[~one] == 0).all()
    assert within((moves[one] > 0).mean(), 0.4, one.sum())
    hits = (moves > 0).sum()
    for choice in (1, 2, 3):
        assert within((moves == choice).sum() / hits, 1 / 3, hits)


def test_typos_replace_any_token_of_the_table():
    ids, positions = full_views(typos=0.25)
    original = make_windows([96] * 600)["token_ids"]
    changed = ids != original
    assert (ids[changed] == original[changed] + 4_000).all()
    even = original % 2 == 0
    assert not changed[~even].any()
    assert within(changed[even].mean(), 0.25, even.sum())


def test_a_word_that_goes_on_after_the_window_is_not_read_beyond_it():
    windows = make_windows([1, 1, 1])
    windows["token_ids"][:, 1:] = 101  # Goes on, but is not there.
    made = make(windows, synonym_replacement=1.0)
    assert (made["token_ids"][:, 0, 1] >= 1_000).all()


# === What is needed ===


def test_tables_that_are_missing_are_named():
    bare = kd.views.SpecialTokens(PAD, CLS, MASK)
    for name, message in [
        ("punctuation_removal", "SpecialTokens(punctuation="),
        ("sentence_shuffle", "SpecialTokens(sentence_ends="),
        ("synonym_replacement", "synonym_table"),
        ("typos", "typo_table"),
    ]:
        group = kd.views.ViewGroup("all", 1, **{name: 0.5})
        with pytest.raises(ValueError) as error:
            kd.views.TextViews(bare, 128, (group,))
        assert message in str(error.value)
        assert f"Received: {name}=0.5" in str(error.value)
    with pytest.raises(ValueError, match="`typos` must be a"):
        kd.views.TextViews(bare, 128, typos={5: [6]})
