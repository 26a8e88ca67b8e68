"""`VICReg` against float64 NumPy: expander, pairing, gradient."""

import keras
import numpy as np
import pytest
from scipy.special import erf

import keras_dinolm as kd
from tests import tiny
from tests.gradients import value_and_grad
from tests.losses import reference
from tests.objectives import features as made

VIEWS = tiny.batch(batch_size=5)


def build(**kwargs):
    objective = kd.objectives.VICReg(expander_dim=7, **kwargs)
    objective.build_for(made.Lesson())
    return objective


def expand(objective, x):
    for dense, norm in zip(objective.expander.dense_layers, [0, 0, None]):
        kernel, bias = (w.astype("float64") for w in tiny.values(dense.weights))
        x = x @ kernel + bias
        if norm is not None:
            x = x - x.mean(axis=-1, keepdims=True)
            x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6)
            x = 0.5 * x * (1 + erf(x / np.sqrt(2)))
    return x


def expected(objective, views, num_pairs, weights):
    x = expand(objective, reference.array(views))
    return np.mean(
        [
            reference.vicreg(x[:, 2 * i], x[:, 2 * i + 1], *weights)
            for i in range(num_pairs)
        ]
    )


@pytest.mark.parametrize(
    ("group", "num_pairs", "weights"),
    [("local", None, (25, 25, 1)), ("global", 1, (2, 3, 5))],
)
def test_value_and_gradient(group, num_pairs, weights):
    objective = build(
        group=group,
        num_pairs=num_pairs,
        invariance_weight=weights[0],
        variance_weight=weights[1],
        covariance_weight=weights[2],
    )
    student = made.draw(VIEWS, seed=0)

    def loss(sequence):
        replaced = {**student, group: {"sequence": sequence}}
        return objective.compute(made.features(VIEWS, replaced)).loss

    sequence = student[group]["sequence"]
    value, (gradient,) = value_and_grad(loss, sequence)
    num_pairs = num_pairs or 2
    wanted = expected(objective, sequence, num_pairs, weights)
    assert value == pytest.approx(wanted, rel=1e-5)
    numeric = reference.gradient(
        lambda x: expected(objective, x, num_pairs, weights), sequence
    )
    reference.check_gradient(gradient, numeric, 1e-4)


def test_reads_the_student_alone():
    objective = kd.objectives.VICReg()
    assert objective.reads(made.Lesson.roles) == {("student", "local")}
    assert objective.heads == () and objective.name == "vicreg"


def test_expander_has_the_policy_and_the_config_its_width():
    keras.config.set_dtype_policy("mixed_bfloat16")
    objective = kd.objectives.VICReg()
    objective.build_for(made.Lesson())
    config = keras.saving.serialize_keras_object(objective)
    again = keras.saving.deserialize_keras_object(config)
    assert again.expander_dim == 4 * made.WIDTH
    views = tiny.batch(batch_size=3)
    loss = objective.compute(
        made.features(views, made.draw(views, seed=1))
    ).loss
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    assert np.isfinite(tiny.values([loss])[0])


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"group": "other"}, "`VICReg`.*group='other'"),
        ({"variance_weight": -1.0}, "variance_weight=-1.0"),
        ({"expander_dim": 0}, "expander_dim=0"),
    ],
)
def test_refuses(kwargs, message):
    with pytest.raises(ValueError, match=message):
        kd.objectives.VICReg(**kwargs).build_for(made.Lesson())


def test_needs_two_views():
    objective = build(num_pairs=3)
    with pytest.raises(ValueError, match="`VICReg`.*num_pairs=3"):
        objective.compute(made.features(VIEWS, made.draw(VIEWS, seed=0)))
