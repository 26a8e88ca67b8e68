"""Each way to train gives the same numbers on every backend, and the views.

Backends run in processes of their own, so they meet in a file:
`tests/assets/trajectories.json`.
"""

import functools

import keras
import numpy as np
import pytest

from tests import tiny
from tests.assets import trajectories

BACKEND = keras.backend.backend()
STORED = trajectories.read()
# Of another machine, too.
TOLERANCE = 1e-4
# On tensorflow, to trace a step takes longer than to run it five times. The
# case with most in it is compiled there as elsewhere.
EAGERLY = set(trajectories.CASES) if BACKEND == "tensorflow" else set()
EAGERLY -= {"several_students"}


@pytest.fixture(autouse=True, scope="module")
def _little_time_for_the_compiler():
    """Half of this file's time would go into making programs fast."""
    if BACKEND != "jax":
        yield
        return
    import jax

    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@functools.cache
def made(case):
    """A model, its parts, and its state before training."""
    keras.utils.set_random_seed(0)
    model, parts = trajectories.CASES[case]()
    model.run_eagerly = case in EAGERLY
    if BACKEND == "tensorflow":
        model.jit_compile = False
    return model, parts, tiny.values(variables(model))


def variables(model):
    return [*model.variables, *model.optimizer.variables]


def at_start(case):
    """A model before training; built and compiled once."""
    model, parts, start = made(case)
    for variable, value in zip(variables(model), start, strict=True):
        variable.assign(value)
    return model, parts


@pytest.mark.parametrize("case", trajectories.CASES)
def test_five_updates_give_the_same_losses_logs_and_weights(case):
    found = trajectories.run_model(*at_start(case))
    worst = trajectories.differences(found, STORED[BACKEND][case])
    assert max(worst.values()) < TOLERANCE, worst


@pytest.mark.once
@pytest.mark.parametrize("case", trajectories.CASES)
def test_backends_agree(case):
    if case == "deepened_bag":
        # Its new registers come from the backend's own random numbers.
        return
    for backend in ("torch", "tensorflow"):
        worst = trajectories.differences(
            STORED[backend][case], STORED["jax"][case]
        )
        assert max(worst.values()) < TOLERANCE, (backend, worst)


@pytest.mark.once
def test_views_are_the_same_to_the_bit():
    assert trajectories.views_digest() == STORED["views"]


def test_a_step_follows_the_slope_of_the_loss():
    """Differences of the loss measure its slope along any direction; AdamW's
    first moment after one step is the gradient, by a factor.

    All default objectives, so that each has a part in it.
    """
    model, _ = at_start("default")
    start = tiny.values(model.variables)
    before = tiny.values(model.trainable_variables)
    batch = tiny.batch(0)
    model.train_on_batch(batch)
    moments = [v for v in model.optimizer.variables if "momentum" in v.path]
    moments = [
        m.astype("float64") / (1 - model.optimizer.beta_1)
        for m in tiny.values(moments)
    ]
    assert [m.shape for m in moments] == [b.shape for b in before]
    norm = np.sqrt(sum(np.sum(m**2) for m in moments))
    # Clipped, so only the direction is known.
    assert norm == pytest.approx(0.5, rel=1e-4)
    unit = [m / norm for m in moments]

    def slope(direction, step=2e-3):
        losses = []
        for sign in (1, -1):
            for variable, value in zip(model.variables, start):
                variable.assign(value)
            for variable, value, d in zip(
                model.trainable_variables, before, direction
            ):
                variable.assign(value + sign * step * d)
            model.reset_metrics()
            logs = model.test_on_batch(batch, return_dict=True)
            losses.append(logs["loss"])
        return (losses[0] - losses[1]) / (2 * step)

    steepest = slope(unit)
    assert steepest > 0.5
    for seed in range(3):
        # Half the gradient, half anywhere: a slope large enough to measure,
        # in which every weight has a part.
        rng = np.random.default_rng(seed)
        noise = [rng.normal(size=u.shape) for u in unit]
        scale = np.sqrt(sum(np.sum(n**2) for n in noise))
        direction = [u + n / scale for u, n in zip(unit, noise)]
        expected = steepest * sum(
            np.sum(u * d) for u, d in zip(unit, direction)
        )
        assert slope(direction) == pytest.approx(expected, rel=1e-2)
