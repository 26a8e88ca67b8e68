"""`sigreg` against the definition, its closed form, and what it is for."""

import numpy as np
import pytest

from keras_dinolm.losses import sigreg
from tests.gradients import evaluate
from tests.gradients import value_and_grad
from tests.losses import reference


def definition(x, directions, num_points=17, limit=5.0):
    """The integral by the trapezoid rule, with complex numbers."""
    total = 0.0
    t = np.linspace(-limit, limit, num_points)
    for a in reference.unit(reference.array(directions)):
        p = reference.array(x) @ a
        found = np.mean(np.exp(1j * t[:, None] * p[None]), axis=1)
        error = np.abs(found - np.exp(-(t**2) / 2)) ** 2
        total += len(p) * np.trapezoid(error * np.exp(-(t**2) / 2), t)
    return total / len(directions)


def closed_form(x, directions):
    """The integral over all t, from Gaussian integrals."""
    total = 0.0
    for a in reference.unit(reference.array(directions)):
        p = reference.array(x) @ a
        pairs = np.exp(-((p[:, None] - p[None]) ** 2) / 2).mean()
        single = np.sqrt(2) * np.exp(-(p**2) / 4).mean()
        total += len(p) * np.sqrt(2 * np.pi) * (pairs - single + 3**-0.5)
    return total / len(directions)


def test_value_and_gradient():
    x, directions = 2 * reference.draw(0, 7, 3), reference.draw(1, 5, 3)
    value, (gradient,) = value_and_grad(sigreg, x, others=[directions])
    assert value == pytest.approx(definition(x, directions), rel=1e-5)
    reference.check_gradient(
        gradient, reference.gradient(lambda z: definition(z, directions), x)
    )


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [({}, 1e-3), ({"num_points": 65, "limit": 8.0}, 1e-5)],
)
def test_points_of_the_paper_are_close_to_the_whole_integral(
    options, tolerance
):
    rng = np.random.default_rng(2)
    directions = rng.normal(size=(16, 6))
    for scale in (0.3, 1.0, 1.5):
        x = (scale * rng.normal(size=(40, 6))).astype("float32")
        found = float(evaluate(sigreg, x, directions, **options))
        assert found == pytest.approx(
            closed_form(x, directions), abs=tolerance * max(1, found)
        )


def test_least_for_the_standard_normal_distribution():
    rng = np.random.default_rng(3)
    directions = rng.normal(size=(64, 8))
    normal = rng.normal(size=(256, 8))
    x = {
        "normal": normal,
        "collapsed": np.zeros((256, 8)),
        "shifted": normal + 0.5,
        "wide": 2 * normal,
        "flat": normal * (np.arange(8) < 4),
        # Mean 0 and variance 1, which moments alone would not tell.
        "signs": np.sign(normal) * 1.0,
    }
    values = {
        name: float(evaluate(sigreg, v.astype("float32"), directions))
        for name, v in x.items()
    }
    expected = np.sqrt(2 * np.pi) * (1 - 3**-0.5)
    assert values["normal"] == pytest.approx(expected, rel=0.15)
    assert values["collapsed"] > 100
    assert min(v for k, v in values.items() if k != "normal") > 2 * expected


def test_equal_rows_and_huge_values_have_finite_gradients():
    directions = reference.draw(1, 5, 3)
    for x in (np.zeros((4, 3)), np.full((4, 3), 1e4)):
        _, (gradient,) = value_and_grad(
            sigreg, x.astype("float32"), others=[directions]
        )
        assert np.isfinite(gradient).all()
