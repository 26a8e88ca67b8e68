"""Settings that move with the step: values, masks, shapes, resuming."""

import itertools
import json
from fractions import Fraction

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from tests import tiny

Linear = kd.schedules.Linear
PiecewiseLinear = kd.schedules.PiecewiseLinear
SPECIAL = kd.views.SpecialTokens(0, 1, 2)


def make(group, step, batch_size=8, window=40):
    """The views object, and the group of a batch of full windows."""
    views = kd.views.TextViews(SPECIAL, window + 1, (group,))
    token_ids = 3 + np.arange(batch_size * window, dtype=np.int32)
    windows = {
        "token_ids": token_ids.reshape(batch_size, window),
        "lengths": np.full(batch_size, window, np.int32),
    }
    return views, views(windows, seed=0, step=step)["all"]


# === What the views make of them ===


def test_masks_begin_and_grow_and_never_lack_room():
    group = kd.views.ViewGroup(
        "all",
        2,
        mask_probability=Linear(0.0, 1.0, steps=16, begin=4),
        mask_ratio=(
            PiecewiseLinear([0, 10, 20], [0.1, 0.5, 0.2]),
            PiecewiseLinear([0, 12, 20], [0.1, 0.8, 0.3]),
        ),
    )
    for step in range(24):
        views, made = make(group, step)
        counts = np.sort(made["masked"].sum(-1).ravel())[::-1]
        share = Fraction(min(max(step - 4, 0), 16), 16)
        number = int(share * 16)
        assert (counts > 0).sum() == number, step
        low, high = (
            Fraction(str(round(float(end(step)), 6)))
            for end in group.mask_ratio
        )
        for i, count in enumerate(counts[:number]):
            part = Fraction(i, number - 1) if number > 1 else Fraction(1, 2)
            # Units of 1/10000 are rounded; the count is that of 40 tokens.
            expected = (high - (high - low) * part) * 40
            assert abs(count - expected) <= 0.5 + 40 * 3e-4
        slots = views.capacity(8, 40)["all"]
        indices = made["masked_indices"]
        assert indices.shape == (8, slots)
        np.testing.assert_array_equal(
            indices[indices >= 0], np.flatnonzero(made["masked"])
        )


def test_a_constant_curve_gives_the_bits_of_the_number():
    numbers = {
        "span": (0.3, 0.9),
        "mask_probability": 0.7,
        "mask_ratio": (0.1, 0.6),
        "mask_span": 2.0,
        "word_deletion": 0.3,
        "word_swap": 0.4,
    }
    curves = {
        name: tuple(PiecewiseLinear([3], [end]) for end in value)
        if isinstance(value, tuple)
        else PiecewiseLinear([3], [value])
        for name, value in numbers.items()
    }
    _, expected = make(kd.views.ViewGroup("all", 3, **numbers), 5)
    _, received = make(kd.views.ViewGroup("all", 3, **curves), 5)
    for key, value in expected.items():
        np.testing.assert_array_equal(received[key], value, key)


def test_spans_shrink_at_a_constant_width():
    group = kd.views.ViewGroup("all", 64, span=(Linear(0.5, 0.1, steps=8), 0.5))
    for step in range(10):
        views, made = make(group, step)
        assert (
            made["token_ids"].shape == views.shapes(8, 40)["all"]["token_ids"]
        )
        lengths = made["padding_mask"].sum(-1) - 1
        low = 20 - 2 * min(step, 8)
        assert set(lengths.ravel()) == set(range(low, 21))


def test_probabilities_follow_the_step():
    group = kd.views.ViewGroup(
        "all", 64, word_deletion=Linear(0.0, 0.5, steps=4, begin=2)
    )
    for step in (0, 2, 3, 4, 6, 60):
        _, made = make(group, step)
        share = 1 - (made["padding_mask"].sum() - 512) / (512 * 40)
        # One of 40 words is spared.
        expected = min(max(step - 2, 0), 4) / 8 * 39 / 40
        assert share == pytest.approx(expected, abs=0.02)


# === Resuming ===


def text_views(tokenizer):
    group = kd.views.ViewGroup(
        "all",
        2,
        span=(Linear(1.0, 0.3, steps=5), 1.0),
        mask_probability=Linear(0.0, 1.0, steps=3, begin=1),
        mask_unit="word",
        word_deletion=Linear(0.0, 0.3, steps=4, begin=2),
        word_swap=Linear(0.0, 0.5, steps=3, begin=3),
    )
    return kd.views.TextViews(tokenizer, 17, (group,))


@pytest.mark.once  # Both kinds of dataset are the same under any backend.
def test_a_resumed_stream_goes_on_with_the_same_bits(tmp_path):
    texts = [f"text number {i} of a small corpus of words" for i in range(60)]
    tokenizer = kd.data.train_tokenizer(texts, vocabulary_size=80)
    tokens = kd.data.tokenize(texts, tokenizer, tmp_path, num_workers=1)

    def read(start_step, stop, views=None, **kwargs):
        dataset = kd.data.view_dataset(
            tokens,
            views or text_views(tokenizer),
            batch_size=8,
            start_step=start_step,
            num_epochs=2,
            **kwargs,
        )
        batches = itertools.islice(iter(dataset), stop - start_step)
        return [
            {k: np.asarray(v) for k, v in batch["all"].items()}
            for batch in batches
        ]

    whole = read(0, 9)
    # A saved and restored object continues as the original does.
    config = keras.saving.serialize_keras_object(text_views(tokenizer))
    again = keras.saving.deserialize_keras_object(
        json.loads(json.dumps(config))
    )
    assert again.groups == text_views(tokenizer).groups
    # Each graph takes seconds to trace.
    streams = [
        (4, read(4, 9, again)),
        (0, read(0, 9, use_tf_data=False)),
        (6, read(6, 9, again, use_tf_data=False)),
    ]
    for start, stream in streams:
        for received, expected in zip(stream, whole[start:], strict=True):
            assert received.keys() == expected.keys()
            for key, value in expected.items():
                np.testing.assert_array_equal(received[key], value, key)
    masked = [int(batch["masked"].any(-1).sum()) for batch in whole]
    assert masked == [0, 0, 5, 10, 16, 16, 16, 16, 16]
    widths = {batch["token_ids"].shape for batch in whole}
    assert len(widths) <= 2  # Those of the buckets.


# === Training ===


def test_training_goes_through_a_curriculum_without_compiling_again():
    group = kd.views.ViewGroup(
        "global",
        2,
        span=(Linear(1.0, 0.3, steps=4), 1.0),
        mask_probability=Linear(0.0, 1.0, steps=3, begin=2),
        mask_ratio=(0.1, Linear(0.2, 0.9, steps=6)),
        word_deletion=Linear(0.0, 0.3, steps=3, begin=3),
        word_swap=Linear(0.0, 0.5, steps=3, begin=4),
    )
    views = tiny.text_views(groups=(group,))
    model = tiny.model([kd.objectives.TokenDistillation()], roles=views.roles)
    model.compile(keras.optimizers.SGD(0.1))
    calls, original = [], model.call

    def spy(*args, **kwargs):
        calls.append(1)
        return original(*args, **kwargs)

    model.call = spy
    counts, losses = [], []
    for step in range(8):
        batches = tiny.Batches(1, start=step, views=views)
        history = model.fit(batches, verbose=0).history
        counts.append(len(calls))
        losses += history["token_distillation"]
    # Nothing is masked in the first three batches, so nothing is predicted.
    assert losses[:3] == [0.0] * 3
    assert min(losses[3:]) > 0 and np.isfinite(losses).all()
    # Compiled backends call Python while they trace, torch at each step.
    if keras.backend.backend() == "torch":
        assert counts == list(range(counts[0], counts[0] + 8))
    else:
        assert counts[1:] == counts[1:2] * 7


def test_with_accumulation_a_curriculum_counts_optimizer_updates():
    group = kd.views.ViewGroup(
        "all", 1, mask_probability=Linear(0.0, 1.0, 4), mask_ratio=0.5
    )
    views = kd.views.TextViews(
        SPECIAL, 41, (group,), gradient_accumulation_steps=3
    )
    config = json.loads(json.dumps(views.get_config()))
    views = kd.views.TextViews.from_config(config)
    token_ids = 3 + np.arange(8 * 40, dtype=np.int32).reshape(8, 40)
    windows = {"token_ids": token_ids, "lengths": np.full(8, 40, np.int32)}
    batches = [views(windows, seed=0, step=s)["all"] for s in range(15)]
    counts = [int(b["masked"].any(-1).sum()) for b in batches]
    assert counts == [n for n in (0, 2, 4, 6, 8) for _ in range(3)]
    # The batches of an update are different ones all the same.
    assert not np.array_equal(batches[13]["masked"], batches[14]["masked"])


# === Arguments ===


def test_settings_out_of_range_are_named():
    with pytest.raises(ValueError, match="Received: mask_probability="):
        kd.views.ViewGroup("a", 1, mask_probability=Linear(0, 1.5, 9))
    # 0.3 to 0.6 and 0.5 at all times: they cross.
    with pytest.raises(ValueError, match="low <= high"):
        kd.views.ViewGroup("a", 1, span=(Linear(0.3, 0.6, 9), 0.5))
    with pytest.raises(ValueError, match="`count` .*not a schedule"):
        kd.views.ViewGroup("a", Linear(1, 2, 9))
    group = kd.views.ViewGroup("all", 1, mask_probability=Linear(0.1, 0.2, 9))
    with pytest.raises(ValueError, match="fewer than 107,374 views"):
        make(group, 0, batch_size=107_375, window=1)


def test_lines_may_touch():
    high = PiecewiseLinear([0, 3, 9], [0.9, 0.7, 0.3])
    group = kd.views.ViewGroup("a", 1, span=(Linear(0.9, 0.3, 9), high))
    assert group.span == (Linear(0.9, 0.3, 9), high)


@pytest.mark.parametrize(
    "schedule",
    [
        kd.schedules.Cosine(0.2, 0.5, steps=9),
        kd.schedules.Warmup(9, then=0.5),
        kd.schedules.Delayed(9, then=0.5),
        keras.optimizers.schedules.PolynomialDecay(0.2, 9, 0.5),
        lambda step: 0.5,
    ],
    ids=["cosine", "warmup", "delayed", "keras", "function"],
)
def test_schedules_without_exact_bits_are_refused_but_not_as_lines(schedule):
    for argument, value in {
        "word_deletion": schedule,
        "span": schedule,
        "mask_ratio": (0.1, schedule),
    }.items():
        with pytest.raises(ValueError) as error:
            kd.views.ViewGroup("a", 1, **{argument: value})
        message = str(error.value)
        assert f"`{argument}` of view group 'a'" in message
        for allowed in ("Linear`", "PiecewiseLinear`", "PiecewiseLinear.of("):
            assert f"kd.schedules.{allowed}" in message
        assert "<" in message.partition("Received")[2]  # the schedule
    lines = PiecewiseLinear.of(schedule, steps=9)
    assert kd.views.ViewGroup("a", 1, word_deletion=lines)


def test_a_group_with_schedules_goes_through_keras_serialization():
    group = kd.views.ViewGroup(
        "all",
        2,
        span=(Linear(0.9, 0.3, 9, begin=2), 1.0),
        mask_probability=PiecewiseLinear([0, 4], [0.0, 0.5]),
        roles="student",
    )
    config = keras.saving.serialize_keras_object(group)
    again = keras.saving.deserialize_keras_object(
        json.loads(json.dumps(config))
    )
    assert again == group and hash(again) == hash(group)
    assert isinstance(again.span[0], Linear)
    assert kd.views.ViewGroup.from_config(group.get_config()) == group
