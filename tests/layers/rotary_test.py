"""Rotary tables, rescaled and jittered, against float64 NumPy."""

import keras
import numpy as np
import pytest
import scipy.stats

from keras_dinolm import layers
from tests.layers.arrays import to_numpy

DIM, PREFIX, LENGTH = 8, 2, 40
TOKENS = np.zeros((1, PREFIX + LENGTH, 1), "float32")


def angles(factor=1.0, wavelength=10_000.0):
    """Angles of all positions multiplied by a factor."""
    position = np.r_[np.zeros(PREFIX), np.arange(LENGTH)]
    frequency = wavelength ** (-np.arange(0, DIM, 2) / DIM)
    return factor * position[:, None] * frequency


def assert_tables(tables, expected, atol=1e-5):
    for found, function in zip(tables, (np.cos, np.sin), strict=True):
        np.testing.assert_allclose(
            to_numpy(found), function(expected), atol=atol
        )


def jittered(position_jitter=2.0, **kwargs):
    return layers.RotaryTables(
        DIM, PREFIX, position_jitter=position_jitter, **kwargs
    )


def factor_of(tables):
    """By how much the slowest pair of features turned faster."""
    cos, sin = (to_numpy(table)[PREFIX + 1, -1] for table in tables)
    return np.arctan2(sin, cos) / angles()[PREFIX + 1, -1]


@pytest.mark.parametrize("scaling_factor", [1.0, 4.0, 2.5])
def test_positions_are_divided_by_the_scaling_factor(scaling_factor):
    layer = layers.RotaryTables(
        DIM, PREFIX, max_wavelength=500.0, scaling_factor=scaling_factor
    )
    assert_tables(layer(TOKENS), angles(1 / scaling_factor, 500.0))


def test_jitter_is_in_training_alone():
    layer = jittered()
    for training in (None, False):
        assert_tables(layer(TOKENS, training=training), angles())
    # One number for all positions and features; the prefix stays.
    tables = layer(TOKENS, training=True)
    factor = factor_of(tables)
    assert abs(factor - 1) > 1e-3
    assert_tables(tables, angles(factor), atol=1e-3)


def test_jitter_is_log_uniform():
    layer = jittered(3.0, seed=0)
    tables = [layer(TOKENS, training=True) for _ in range(100)]
    drawn = np.log([factor_of(t) for t in tables])
    limit = np.log(3)
    assert np.abs(drawn).max() <= limit + 1e-5
    uniform = scipy.stats.uniform(-limit, 2 * limit)
    assert scipy.stats.kstest(drawn, uniform.cdf).pvalue > 0.01


def test_jitter_goes_on_from_its_state():
    layer = jittered()
    (state,) = layer.variables
    layer(TOKENS, training=True)
    saved = keras.ops.convert_to_numpy(state)
    first, second = (factor_of(layer(TOKENS, training=True)) for _ in "ab")
    assert first != second
    other = jittered()
    other.variables[0].assign(saved)
    again = [factor_of(other(TOKENS, training=True)) for _ in "ab"]
    assert again == [first, second]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scaling_factor": 0.0}, "scaling_factor=0.0"),
        ({"position_jitter": 0.5}, "position_jitter=0.5"),
        ({"position_jitter": float("nan")}, "position_jitter=nan"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        layers.RotaryTables(DIM, **arguments)
