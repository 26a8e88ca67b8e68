"""Mistakes in an objective of one's own are named, where they are made."""

import keras
import pytest
from keras import ops

import keras_dinolm as kd
from tests import tiny


@keras.saving.register_keras_serializable(package="own_objective_test")
class Own(kd.objectives.Objective):
    reads_tokens = "none"
    extra_metrics = ("size",)

    def reads(self, roles):
        return {("student", "local")}

    def compute(self, features):
        loss = ops.mean(ops.square(features.student["local"]["sequence"]))
        return kd.objectives.Result(loss, {"size": loss})


def run(**attributes):
    own = type("Mine", (Own,), attributes)()
    tiny.metrics(tiny.model([own]), tiny.batch())


def result(loss, **metrics):
    return kd.objectives.Result(loss, {"size": 0.0, **metrics})


def sequence(features):
    return ops.cast(features.student["local"]["sequence"], "float32")


def test_a_sound_one_runs():
    run()


@pytest.mark.parametrize(
    "reads",
    [
        {("student", "lcoal")},
        {("studnet", "local")},
        {"student", "local"},
        set(),
        None,
    ],
    ids=str,
)
def test_reads_networks_and_groups_that_there_are(reads):
    with pytest.raises(ValueError, match="Mine.reads.*view group.*'local'"):
        run(reads=lambda self, roles: reads)


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda self, f: ops.sum(sequence(f)), "must return a .*Result"),
        (lambda self, f: result(sequence(f)), "must be a scalar"),
        (lambda self, f: result(0.0, other=1.0), "extra_metrics"),
        (lambda self, f: kd.objectives.Result(0.0), "extra_metrics"),
        (
            lambda self, f: result(
                ops.sum(f.student_logits("sequence", sequence(f)))
            ),
            r"heads = \('sequence',\)",
        ),
    ],
    ids=["result", "scalar", "metric", "no_metric", "head"],
)
def test_computes_what_it_says(compute, message):
    with pytest.raises(ValueError, match=message):
        run(compute=compute)


def test_a_group_that_it_does_not_read_is_named():
    def compute(self, features):
        return features.teacher["global"]

    with pytest.raises(KeyError, match="teacher has not read.*'global'.*reads"):
        run(compute=compute)


@pytest.mark.parametrize("name", ["heads", "extra_metrics"])
def test_names_are_in_a_tuple(name):
    with pytest.raises(ValueError, match=f"Mine.{name}. must be a tuple"):
        run(**{name: "sequence"})


def test_says_which_method_is_missing():
    with pytest.raises(NotImplementedError, match=r"Empty.*reads\(self, roles"):
        tiny.model([type("Empty", (kd.objectives.Objective,), {})()])


def test_arguments_that_would_not_be_saved_are_named():
    class Forgets(Own):
        def __init__(self, power=2, **kwargs):
            super().__init__(**kwargs)
            self.power = power

    model = tiny.model([Forgets(power=3)])
    with pytest.raises(ValueError, match="Forgets.*'power'.*get_config"):
        model.get_config()
