"""Straight lines in integers, as views read them: exact, and without end."""

import math
from fractions import Fraction

import keras
import numpy as np
import pytest
from keras import ops

import keras_dinolm as kd
from keras_dinolm.views.namespace import NUMPY

Linear = kd.schedules.Linear
PiecewiseLinear = kd.schedules.PiecewiseLinear


def at(schedule, steps):
    """Floats, as optimizers and objectives read them."""
    return ops.convert_to_numpy(schedule(np.array(steps, "int32")))


def units(schedule, step, scale=65_536):
    """Integers, as views read them."""
    (value,) = schedule.units_at(step, scale, NUMPY)
    return int(value)


def exact(knots, values, step):
    """Linear interpolation of decimal fractions, in exact arithmetic."""
    values = [Fraction(str(value)) for value in values]
    if step <= knots[0]:
        return values[0]
    for a, b, low, high in zip(knots, knots[1:], values, values[1:]):
        if step <= b:
            return low + (high - low) * Fraction(step - a, b - a)
    return values[-1]


@pytest.mark.parametrize("scale", [10_000, 65_536])
def test_values_are_the_line_to_a_unit(scale):
    rng = np.random.default_rng(0)
    for _ in range(20):
        knots = np.cumsum(rng.integers(1, 2_000, rng.integers(1, 6))).tolist()
        values = rng.integers(0, 10_001, len(knots)) / 10_000
        curve = PiecewiseLinear(knots, values)
        steps = [0, *knots, *rng.integers(0, knots[-1] + 100, 20).tolist()]
        expected = [exact(knots, values, step) for step in steps]
        np.testing.assert_allclose(
            at(curve, steps), list(map(float, expected)), atol=1e-6
        )
        for step, value in zip(steps, expected):
            assert abs(units(curve, step, scale) - value * scale) <= 1
        for step, value in zip(knots, values, strict=True):
            assert units(curve, step, scale) == round(value * scale)


def test_one_line_is_a_line_of_two_knots():
    line = Linear(0.2, 0.6, steps=100, begin=50)
    lines = PiecewiseLinear([50, 150], [0.2, 0.6])
    steps = [0, 50, 75, 150, 999]
    expected = [0.2, 0.2, 0.3, 0.6, 0.6]
    np.testing.assert_allclose(at(line, steps), expected, rtol=1e-6)
    np.testing.assert_allclose(at(lines, steps), expected, rtol=1e-6)
    assert [units(line, s) for s in steps] == [units(lines, s) for s in steps]
    assert (line.knots, line.values) == (lines.knots, lines.values)


@pytest.mark.parametrize("width", [2**16, 10**6 + 7, 2**31 - 1])
@pytest.mark.parametrize("values", [(0.0, 1.0), (0.9, 0.1)])
def test_long_lines_do_not_overflow(width, values):
    curve = Linear(*values, steps=width)
    steps = [width * i // 1_000 for i in range(1_001)]
    received = np.array([units(curve, step) for step in steps])
    expected = np.interp(steps, (0, width), np.array(values) * 65_536)
    # A stair of 2^13 at least, of which a half may be lost in its division.
    assert np.abs(received - expected).max() <= 2 * 65_536 / 2**12
    assert received[0] == round(values[0] * 65_536)
    assert received[-1] == round(values[1] * 65_536)
    assert (np.diff(received) * np.sign(values[1] - values[0]) >= 0).all()


def test_differences_of_late_updates_are_exact():
    """Floats hold each integer up to 2^24 only."""
    begin = 2**30 + 1
    curve = PiecewiseLinear([begin, begin + 2, begin + 4], [0.0, 0.5, 0.0])
    steps = [begin + i for i in range(5)]
    np.testing.assert_array_equal(at(curve, steps), [0, 0.25, 0.5, 0.25, 0])


def test_other_schedules_are_sampled():
    cosine = kd.schedules.Cosine(0.1, 0.5, steps=1_000)
    curve = PiecewiseLinear.of(cosine, steps=1_000)
    steps = list(range(0, 1_200, 7))
    waves = [0.5 - 0.5 * math.cos(math.pi * min(s / 1_000, 1)) for s in steps]
    # Straight lines lie below an arc: h^2 / 8 times its curvature.
    arc = 16**2 / 8 * 0.2 * (math.pi / 1_000) ** 2
    expected = 0.1 + 0.4 * np.array(waves)
    assert np.abs(at(curve, steps) - expected).max() < arc + 2e-6
    warmup = kd.schedules.Warmup(10, then=Linear(1.0, 0.0, steps=10))
    curve = PiecewiseLinear.of(warmup, steps=20, points=1_000)
    assert curve.knots == tuple(range(21))
    steps = np.arange(21)
    expected = np.minimum((steps + 1) / 10, 1)
    expected *= 1 - np.maximum(steps - 10, 0) / 10
    np.testing.assert_allclose(at(curve, steps), expected, atol=2e-6)
    assert at(PiecewiseLinear.of(lambda step: 0.5, 9), 4) == 0.5


def test_equal_lines_are_equal():
    line = Linear(0.0, 1.0, steps=9)
    assert line == Linear(0, 1, 9) and hash(line) == hash(Linear(0, 1, 9))
    assert line != Linear(0.0, 1.0, steps=8)
    assert line != PiecewiseLinear([0, 9], [0.0, 1.0])
    assert repr(line) == "Linear(start=0.0, end=1.0, steps=9, begin=0)"


# === Arguments ===


@pytest.mark.parametrize(
    "knots, values, message",
    [
        ([3, 3], [0, 1], "`knots` must hold ascending"),
        ([5, 3], [0, 1], "`knots` must hold ascending"),
        ([-1, 3], [0, 1], "`knots` must hold ascending"),
        ([0, 2**31], [0, 1], "`knots` must hold ascending"),
        ([0.5, 1], [0, 1], "`knots` must hold ascending"),
        (["a"], [0], "`knots` must hold ascending"),
        ([], [], "`knots` must hold ascending"),
        ([0, 1], [0], "one number for each of the 2 `knots`"),
        ([0], [math.nan], "`values` must be a finite number"),
        ([0], ["a"], "`values` must be a finite number"),
    ],
)
def test_knots_out_of_order_are_named(knots, values, message):
    with pytest.raises(ValueError, match=message):
        PiecewiseLinear(knots, values)


def test_samples_out_of_range_are_named():
    with pytest.raises(ValueError, match="Received: points=1"):
        PiecewiseLinear.of(lambda step: 0, 10, points=1)
    with pytest.raises(ValueError, match="Received: steps=0"):
        PiecewiseLinear.of(lambda step: 0, 0)
    with pytest.raises(ValueError, match="callable from int to float"):
        PiecewiseLinear.of(0.5, 10)


def test_lines_survive_serialization():
    for lines in (
        Linear(0.04, 0.07, steps=10, begin=3),
        PiecewiseLinear([2, 9], [0.5, 0.1]),
    ):
        config = keras.saving.serialize_keras_object(lines)
        assert keras.saving.deserialize_keras_object(config) == lines
