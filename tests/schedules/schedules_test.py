import math

import keras
import numpy as np
import pytest
from keras import ops

import keras_dinolm as kd


def at(schedule, step):
    return float(ops.convert_to_numpy(schedule(step)))


def test_linear_goes_straight_and_stays():
    schedule = kd.schedules.Linear(0.04, 0.07, steps=10)
    for step in (0, 3, 10, 99):
        expected = np.interp(step, [0, 10], [0.04, 0.07])
        assert at(schedule, step) == pytest.approx(expected, abs=1e-7)


def test_cosine_is_half_a_wave_and_stays():
    schedule = kd.schedules.Cosine(0.99, 0.9995, steps=200)
    assert at(schedule, 0) == pytest.approx(0.99)
    assert at(schedule, 100) == pytest.approx((0.99 + 0.9995) / 2)
    assert at(schedule, 50) == pytest.approx(
        0.99 + 0.0095 * (1 - math.cos(math.pi / 4)) / 2
    )
    assert at(schedule, 10_000) == pytest.approx(0.9995)


def test_a_wave_or_line_may_begin_later():
    for schedule in (kd.schedules.Linear, kd.schedules.Cosine):
        now, later = schedule(0.2, 0.7, 10), schedule(0.2, 0.7, 10, begin=5)
        assert [at(later, s + 5) for s in (-3, 0, 4, 10, 11)] == [
            at(now, s) for s in (0, 0, 4, 10, 11)
        ]


def test_cosine_is_keras_cosine_decay():
    ours = kd.schedules.Cosine(1e-3, 1e-5, steps=100)
    theirs = keras.optimizers.schedules.CosineDecay(1e-3, 100, alpha=1e-2)
    for step in (0, 1, 37, 100, 150):
        assert at(ours, step) == pytest.approx(at(theirs, step), rel=1e-5)


def test_warmup_moves_from_the_first_update_and_peaks_once():
    schedule = kd.schedules.Warmup(
        4, then=kd.schedules.Cosine(1.0, 0.0, steps=6)
    )
    rates = [at(schedule, step) for step in range(12)]
    np.testing.assert_allclose(rates[:4], [0.25, 0.5, 0.75, 1.0], rtol=1e-6)
    assert np.all(np.diff(rates[4:]) <= 0) and rates[10] == 0.0


def test_delayed_is_nothing_and_then_counts_from_there():
    schedule = kd.schedules.Delayed(3, then=kd.schedules.Warmup(2, 0.8))
    shares = [at(schedule, step) for step in range(6)]
    np.testing.assert_allclose(shares, [0, 0, 0, 0.4, 0.8, 0.8], rtol=1e-6)
    assert at(kd.schedules.Delayed(0), 0) == 1.0


@pytest.mark.parametrize(
    "schedule",
    [
        kd.schedules.Delayed(3, then=kd.schedules.Warmup(2, 0.5)),
        kd.schedules.Linear(0.04, 0.07, steps=10),
        kd.schedules.Warmup(3, then=kd.schedules.Cosine(1.0, 0.1, steps=5)),
        kd.schedules.Warmup(3, then=0.5),
    ],
    ids=["delayed", "linear", "warmup_cosine", "warmup_constant"],
)
def test_survives_serialization(schedule):
    config = keras.saving.serialize_keras_object(schedule)
    again = keras.saving.deserialize_keras_object(config)
    for step in (0, 2, 7):
        assert at(again, step) == at(schedule, step)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda S: S.Linear(0.0, 1.0, steps=0), "`steps` .*steps=0"),
        (lambda S: S.Linear(0.0, 1.0, steps=1.5), "`steps` .*steps=1.5"),
        (lambda S: S.Linear(0.0, 1.0, steps="9"), "`steps` .*steps='9'"),
        (lambda S: S.Linear(0.0, 1.0, 9, begin=-1), "`begin` .*begin=-1"),
        (lambda S: S.Linear(0.0, 1.0, 2**30, 2**30), "less than 2\\^31"),
        (lambda S: S.Linear(math.nan, 1.0, 9), "`start` .*start=nan"),
        (lambda S: S.Cosine(0.0, math.inf, 9), "`end` .*end=inf"),
        (lambda S: S.Cosine("a", 1.0, 9), "`start` .*start='a'"),
        (lambda S: S.Cosine(0.0, 1.0, True), "`steps` .*steps=True"),
        (lambda S: S.Warmup(-1, then=1.0), "`steps` .*steps=-1"),
        (lambda S: S.Warmup(1, then="high"), "`then` .*then='high'"),
        (lambda S: S.Delayed(-1), "`steps` .*steps=-1"),
        (lambda S: S.Delayed(1, then=None), "`then` .*then=None"),
    ],
)
def test_arguments_out_of_range_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make(kd.schedules)
