"""`cosine_distance` against NumPy, at zero rows and unused ones."""

import numpy as np
import pytest

from keras_dinolm.losses import cosine_distance
from tests.gradients import value_and_grad
from tests.losses import reference

WEIGHTS = np.array([1.0, 0.0, 0.5, 2.0, 0.25], "float32")


def weighted(x, y):
    return cosine_distance(x, y, WEIGHTS)


def test_value_and_gradient():
    x, y = reference.draw(0, 5, 3), reference.draw(1, 5, 3)
    y[3] *= 1e-6  # lengths do not matter

    def expected(x):
        cosines = np.sum(reference.unit(x) * reference.unit(y), axis=1)
        return np.average(1 - cosines, weights=WEIGHTS)

    numeric = reference.gradient(expected, x)
    # Whatever an unused slot holds.
    x[1], y[1] = np.nan, np.inf
    value, (gradient,) = value_and_grad(weighted, x, others=[y])
    x[1] = y[1] = 0.0
    assert value == pytest.approx(expected(x.astype("float64")), rel=1e-5)
    numeric[1] = 0.0
    reference.check_gradient(gradient, numeric)


def test_a_zero_row_is_at_distance_one_and_feels_no_force():
    x, y = reference.draw(0, 5, 3), reference.draw(1, 5, 3)
    x[0] = 0.0
    value, (gradient,) = value_and_grad(weighted, x, others=[y])
    assert np.isfinite(gradient).all() and not gradient[0].any()
    cosines = np.sum(reference.unit(x) * reference.unit(y), axis=1)
    assert value == pytest.approx(
        np.average(1 - cosines, weights=WEIGHTS), rel=1e-5
    )
