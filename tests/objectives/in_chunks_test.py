"""The losses over many prototypes, in chunks and whole: the same learning."""

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.objectives.distillation_in_chunks import needs_chunks
from tests import tiny

O = kd.objectives  # noqa: E741


def trained(max_logits):
    """Logs and all weights after two updates, from the same start."""
    model = tiny.model(
        [
            O.SequenceDistillation(max_logits=max_logits),
            O.TokenDistillation(
                weight=0.5,
                targets=kd.layers.Centering(),
                teacher_temperature=kd.schedules.Linear(0.2, 0.4, steps=4),
                max_logits=max_logits,
            ),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1))
    for step in range(2):
        logs = model.train_on_batch(tiny.batch(step), return_dict=True)
    center = tiny.values([model.objectives[1].targets.center])
    return logs, [*tiny.values(model.weights), *center]


def test_learns_the_same_as_whole():
    expected_logs, expected = trained(10**9)
    logs, weights = trained(5 * 12)  # 12 prototypes
    assert logs.keys() == expected_logs.keys()
    for name, value in expected_logs.items():
        assert float(logs[name]) == pytest.approx(float(value), abs=2e-5), name
    for found, value in zip(weights, expected, strict=True):
        np.testing.assert_allclose(found, value, atol=2e-5)
    assert np.any(expected[-1]), "the center moved"


@pytest.mark.parametrize("make", [O.SequenceDistillation, O.TokenDistillation])
def test_chunks_are_for_sizes_above_the_limit(make):
    class Lesson:
        roles = {"global": ("student", "teacher")}
        num_prototypes = 12
        teacher = None

    class Fixed(keras.layers.Layer):
        """Targets that know the direct form only."""

        statistics = after_step = None

    teacher, student = np.zeros((2, 5, 8)), np.zeros((6, 5, 8))
    for limit, expected in ((30 * 12, False), (30 * 12 - 1, True)):
        objective = make(max_logits=limit)
        objective.build_for(Lesson())
        found = needs_chunks(objective, teacher, student)
        assert found is expected
        assert make.from_config(objective.get_config()).max_logits == limit
    objective = make(max_logits=1, targets=Fixed())
    objective.build_for(Lesson())
    assert not needs_chunks(objective, teacher, student)
    with pytest.raises(ValueError, match="max_logits=0"):
        make(max_logits=0)


def test_a_subclass_never_gets_the_factored_form_of_another_formula():
    class Other(kd.layers.Centering):
        def call(self, logits, temperature, sample_weight=None):
            return super().call(2 * logits, temperature, sample_weight)

    class Counts(kd.layers.Centering):
        def statistics(self, logits, sample_weight=None):
            return super().statistics(2 * logits, sample_weight)

    class Both(Other):
        def prototype_bias(self, features, prototypes, **kwargs):
            return super().prototype_bias(features, 2 * prototypes, **kwargs)

    class Renamed(Both):
        """Changes nothing."""

    x = np.zeros((2, 5, 8))
    for targets, expected in (
        (kd.layers.Centering(), True),
        (kd.layers.Sinkhorn(), True),
        (Other(), False),
        (Counts(), False),
        (Both(), True),
        (Renamed(), True),
    ):
        objective = O.SequenceDistillation(targets=targets, max_logits=1)
        objective.num_prototypes = 12
        assert needs_chunks(objective, x, x) is expected


def test_factors_make_the_logits():
    student = tiny.model().student
    features = np.random.default_rng(0).normal(size=(3, 16)).astype("float32")
    projected, prototypes = student.factors("token", features)
    np.testing.assert_allclose(
        *tiny.values(
            [
                keras.ops.matmul(projected, prototypes),
                student.logits("token", features),
            ]
        ),
        atol=1e-6,
    )
