"""Steps that XLA compiles on TensorFlow, as `fit` does by default.

The other tests run TensorFlow's graphs without XLA, see `tests/conftest.py`.
"""

import inspect

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from tests import tiny

pytestmark = pytest.mark.xla

O = kd.objectives  # noqa: E741


def every_objective(**kwargs):
    return [
        O.SequenceDistillation(targets=kd.layers.Centering(), **kwargs),
        O.TokenDistillation(targets=kd.layers.OnlineCodebook(12), **kwargs),
        O.CrossViewTokenDistillation(),
        O.FeatureRegression(num_layers=1),
        O.GramAnchoring(),
        O.InfoNCE(),
        O.KoLeo(),
        O.MaskedLM(),
        O.MeanEntropyMaximization(),
        O.SimilarityDistillation(),
        O.VICReg(group="global"),
    ]


def trained(jit_compile, objectives, optimizer=None):
    """The logs of two steps, and the student's weights after them."""
    model = tiny.model(objectives)
    model.compile(
        optimizer or keras.optimizers.SGD(0.1), jit_compile=jit_compile
    )
    assert model.jit_compile == bool(jit_compile)
    logs = [
        model.train_on_batch(tiny.batch(step), return_dict=True)
        for step in range(2)
    ]
    return logs, tiny.values(model.trainable_variables)


def test_every_objective_is_in_the_list():
    listed = {type(objective) for objective in every_objective()}
    public = {
        thing
        for thing in vars(O).values()
        if inspect.isclass(thing) and issubclass(thing, O.Objective)
    }
    assert listed == public - {O.Objective}


def test_every_objective_learns_as_without_it():
    one, two = (trained(jit, every_objective()) for jit in ("auto", False))
    for logs, expected in zip(one[0], two[0], strict=True):
        assert logs == pytest.approx(expected, rel=1e-3, abs=1e-5)
    for a, b in zip(one[1], two[1], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_every_objective_in_mixed_precision_over_accumulated_batches(policy):
    keras.config.set_dtype_policy(policy)
    optimizer = kd.optimizers.AdamW(1e-3, gradient_accumulation_steps=2)
    if policy == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(
            optimizer, initial_scale=16.0
        )
    logs, _ = trained("auto", every_objective(), optimizer)
    assert all(np.isfinite(value) for value in logs[-1].values()), logs
    assert logs[-1]["skipped_steps"] == 0.0


def test_phases_and_several_steps_at_once():
    model = tiny.model([O.InfoNCE(), O.SequenceDistillation(start=2)])
    model.compile(keras.optimizers.SGD(0.1), steps_per_execution=2)
    assert model.jit_compile
    logs = model.fit(tiny.Batches(4), verbose=0).history
    assert np.isfinite(logs["loss"]).all()
    assert int(tiny.values([model.updates])[0]) == 4
