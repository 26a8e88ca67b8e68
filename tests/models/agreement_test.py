"""The same training on every backend, and by finite differences.

Backends run in processes of their own, so they meet in a file:
`tests/assets/agreement.json`, which says what made it.
"""

import functools
import json

import keras
import numpy as np
import pytest

from tests import tiny
from tests.assets import make_agreement

GOLDEN = json.loads(make_agreement.PATH.read_text(encoding="utf-8"))["cases"]


@pytest.fixture(autouse=True, scope="module")
def _little_time_for_the_compiler():
    """Half of this file's time would go into making it fast."""
    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@functools.cache
def _model_and_start(case):
    model = make_agreement.model(case)
    return model, tiny.values([*model.variables, *model.optimizer.variables])


def _model(case):
    """A model at its start; compiled once."""
    model, start = _model_and_start(case)
    for variable, value in zip(
        [*model.variables, *model.optimizer.variables], start
    ):
        variable.assign(value)
    return model


@pytest.mark.parametrize("case", make_agreement.CASES)
def test_five_updates_give_the_same_terms_and_teacher(case):
    model = _model(case)
    start = tiny.values(model.teacher.weights)
    found = make_agreement.run(model)
    expected = GOLDEN[case]

    assert found["terms"].keys() == expected["terms"].keys()
    for name, values in expected["terms"].items():
        np.testing.assert_allclose(
            found["terms"][name], values, rtol=1e-4, atol=1e-4, err_msg=name
        )
    assert found["teacher"].keys() == expected["teacher"].keys()
    for name, values in expected["teacher"].items():
        np.testing.assert_allclose(
            found["teacher"][name], values, atol=1e-4, err_msg=name
        )
    # Not by standing still.
    moved = [
        np.abs(after - before).max()
        for after, before in zip(tiny.values(model.teacher.weights), start)
    ]
    assert np.median(moved) > 5e-3


def test_a_step_follows_the_slope_of_the_loss():
    """Plain SGD moves by the gradient; so the slope along any direction is
    known from the weights alone, and differences of the loss measure it."""
    # After another step: what that leaves behind must not count.
    _model("sgd").train_on_batch(tiny.batch(1))
    model = _model("sgd")
    model.optimizer.learning_rate = 1.0
    start = tiny.values(model.variables)
    batch = tiny.batch(0)
    before = tiny.values(model.trainable_variables)
    model.train_on_batch(batch)
    gradient = [
        b - a for b, a in zip(before, tiny.values(model.trainable_variables))
    ]

    def loss_at(offset):
        for variable, value in zip(model.variables, start):
            variable.assign(value)
        for variable, value, o in zip(
            model.trainable_variables, before, offset
        ):
            variable.assign(value + o)
        model.reset_metrics()
        return model.test_on_batch(batch, return_dict=True)["loss"]

    norm = np.sqrt(sum(np.sum(g.astype("float64") ** 2) for g in gradient))
    assert norm > 0.1
    for seed in range(3):
        # Half the gradient, half anywhere: a slope large enough to measure,
        # in which every weight has a part.
        rng = np.random.default_rng(seed)
        noise = [rng.normal(size=g.shape) for g in gradient]
        scale = np.sqrt(sum(np.sum(n**2) for n in noise))
        direction = [g / norm + n / scale for g, n in zip(gradient, noise)]
        slope = sum(np.sum(g * d) for g, d in zip(gradient, direction))
        step = 2e-3
        rise = loss_at([step * d for d in direction])
        fall = loss_at([-step * d for d in direction])
        assert (rise - fall) / (2 * step) == pytest.approx(slope, rel=5e-3)
