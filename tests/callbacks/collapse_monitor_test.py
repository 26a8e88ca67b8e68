"""`CollapseMonitor`: each failure by name, and silence when all is well."""

import json
import math
import pathlib
import sys
import types
import warnings

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.callbacks import CollapseMonitor
from keras_dinolm.callbacks import failures
from keras_dinolm.callbacks import places
from tests import tiny

ROOT = pathlib.Path(__file__).resolve().parents[2]
K = 64
LN_K = math.log(K)
# Metrics of a student and of its objective, without the names of these.
HEALTHY = {
    "loss": 3.0,
    "teacher_entropy": 0.5 * LN_K,
    "student_entropy": 0.6 * LN_K,
    "prototype_perplexity": 0.8 * K,
    "feature_std": 0.7,
    "mean_cosine": 0.5,
}
OF_STUDENT = ("feature_std", "mean_cosine")
OBJECTIVE = "sequence_distillation"


def in_logs(reading, student="", objective=OBJECTIVE):
    """`reading`, else healthy values, by their names in the logs."""
    named = {}
    for metric, value in {**HEALTHY, **reading}.items():
        name = metric if metric in OF_STUDENT else f"{objective}_{metric}"
        named[student + name.removesuffix("_loss")] = value
    return named


class Model:
    """What the monitor looks at, without networks."""

    def __init__(self, students=("student",), objectives=(OBJECTIVE,)):
        self.ranks = dict.fromkeys(students, 20.0)
        self.stop_training = False
        self._learners = [
            types.SimpleNamespace(
                name=name,
                feature_statistics=types.SimpleNamespace(
                    dim=64, rankme=lambda name=name: self.ranks[name]
                ),
                lessons={
                    name: types.SimpleNamespace(
                        name=name,
                        num_prototypes=K,
                        objectives={
                            objective: types.SimpleNamespace(
                                name=objective,
                                targets=None,
                                extra_metrics=(
                                    "teacher_entropy",
                                    "student_entropy",
                                    "prototype_perplexity",
                                ),
                            )
                            for objective in objectives
                        },
                    )
                },
            )
            for name in students
        ]

    def learners(self):
        return self._learners

    def prefix(self, part):
        return f"{part.name}_" if len(self._learners) > 1 else ""


def make_monitor(**arguments):
    return CollapseMonitor(patience=20, check_every=5, **arguments)


def play(model, epochs, monitor=None, ranks=None, epoch_steps=10):
    """Plays an epoch for each dict of logs; returns monitor, messages, logs."""
    monitor = monitor or make_monitor()
    monitor.set_model(model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        monitor.on_train_begin()
        for epoch, logs in enumerate(epochs):
            if ranks:
                model.ranks = dict.fromkeys(model.ranks, ranks[epoch])
            monitor.on_epoch_begin(epoch)
            for batch in range(epoch_steps):
                monitor.on_train_batch_begin(batch)
                monitor.on_train_batch_end(batch, dict(logs))
            logs = dict(logs)
            monitor.on_epoch_end(epoch, logs)
            if model.stop_training:
                break
    return monitor, [str(w.message) for w in caught], logs


def watch(readings, ranks=None, monitor=None):
    """As `play`, of a single student with a single objective."""
    return play(Model(), [in_logs(r) for r in readings], monitor, ranks)


def test_adds_rank_and_distance_to_ln_k():
    _, messages, logs = watch([{}])
    assert messages == []
    assert logs["rankme"] == 20.0
    np.testing.assert_allclose(
        logs["sequence_distillation_minus_ln_k"], 3.0 - LN_K
    )


BAD = {
    "constant features": {
        "feature_std": 0.001,
        "mean_cosine": 0.9999,
        "teacher_entropy": LN_K,
        "loss": LN_K,
    },
    "one prototype": {"teacher_entropy": 0.01, "prototype_perplexity": 1.2},
    "uniform assignment": {"teacher_entropy": 0.999 * LN_K},
    # Half of the prototypes, for each text and for all together.
    "constant assignment": {
        "teacher_entropy": math.log(K / 2),
        "student_entropy": math.log(K / 2),
        "prototype_perplexity": K / 2,
    },
}


@pytest.mark.parametrize("name", BAD)
def test_names_one_failure_once(name):
    monitor, messages, _ = watch([BAD[name]] * 8)
    assert monitor.found == [name]
    assert len(messages) == 1
    assert f"Collapse by {name}" in messages[0]
    assert "What to try" in messages[0]
    if name == "constant features":
        assert "a loss of exactly ln K" in messages[0]
        assert (
            f"sequence_distillation = ln K +0.0000 (ln K = {LN_K:.4f}"
            in (messages[0])
        )


def test_one_that_looks_like_another_is_not_named_as_well():
    same = {"student_entropy": LN_K, "prototype_perplexity": K}
    for name in ("constant features", "uniform assignment"):
        assert watch([{**BAD[name], **same}] * 8)[0].found == [name]
    same = {"student_entropy": math.log(1.2)}
    assert watch([{**BAD["one prototype"], **same}] * 8)[0].found == [
        "one prototype"
    ]


def test_a_few_prototypes_are_as_bad_as_one():
    # A run without centering ended at 4.1 of 256, which is 3.1 of 64.
    few = {"teacher_entropy": 0.04 * LN_K, "prototype_perplexity": 3.1}
    assert watch([few] * 8)[0].found == ["one prototype"]


def test_information_is_what_the_assignments_tell_of_the_text():
    """As the mutual information of a table of probabilities."""
    probs = np.random.default_rng(0).dirichlet(np.ones(K), size=20)
    joint = probs / 20
    independent = joint.sum(0) * joint.sum(1, keepdims=True)
    expected = (joint * np.log(joint / independent)).sum() / LN_K
    usage = probs.mean(0)
    values = {
        "student_entropy": -(probs * np.log(probs)).sum(1).mean(),
        "prototype_perplexity": np.exp(-(usage * np.log(usage)).sum()),
    }
    reading = failures.Reading(values, dim=64, num_prototypes=K)
    health = failures.ConstantAssignment(0.01).health(reading)
    np.testing.assert_allclose(health, expected, rtol=1e-9)


def test_dimensional_collapse():
    monitor, messages, _ = watch([{}] * 8, ranks=[2.0] * 8)
    assert monitor.found == ["dimensional collapse"]
    assert "rankme = 2" in messages[0]


def test_a_bad_start_that_gets_better_is_no_failure():
    # An untrained encoder is nearly constant, and then less and less so.
    stds = [0.02, 0.03, 0.04, 0.05, 0.07, 0.09, 0.12, 0.3, 0.4, 0.5]
    _, messages, _ = watch([{"feature_std": std} for std in stds])
    assert messages == []


def test_going_up_and_down_is_not_getting_better():
    # Each peak is higher than the one before, and all are bad.
    ranks = [2.0, 1.5, 2.6, 1.5, 2.9, 1.5, 3.3, 1.5]
    monitor, messages, _ = watch([{}] * 8, ranks)
    assert monitor.found == ["dimensional collapse"]
    assert "step 40 of this run, first seen at step 10)" in messages[0]
    # A dip, and then ever better.
    ranks = [2.0, 1.5, 2.2, 2.6, 3.0, 3.5, 4.2, 5.0]
    assert watch([{}] * 8, ranks)[1] == []


def test_a_resumed_run_remembers():
    """Two epochs, a new process, two epochs: as four at once."""
    bad = BAD["uniform assignment"]
    for name in ("suspected before", "found before"):
        epochs = 2 if name == "suspected before" else 4
        before, messages, _ = watch([bad] * epochs)
        assert len(messages) == (epochs == 4)
        state = before.get_run_state()
        after = resumed(state, step=10 * epochs)
        after, messages, _ = watch([bad] * 2, monitor=after)
        assert after.found == ["uniform assignment"]
        assert len(messages) == (epochs == 2)
        assert all("first seen at step 5)" in m for m in messages)


def resumed(state, step):
    """A monitor of a new process that resumes at that step."""
    position = types.SimpleNamespace(step=step)
    checkpoint = types.SimpleNamespace(position=position)
    monitor = make_monitor(checkpoint=checkpoint)
    monitor.set_run_state(json.loads(json.dumps(state)))
    return monitor


def test_a_failure_that_comes_late_is_seen():
    bad = BAD["uniform assignment"]
    monitor, _, _ = watch([{}] * 6 + [bad] * 6)
    assert monitor.found == ["uniform assignment"]
    monitor, _, _ = watch([{}] * 6 + [bad] + [{}] * 6)
    assert monitor.found == []


def test_an_objective_that_does_not_act_yet_is_not_judged():
    logs = {"loss": 3.0, "feature_std": 0.7, "mean_cosine": 0.5}
    monitor, messages, logs = play(Model(), [logs] * 8)
    assert monitor.found == [] and messages == []
    assert "sequence_distillation_minus_ln_k" not in logs


def test_a_limit_of_0_switches_a_failure_off():
    monitor = make_monitor(min_sharpness=0.0)
    assert watch([BAD["uniform assignment"]] * 8, monitor=monitor)[1] == []


def test_can_stop():
    monitor = make_monitor(on_failure="stop")
    monitor, _, _ = watch([BAD["one prototype"]] * 8, monitor=monitor)
    assert monitor.model.stop_training


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"patience": 0}, "patience=0"),
        ({"check_every": 1.5}, "check_every=1.5"),
        ({"on_failure": "panic"}, "on_failure='panic'"),
        ({"min_rank": 2.0}, "min_rank=2.0"),
        ({"min_feature_std": float("nan")}, "min_feature_std=nan"),
        ({"min_sharpness": "0.1"}, "min_sharpness='0.1'"),
        ({"patience": True}, "patience=True"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        CollapseMonitor(**arguments)


def test_wants_a_dino_lm_and_a_checkpoint():
    with pytest.raises(ValueError, match="class Sequential"):
        CollapseMonitor().set_model(keras.Sequential())
    monitor = CollapseMonitor(on_failure="roll_back")
    with pytest.raises(ValueError, match="pass `checkpoint=`"):
        monitor.on_train_begin()


def test_an_evaluation_without_training_is_no_epoch():
    monitor = make_monitor()
    monitor.set_model(Model())
    monitor.on_test_begin()


# === Several students, several objectives ===


def two_students(first, second):
    return {**in_logs(first, "one_"), **in_logs(second, "two_")}


def test_two_students_are_judged_apart():
    model = Model(students=("one", "two"))
    logs = two_students(
        {**BAD["constant features"], "teacher_entropy": LN_K},
        BAD["uniform assignment"],
    )
    monitor, messages, logs = play(model, [logs] * 8)
    # The constant features of one explain its assignments, not those of two.
    assert monitor.found == ["constant features", "uniform assignment"]
    first, second = messages
    assert "Collapse by constant features of one (" in first
    assert "one_sequence_distillation = ln K" in first
    assert "two" not in first
    assert "uniform assignment of two_sequence_distillation (" in second
    assert logs["one_sequence_distillation_minus_ln_k"] == pytest.approx(0.0)
    assert logs["two_sequence_distillation_minus_ln_k"] == 3.0 - LN_K


def test_the_same_failure_of_another_student_is_a_failure_of_its_own():
    bad = BAD["uniform assignment"]
    model = Model(students=("one", "two"))
    monitor, messages, _ = play(
        model, [two_students(bad, {})] * 4 + [two_students(bad, bad)] * 4
    )
    assert monitor.found == ["uniform assignment"] * 2
    assert "of one_sequence" in messages[0] and "of two_sequence" in messages[1]


def test_each_student_has_its_rank():
    model = Model(students=("one", "two"))
    model.ranks["two"] = 2.0
    monitor, messages, logs = play(model, [two_students({}, {})] * 8)
    assert (logs["one_rankme"], logs["two_rankme"]) == (20.0, 2.0)
    (message,) = messages
    assert "Collapse by dimensional collapse of two (" in message


def test_two_objectives_of_one_kind_are_judged_apart():
    model = Model(objectives=(OBJECTIVE, "again"))
    bad = in_logs(BAD["one prototype"], objective="again")
    monitor, messages, logs = play(model, [{**in_logs({}), **bad}] * 8)
    assert monitor.found == ["one prototype"]
    (message,) = messages
    assert "Collapse by one prototype of again (" in message
    assert logs["again_minus_ln_k"] == 3.0 - LN_K
    assert logs["sequence_distillation_minus_ln_k"] == 3.0 - LN_K


def test_a_resumed_run_remembers_which_student_it_was():
    bad = BAD["uniform assignment"]
    students = ("one", "two")
    before, messages, _ = play(
        Model(students), [two_students(bad, {})] * 3 + [two_students(bad, bad)]
    )
    assert len(messages) == 1
    state = before.get_run_state()
    after = resumed(state, step=40)
    assert after.get_run_state() == state
    after, messages, _ = play(
        Model(students), [two_students(bad, bad)], after, epoch_steps=20
    )
    (message,) = messages
    assert "of two_sequence_distillation" in message
    assert "first seen at step 35)" in message


def test_the_places_of_a_model_are_read_from_its_logs():
    def lesson(name, **backbone):
        return kd.models.Lesson(
            tiny.backbone(**backbone),
            [
                kd.objectives.SequenceDistillation(),
                kd.objectives.SequenceDistillation(name="again"),
                kd.objectives.TokenDistillation(),
                kd.objectives.InfoNCE(),
            ],
            num_prototypes=8,
            name=name,
        )

    for names in (["slim"], ["wide", "slim"]):
        lessons = [lesson(name, hidden_dim=8) for name in names]
        model = kd.models.Distillation(lessons)
        logs = model.get_metrics_result()
        found = places.find_places(model)
        fronts = [f"{name}_" for name in names] if len(names) > 1 else [""]
        assert [place.name for place in found] == [
            name
            for front in fronts
            for name in (
                front.removesuffix("_"),
                f"{front}sequence_distillation",
                f"{front}again",
                f"{front}token_distillation",
            )
        ]
        read = {name for place in found for name in place.metrics.values()}
        # Ranks are measured by the monitor.
        assert read - set(logs) == {f"{front}rankme" for front in fronts}
        assert all(place.dim == 8 for place in found)
        for place in found[:: len(found) // len(names)]:
            assert set(place.distillations.values()) == {8}
            assert set(place.distillations) <= set(logs)


# === Real runs ===


def script():
    sys.path.insert(0, str(ROOT))
    try:
        from benchmarks import collapse
    finally:
        sys.path.remove(str(ROOT))
    return collapse


@pytest.mark.once
def test_one_real_collapse_is_named_and_rolled_back(tmp_path):
    from keras_dinolm.runs.checkpoint import Checkpoint

    collapse = script()
    checkpoint = Checkpoint(tmp_path, save_every=5, keep=1)
    monitor = CollapseMonitor(
        patience=20,
        check_every=5,
        on_failure="roll_back",
        checkpoint=checkpoint,
    )
    monitor, messages, history = collapse.train(
        **collapse.constant_features(),
        monitor=monitor,
        callbacks=[checkpoint],
    )
    assert monitor.found == ["constant features"]
    assert "exactly ln K" in messages[0]
    assert len(history["loss"]) < 8  # it stopped before its end
    assert "Rolled back" in messages[1]
    assert list(tmp_path.glob("collapsed-step-*"))
    [step] = checkpoint.folder.steps()
    assert checkpoint.position.step == step
    assert step < collapse.STEPS_PER_EPOCH * len(history["loss"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "constant features",
        "one prototype",
        "uniform assignment",
        "dimensional collapse",
    ],
)
def test_each_failure_is_induced_and_named(name):
    collapse = script()
    monitor, messages, _ = collapse.train(**collapse.RUNS[name]())
    assert name in monitor.found
    assert any(f"Collapse by {name}" in message for message in messages)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_healthy_runs_are_left_in_peace(seed):
    collapse = script()
    monitor, messages, _ = collapse.train(**collapse.healthy(seed))
    assert monitor.found == [] and messages == []
