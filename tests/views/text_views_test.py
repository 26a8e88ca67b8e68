"""What views promise of their spans, positions and configuration."""

import json

import keras
import numpy as np
import pytest

import keras_dinolm as kd

# Everything here is NumPy; `agreement_test.py` compares the backends with it.
pytestmark = pytest.mark.once

PAD, CLS, MASK = 0, 1, 2
SPECIAL = kd.views.SpecialTokens(PAD, CLS, MASK)
# Ids tell their place: document `b` holds 1000 * (b + 1) + index.
BASE = 1000


def make_windows(lengths, window=40, starts=None):
    lengths = np.asarray(lengths, np.int32)
    if starts is None:
        starts = np.arange(len(lengths), dtype=np.int32) * 3
    index = starts[:, None] + np.arange(window)
    token_ids = BASE * (1 + np.arange(len(lengths)))[:, None] + index
    token_ids[np.arange(window) >= lengths[:, None]] = PAD
    return {
        "token_ids": token_ids.astype(np.int32),
        "lengths": lengths,
        "starts": starts,
    }


def make_views(*groups, special=SPECIAL):
    return kd.views.TextViews(special, 128, groups or None)


def spans_of(group):
    """First position and length of each view, `[B, V]`."""
    positions = group["positions"]
    text = positions >= 0
    first = np.where(text, positions, 10**6).min(-1)
    return first, text.sum(-1)


HOSTILE = [0, 1, 2, 3, 7, 39, 40, 40]


def test_views_are_cls_then_text_then_padding():
    made = make_views()(make_windows(HOSTILE), seed=1, step=2)
    for group in made.values():
        ids, real = group["token_ids"], group["padding_mask"]
        lengths = real.sum(-1, keepdims=True)
        assert (real == (np.arange(real.shape[-1]) < lengths)).all()
        assert (ids[..., 0] == CLS).all()
        assert (ids[~real] == PAD).all()
        assert (ids[real] != PAD).all()
        text = real.copy()
        text[..., 0] = False
        assert (group["positions"][~text] == -1).all()


@pytest.mark.parametrize("word_deletion", [0.0, 0.4])
def test_positions_are_true(word_deletion):
    group = kd.views.ViewGroup(
        "all", 5, span=(0.1, 1.0), word_deletion=word_deletion
    )
    windows = make_windows(HOSTILE)
    made = make_views(group)(windows, seed=1, step=2)["all"]
    ids, positions = made["token_ids"], made["positions"]
    text = positions >= 0
    document = np.arange(len(HOSTILE))[:, None, None]
    expected = BASE * (document + 1) + positions
    np.testing.assert_array_equal(ids[text], expected[text])
    inside = positions < (windows["starts"] + HOSTILE)[:, None, None]
    assert inside[text].all()
    steps = np.diff(positions, axis=-1)[text[..., 1:] & text[..., :-1]]
    if word_deletion:
        assert (steps > 0).all() and (steps > 1).any()
    else:
        assert (steps == 1).all()


def test_lengths_lie_in_the_range_and_reach_its_ends():
    group = kd.views.ViewGroup("all", 64, span=(0.2, 0.4))
    lengths = np.arange(0, 41)
    made = make_views(group)(make_windows(lengths), seed=0, step=0)["all"]
    _, sizes = spans_of(made)
    for length, row in zip(lengths, sizes, strict=True):
        # Exact decimal fractions: 0.2 = 1 / 5 and 0.4 = 2 / 5.
        low, high = -(-length // 5), max(-(-length // 5), 2 * length // 5)
        assert set(row) == set(range(low, high + 1)), length


def test_starts_are_uniform():
    group = kd.views.ViewGroup("all", 50, span=(0.5, 0.5))
    windows = make_windows([40] * 60, starts=np.zeros(60, np.int32))
    first, size = spans_of(make_views(group)(windows, seed=0, step=0)["all"])
    assert (size == 20).all()
    counts = np.bincount(first.ravel(), minlength=21)
    expected = first.size / 21
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert 20 - 5 * 40**0.5 < chi_square < 20 + 5 * 40**0.5


def test_views_of_a_document_are_drawn_independently():
    group = kd.views.ViewGroup("all", 2, span=(0.5, 0.5))
    other = kd.views.ViewGroup("other", 2, span=(0.5, 0.5))
    windows = make_windows([40] * 100, starts=np.zeros(100, np.int32))
    made = make_views(group, other)(windows, seed=0, step=0)
    first = np.concatenate(
        [spans_of(made[name])[0] for name in ("all", "other")], axis=1
    )
    correlation = np.corrcoef(first.T) - np.eye(4)
    assert np.abs(correlation).max() < 0.45  # 4.5 standard errors


def test_dropout_only_views_are_the_whole_window():
    group = kd.views.ViewGroup("whole", 3)
    windows = make_windows(HOSTILE)
    made = make_views(group)(windows, seed=0, step=0)["whole"]
    for view in range(3):
        np.testing.assert_array_equal(
            made["token_ids"][:, view, 1:], windows["token_ids"]
        )


def test_same_seed_and_step_same_views_and_else_others():
    views, windows = make_views(), make_windows([40] * 8)

    def draw(seed, step):
        made = views(windows, seed=seed, step=step)
        return np.concatenate(
            [made["global"]["masked_token_ids"], made["global"]["positions"]]
        ).tobytes()

    draws = [draw(*pair) for pair in [(0, 0), (0, 1), (1, 0), (1, 1)]]
    assert len(set(draws)) == 4
    assert draw(0, 1) == draws[1]


@pytest.mark.parametrize("word_deletion", [0.0, 0.3])
def test_a_row_does_not_depend_on_the_others(word_deletion):
    views = make_views(
        kd.views.ViewGroup(
            "all", 3, span=(0.2, 0.9), word_deletion=word_deletion
        )
    )
    windows = make_windows([5, 30, 40, 17, 40, 2])
    whole = views(windows, seed=5, step=6)["all"]
    changed = {key: value.copy() for key, value in windows.items()}
    changed["token_ids"][3:] = 77
    changed["lengths"][3:] = 4
    for other in (changed, {key: value[:3] for key, value in windows.items()}):
        part = views(other, seed=5, step=6)["all"]
        for key in whole:
            np.testing.assert_array_equal(part[key][:3], whole[key][:3])


@pytest.mark.parametrize("window", [1, 2, 3])
@pytest.mark.parametrize("length", [0, 1])
def test_tiny_windows_give_valid_views(window, length):
    windows = make_windows([length] * 4, window=window)
    made = make_views()(windows, seed=0, step=0)
    for group in made.values():
        assert (group["padding_mask"].sum(-1) == 1 + length).all()
    masked = made["global"]["masked"]
    assert masked.sum() == 4 * length  # Half of eight views, their one token.


def test_starts_are_optional():
    windows = make_windows([40, 9], starts=np.zeros(2, np.int32))
    expected = make_views()(windows, seed=0, step=0)
    del windows["starts"]
    received = make_views()(windows, seed=0, step=0)
    for name, group in expected.items():
        for key, value in group.items():
            np.testing.assert_array_equal(received[name][key], value)


# === Word deletion ===


def deleted_words(word_deletion, continues):
    """Kept tokens of 200 full views of 40 tokens, in `[200, 40]`."""
    group = kd.views.ViewGroup("all", 1, word_deletion=word_deletion)
    special = kd.views.SpecialTokens(PAD, CLS, MASK, continues)
    token_ids = np.tile(np.arange(100, 140, dtype=np.int32), (200, 1))
    windows = {"token_ids": token_ids, "lengths": np.full(200, 40)}
    made = make_views(group, special=special)(windows, seed=0, step=0)["all"]
    kept = np.zeros((200, 41), bool)
    np.put_along_axis(kept, made["positions"][:, 0], True, 1)
    return kept[:, :40]  # The last column took the -1.


def test_words_are_deleted_whole():
    continues = np.arange(200) % 4 != 0  # Words of four tokens.
    kept = deleted_words(0.3, continues).reshape(200, 10, 4)
    assert (kept == kept[..., :1]).all()
    # One of ten words is spared: 0.9 * 0.3 of the words go.
    error = np.sqrt(0.27 * 0.73 / 2000)
    assert abs((~kept[..., 0]).mean() - 0.27) < 5 * error


def test_tokens_are_words_where_nobody_knows_better():
    kept = deleted_words(0.5, None)
    assert abs((~kept).mean() - 0.5 * 39 / 40) < 0.03
    neighbours = np.corrcoef(kept[:, :-1].ravel(), kept[:, 1:].ravel())[0, 1]
    assert abs(neighbours) < 0.06


def test_a_word_always_stays():
    kept = deleted_words(0.999, np.arange(200) % 4 != 0)
    assert kept.any(1).all()
    assert kept.sum() < 200 * 8


# === Configuration ===


def test_defaults():
    views = make_views()
    assert views.roles == {
        "global": ("student", "teacher"),
        "local": ("student",),
    }
    assert views.shapes(256, 127) == {
        "global": {
            **dict.fromkeys(
                [
                    "token_ids",
                    "padding_mask",
                    "positions",
                    "masked",
                    "masked_token_ids",
                ],
                (256, 2, 128),
            ),
            "masked_indices": (256, 39),
        },
        "local": dict.fromkeys(
            ["token_ids", "padding_mask", "positions"], (256, 4, 52)
        ),
    }
    assert views.capacity(256, 127) == {"global": 39}


def test_serialisation_keeps_every_view():
    groups = (
        kd.views.ViewGroup("a", 1, roles="teacher"),
        kd.views.ViewGroup(
            "b", 2, (0.2, 0.9), "student", 0.5, 0.3, 2.0, word_deletion=0.2
        ),
    )
    continues = np.arange(9000) % 3 == 0
    special = kd.views.SpecialTokens(PAD, CLS, MASK, continues)
    views = make_views(*groups, special=special)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(views)))
    again = keras.saving.deserialize_keras_object(config)
    assert again.groups == views.groups
    windows = make_windows(HOSTILE)
    expected = views(windows, seed=0, step=0)
    received = again(windows, seed=0, step=0)
    for name, group in expected.items():
        for key, value in group.items():
            np.testing.assert_array_equal(received[name][key], value)


def test_tokenizers_are_read_by_their_attributes():
    class WordPiece:
        pad_token_id, start_token_id, mask_token_id = 3, 4, 5
        suffix_indicator = "##"

        def get_vocabulary(self):
            return ["a", "##b", ";", "!"]

    special = kd.views.TextViews(WordPiece(), 8).special_tokens
    assert special.get_config() == {
        "pad_token_id": 3,
        "cls_token_id": 4,
        "mask_token_id": 5,
        "vocabulary_size": 4,
        "continues": "40",  # bits, from the left
        "punctuation": "30",
        "sentence_ends": "10",
    }
    assert special.continues.tolist() == [False, True, False, False]
    assert special.punctuation.tolist() == [False, False, True, True]
    assert special.sentence_ends.tolist() == [False, False, False, True]
    config = keras.saving.serialize_keras_object(special)
    again = keras.saving.deserialize_keras_object(
        json.loads(json.dumps(config))
    )
    assert again.get_config() == special.get_config()
    WordPiece.mask_token_id = None
    with pytest.raises(ValueError, match="`tokenizer` has no `mask_token_id`"):
        kd.views.TextViews(WordPiece(), 8)


@pytest.mark.parametrize(
    "argument, value",
    [
        ("name", ""),
        ("count", 0),
        ("count", 1.5),
        ("span", (0.5, 0.2)),
        ("span", (-0.1, 0.2)),
        ("span", 0),
        ("span", 1.2),
        ("span", (0.1, 0.2, 0.3)),
        ("span", (0.1, float("nan"))),
        ("roles", ()),
        ("roles", "pupil"),
        ("roles", ("student", "student")),
        ("mask_probability", -0.1),
        ("mask_probability", 50),
        ("mask_ratio", 1.5),
        ("mask_ratio", (0.0, 0.5)),
        ("mask_span", 0.5),
        ("mask_span", -3),
        ("mask_unit", "letter"),
        ("word_swap", 1.1),
        ("punctuation_removal", -0.1),
        ("sentence_shuffle", None),
        ("sentence_window", 1),
        ("sentence_window", 17),
        ("synonym_replacement", float("inf")),
        ("typos", 2),
        ("word_deletion", 1.0),
        ("word_deletion", "a"),
    ],
)
def test_group_arguments_out_of_range_are_named(argument, value):
    arguments = {"name": "all", "count": 1, argument: value}
    with pytest.raises(ValueError) as error:
        kd.views.ViewGroup(**arguments)
    message = str(error.value)
    assert f"`{argument}`" in message
    assert f"Received: {argument}={value!r}" in message


def test_masks_need_a_student():
    with pytest.raises(ValueError, match="student does not read"):
        kd.views.ViewGroup("a", 1, roles="teacher", mask_probability=0.5)


def test_views_arguments_out_of_range_are_named():
    both = kd.views.ViewGroup("all", 1)
    student = kd.views.ViewGroup("part", 1, roles="student")
    for groups, message in [
        ((), "role 'student'"),
        ((student,), "role 'teacher'"),
        ((both, both), "distinct names"),
        (("all",), "ViewGroup"),
    ]:
        with pytest.raises(ValueError, match=message):
            kd.views.TextViews(SPECIAL, 128, groups)
    for length in (1, 2**15, 16.5, "16", None, float("nan")):
        with pytest.raises(ValueError, match="Received: sequence_length="):
            kd.views.TextViews(SPECIAL, length)
    for steps in (0, 1.5, "2", True):
        with pytest.raises(ValueError, match="gradient_accumulation_steps="):
            kd.views.TextViews(SPECIAL, gradient_accumulation_steps=steps)
    for ids, message in [
        ((-1, 1, 2), "pad_token_id=-1"),
        ((0, None, 2), "cls_token_id=None"),
        ((0, 1, "[MASK]"), "mask_token_id='.MASK.'"),
    ]:
        with pytest.raises(ValueError, match=message):
            kd.views.SpecialTokens(*ids)


def test_windows_of_the_wrong_form_are_named():
    views = kd.views.TextViews(SPECIAL, 41)
    windows = make_windows([40, 3])
    views(windows)
    for key, value, message in [
        ("token_ids", np.zeros((2, 41)), r"columns .*\(2, 41\)"),
        ("token_ids", np.zeros((0, 8)), "at least one row"),
        ("token_ids", np.zeros(8), r"static shape \[B, W\]"),
        ("lengths", np.array([41, 3]), "from 3 to 41"),
        ("lengths", np.array([-1, 3]), "from -1 to 3"),
        ("lengths", np.array([3]), "one integer a row"),
    ]:
        with pytest.raises(ValueError, match=message):
            views({**windows, key: value})
    with pytest.raises(ValueError, match="'lengths'"):
        views({"token_ids": windows["token_ids"]})
