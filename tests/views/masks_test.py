"""Masks: exact counts, spans, and the list of masked places."""

from fractions import Fraction

import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.views.masks import masked_ratios

# Everything here is NumPy; `agreement_test.py` compares the backends with it.
pytestmark = pytest.mark.once

PAD, CLS, MASK = 0, 1, 2


def make(lengths, window=60, seed=2, step=0, **arguments):
    """The views object, and its one group of a batch of random text."""
    group = kd.views.ViewGroup("all", **{"count": 2, **arguments})
    special = kd.views.SpecialTokens(PAD, CLS, MASK)
    views = kd.views.TextViews(special, window + 1, (group,))
    lengths = np.asarray(lengths, np.int32)
    rng = np.random.default_rng(0)
    shape = (len(lengths), window)
    token_ids = rng.integers(3, 99, shape, dtype=np.int32)
    token_ids[np.arange(window) >= lengths[:, None]] = PAD
    windows = {"token_ids": token_ids, "lengths": lengths}
    return views, views(windows, seed=seed, step=step)["all"]


def mixed_lengths(number=33):
    lengths = np.random.default_rng(7).integers(0, 61, number)
    lengths[:4] = 0, 1, 2, 60
    return lengths


def rounded(ratio, lengths):
    """Rounded half up, at least 1 of any, in exact arithmetic."""
    exact = [int(Fraction(ratio) * int(n) + Fraction(1, 2)) for n in lengths]
    return np.minimum(np.maximum(exact, 1), lengths)


@pytest.mark.parametrize("word_deletion", [0.0, 0.3])
@pytest.mark.parametrize("ratio", ["0.15", "0.5", "1"])
def test_every_masked_view_has_its_exact_count(ratio, word_deletion):
    _, made = make(
        mixed_lengths(),
        span=(0.3, 1.0),
        mask_probability=1,
        mask_ratio=float(ratio),
        word_deletion=word_deletion,
    )
    text = (made["positions"] >= 0).sum(-1).ravel()
    masked = made["masked"].sum(-1).ravel()
    np.testing.assert_array_equal(masked, rounded(ratio, text))


@pytest.mark.parametrize("step", range(3))
def test_ratios_are_spread_evenly_over_half_of_the_views(step):
    _, made = make([60] * 33, step=step, mask_probability=0.5)
    masked = np.sort(made["masked"].sum(-1).ravel())
    ratios = [Fraction(1, 10) + Fraction(1, 80) * i for i in range(33)]
    expected = [rounded(ratio, [60])[0] for ratio in ratios]
    assert masked.tolist() == [0] * 33 + expected


def test_share_of_masked_views_is_rounded_down():
    for batch_size, probability, expected in [
        (1, 0.5, 1),
        (3, 0.4, 2),
        (5, 0.99, 9),
        (5, 1, 10),
    ]:
        _, made = make([9] * batch_size, mask_probability=probability)
        assert made["masked"].any(-1).sum() == expected


def test_every_view_and_ratio_pair_is_equally_likely():
    counts = np.zeros(6)
    sums = np.zeros(6)
    for step in range(600):
        _, made = make([20] * 3, window=20, step=step, mask_probability=0.5)
        masked = made["masked"].sum(-1).ravel()
        counts += masked > 0
        sums += masked
    assert np.abs(counts / 600 - 0.5).max() < 5 * np.sqrt(0.25 / 600)
    # 3 of 6 views have 2, 6 and 10 of 20 tokens masked: 3 each on average.
    assert np.abs(sums / 600 - 3).max() < 5 * np.sqrt(14.4 / 600)


def test_only_text_is_masked_and_only_in_the_students_input():
    _, made = make(mixed_lengths(), mask_probability=0.7)
    masked = made["masked"]
    assert masked.any()
    assert not masked[made["positions"] < 0].any()
    expected = np.where(masked, MASK, made["token_ids"])
    np.testing.assert_array_equal(made["masked_token_ids"], expected)
    assert (made["token_ids"] != MASK).all()


def test_places_are_masked_equally_often():
    _, made = make([30] * 2000, window=30, mask_probability=1, mask_ratio=0.3)
    share = made["masked"].mean((0, 1))[1:]
    assert share.mean() == pytest.approx(0.3)
    # Ends differ a little: their segments are cut.
    assert np.abs(share - 0.3).max() < 0.06
    assert np.abs(share[5:-5] - 0.3).max() < 0.04


@pytest.mark.parametrize("mask_span", [1.0, 3.0, 8.0])
def test_masked_spans_have_the_mean_length_asked_for(mask_span):
    _, made = make(
        [120] * 400,
        window=120,
        mask_probability=1,
        mask_ratio=0.3,
        mask_span=mask_span,
    )
    masked = made["masked"].reshape(800, -1)[:, 1:]
    after = masked[:, 1:][masked[:, :-1]].mean()
    # The next token is in the same segment, or in another masked one.
    same = 1 - 1 / mask_span
    assert after == pytest.approx(same + (1 - same) * 0.3, abs=0.03)


def test_words_are_masked_whole_but_for_one():
    """Which tokens are one word is told by the ids, as words of 1 to 5."""
    rng = np.random.default_rng(3)
    word = np.repeat(np.arange(200), rng.integers(1, 6, 200))[:300]
    continues = np.r_[False, word[1:] == word[:-1]]
    group = kd.views.ViewGroup(
        "all",
        4,
        span=(0.3, 1.0),
        mask_probability=1,
        mask_ratio=0.3,
        mask_span=1,
        mask_unit="word",
        word_swap=0.3,
        word_deletion=0.1,
    )
    special = kd.views.SpecialTokens(PAD, CLS, MASK, continues)
    windows = {
        "token_ids": np.arange(300, dtype=np.int32).reshape(5, 60),
        "lengths": np.full(5, 60, np.int32),
    }
    made = kd.views.TextViews(special, 61, (group,))(windows)["all"]
    whole, parts = 0, []
    for ids, text, masked in zip(
        *(
            made[key].reshape(20, -1)
            for key in ("token_ids", "padding_mask", "masked")
        ),
        strict=True,
    ):
        words = word[ids[1:][text[1:]]]
        flags = masked[1:][text[1:]]
        # A word may be cut by the ends of its span, but that is its all.
        shares = [flags[words == w].mean() for w in set(words)]
        parts.append(sum(0 < share < 1 for share in shares))
        whole += sum(share == 1 for share in shares)
    assert max(parts) == 1 and whole > 50
    text = made["padding_mask"].sum(-1).ravel() - 1
    masked = made["masked"].sum(-1).ravel()
    np.testing.assert_array_equal(masked, rounded("0.3", text))


def test_masked_segments_of_words_have_the_mean_length_asked_for():
    continues = np.arange(99) % 2 == 1  # Words of two tokens.
    group = kd.views.ViewGroup(
        "all",
        1,
        mask_probability=1,
        mask_ratio=0.3,
        mask_span=4,
        mask_unit="word",
    )
    special = kd.views.SpecialTokens(PAD, CLS, MASK, continues)
    windows = {
        "token_ids": np.tile(np.arange(120, dtype=np.int32) % 98, (400, 1)),
        "lengths": np.full(400, 120, np.int32),
    }
    made = kd.views.TextViews(special, 121, (group,))(windows)["all"]
    masked = made["masked"][:, 0, 1:]
    assert (masked.sum(1) == 36).all()
    words = masked.reshape(400, 60, 2)
    assert (words[..., 0] == words[..., 1]).all()  # 36 is even.
    words = words[..., 0]
    after = words[:, 1:][words[:, :-1]].mean()
    assert after == pytest.approx(0.75 + 0.25 * 0.3, abs=0.03)


def test_indices_list_the_masked_places():
    for probability in (0.1, 0.5, 1):
        _, made = make(mixed_lengths(), mask_probability=probability)
        indices = made["masked_indices"].ravel()
        places = np.flatnonzero(made["masked"])
        np.testing.assert_array_equal(indices[: len(places)], places)
        assert (indices[len(places) :] == -1).all()


@pytest.mark.parametrize("span", [(1.0, 1.0), (0.3, 0.77)])
@pytest.mark.parametrize("ratio", [(0.1, 0.5), (0.9, 1.0), (0.0001, 0.001)])
@pytest.mark.parametrize("window", [1, 2, 59])
def test_room_is_never_short_nor_wasted(span, ratio, window):
    lengths = [window] * 7
    views, made = make(
        lengths, window, span=span, mask_probability=0.8, mask_ratio=ratio
    )
    slots = views.capacity(7, window)["all"]
    assert made["masked_indices"].shape == (7, slots)
    total = made["masked"].sum()
    assert (made["masked_indices"] >= 0).sum() == total
    if span == (1.0, 1.0):
        assert 7 * slots - total < 7


def test_a_batch_too_small_to_mask_is_reported():
    with pytest.warns(UserWarning, match="less than one view.*larger batch"):
        _, made = make([9, 9], count=1, mask_probability=0.4)
    assert not made["masked"].any()
    assert (made["masked_indices"] == -1).all()


def test_ratios_are_spread_from_end_to_end():
    assert masked_ratios(5, 1000, 5000).tolist() == [
        1000,
        2000,
        3000,
        4000,
        5000,
    ]
    assert masked_ratios(1, 1000, 5000).tolist() == [3000]
    assert masked_ratios(2, 1000, 5000).tolist() == [1000, 5000]
    assert masked_ratios(0, 1000, 5000).tolist() == []
