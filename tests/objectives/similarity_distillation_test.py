"""`SimilarityDistillation`: which views, and with any two widths."""

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.losses import similarity_cross_entropy
from tests import tiny
from tests.objectives import features as made

VIEWS = tiny.batch(batch_size=5)


def test_is_the_mean_over_all_pairs_of_views():
    objective = kd.objectives.SimilarityDistillation(
        student_temperature=0.1, teacher_temperature=0.2
    )
    objective.build_for(made.Lesson())
    assert objective.reads(made.Lesson.roles) == {
        ("student", "global"),
        ("student", "local"),
        ("teacher", "global"),
    }
    assert objective.heads == ()
    student, teacher = (made.draw(VIEWS, seed) for seed in (0, 1))
    # The widths may differ.
    narrow = {
        group: {"sequence": teacher[group]["sequence"][..., :3]}
        for group in teacher
    }
    result = made.compute(objective, made.features(VIEWS, student, narrow))
    rows = [
        np.moveaxis(x[group]["sequence"], 1, 0)
        for x, group in (
            (student, "global"),
            (student, "local"),
            (narrow, "global"),
        )
    ]
    students = np.concatenate(rows[:2])
    assert (len(students), len(rows[2])) == (6, 2)
    terms = [
        tiny.values([similarity_cross_entropy(t, s, 0.2, 0.1)])[0]
        for t in rows[2]
        for s in students
    ]
    loss, excess = result.loss, result.metrics["excess"]
    assert loss == pytest.approx(np.mean(terms), rel=1e-6)
    least = [
        tiny.values([similarity_cross_entropy(t, t, 0.2, 0.2)])[0]
        for t in rows[2]
    ]
    assert excess == pytest.approx(loss - np.mean(least), rel=1e-5)


def test_schedule_and_config():
    objective = kd.objectives.SimilarityDistillation(
        teacher_temperature=kd.schedules.Linear(0.1, 0.3, steps=10)
    )
    config = keras.saving.serialize_keras_object(objective)
    again = keras.saving.deserialize_keras_object(config)
    arrays = made.draw(VIEWS, 0), made.draw(VIEWS, 1)
    fixed = kd.objectives.SimilarityDistillation(teacher_temperature=0.2)
    losses = []
    for one in (again, fixed):
        one.build_for(made.Lesson())
        features = made.features(VIEWS, *arrays, update=5)
        losses += tiny.values([one.compute(features).loss])
    np.testing.assert_allclose(*losses, rtol=1e-6)
    with pytest.raises(ValueError, match="student_temperature=0"):
        kd.objectives.SimilarityDistillation(student_temperature=0)
