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


def test_refuses_an_empty_ramp():
    with pytest.raises(ValueError, match="steps=0"):
        kd.schedules.Linear(0.0, 1.0, steps=0)
    with pytest.raises(ValueError, match="steps=-1"):
        kd.schedules.Warmup(-1, then=1.0)
    with pytest.raises(ValueError, match="steps=-1"):
        kd.schedules.Delayed(-1)
