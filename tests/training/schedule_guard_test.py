"""Schedules of users that leave their range in the middle of a run."""

import math

import keras
import numpy as np
import pytest
from keras import ops

import keras_dinolm as kd
from keras_dinolm.training.schedule_guard import ScheduleGuard
from tests import tiny


def late(bad, update=2):
    """A schedule of a user, of which only the first updates are right."""
    return lambda step: ops.where(ops.cast(step, "int32") < update, 0.5, bad)


class NotOurs(kd.schedules.Linear):
    """A subclass may compute what it likes."""

    def __call__(self, step):
        return late(math.nan)(step)


@pytest.mark.once
@pytest.mark.parametrize("bad", [math.nan, 1.5, -0.5])
def test_fit_stops_before_a_momentum_spoils_the_teacher(bad):
    model = tiny.model(
        [kd.objectives.SequenceDistillation()], momentum=late(bad)
    )
    model.compile("sgd", run_eagerly=True)
    batch = tiny.batch()
    steps = {"steps_per_epoch": 2, "verbose": 0}

    def batches():
        while True:
            yield (batch,)

    model.fit(batches(), epochs=1, **steps)
    before = [np.array(w) for w in map(_numpy, model.teacher.weights)]
    with pytest.raises(ValueError, match="`momentum`.*at update 2"):
        model.fit(batches(), epochs=1, **steps)
    for old, new in zip(before, map(_numpy, model.teacher.weights)):
        np.testing.assert_array_equal(old, new)


def _numpy(variable):
    return ops.convert_to_numpy(variable)


@pytest.mark.once
def test_every_schedule_of_a_model_is_looked_at():
    objectives = [
        kd.objectives.SequenceDistillation(
            weight=late(-1.0), teacher_temperature=late(0.0)
        ),
        kd.objectives.KoLeo(weight=kd.schedules.Delayed(1, then=late(-1.0))),
    ]
    model = tiny.model(objectives, momentum=NotOurs(0.5, 0.6, 1))
    optimizer = kd.optimizers.AdamW(
        late(-1.0), weight_decay=late(math.inf), multipliers={"h": late(-1.0)}
    )
    model.compile(optimizer)
    (learner,) = model.learners()
    guard = learner.guard()
    assert [name for name, _, _ in guard.schedules] == [
        "learning_rate",
        "weight_decay",
        "multipliers['h']",
        "momentum",
        "sequence_distillation.weight",
        "sequence_distillation.teacher_temperature",
        "koleo.weight",
    ]
    entries = guard.schedules
    for entry in entries:
        guard.schedules = [entry]
        guard.find_update = lambda: 0
        guard.set_params({"steps": 2})
        guard.on_epoch_begin(0)
        guard.set_params({"steps": 9})
        with pytest.raises(ValueError) as caught:
            guard.on_epoch_begin(0)
        assert entry[0] in str(caught.value)


@pytest.mark.once
def test_our_own_schedules_cost_nothing():
    schedules = kd.schedules
    own = [
        schedules.Linear(0, 1, 9),
        schedules.Cosine(0, 1, 9),
        schedules.PiecewiseLinear([0], [1.0]),
        schedules.Warmup(3, schedules.Delayed(4, schedules.Cosine(0, 1, 9))),
    ]
    others = [
        late(1.0),
        NotOurs(0, 1, 9),
        schedules.Warmup(3, late(1.0)),
        keras.optimizers.schedules.ExponentialDecay(1.0, 9, 0.5),
    ]
    guard = ScheduleGuard(
        [("x", one, {}) for one in [*own, *others]], lambda: 0
    )
    assert [one for _, one, _ in guard.schedules] == others


@pytest.mark.once
@pytest.mark.parametrize(
    ("schedule", "update"),
    [
        (kd.schedules.Linear(0.5, 1.5, 10), 10),
        (kd.schedules.PiecewiseLinear([0, 5, 9], [0.5, 2.0, 0.5]), 5),
        (kd.schedules.Cosine(0.5, -0.5, 10, begin=7), 17),
        (kd.schedules.Delayed(5, kd.schedules.Linear(0.5, 2.0, 6)), 11),
        (kd.schedules.Warmup(5, 2.0), 5),
    ],
)
def test_ours_are_refused_where_they_are_given(schedule, update):
    with pytest.raises(ValueError, match=f"`momentum`.*at update {update}"):
        kd.models.Lesson(tiny.backbone(), momentum=schedule)
