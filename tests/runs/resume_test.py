"""`kd.runs.fit`: stopped anywhere, it ends as if it had not been."""

import os
import pathlib
import re
import signal
import sys
import warnings

import keras
import numpy as np
import pytest

from keras_dinolm.runs.checkpoint import Checkpoint
from keras_dinolm.runs.checkpoint_folder import CheckpointFolder
from keras_dinolm.runs.resume import _History
from keras_dinolm.runs.resume import fit
from keras_dinolm.runs.state_file import CheckpointError

STEPS_PER_EPOCH = 5


def build(units=4, seed=None):
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(units),
            keras.layers.Dropout(0.5, seed=seed),
            keras.layers.Dense(1),
        ]
    )
    model.compile(
        keras.optimizers.Adam(1e-2, gradient_accumulation_steps=2),
        "mse",
        metrics=["mae"],
    )
    return model


class Dataset:
    """Batches by number; remembers where it was asked to start."""

    def __init__(self):
        self.starts = []

    def __call__(self, start_step):
        self.starts.append(start_step)
        return self.batches(start_step)

    def batches(self, step):
        while True:
            x = np.random.default_rng(step).normal(size=(4, 3))
            yield x.astype("float32"), x.sum(1, keepdims=True)
            step += 1


class At(keras.callbacks.Callback):
    """Does something at the beginning of a batch of the whole run."""

    def __init__(self, step, action):
        super().__init__()
        self.step = step
        self.action = action
        self.seen = -1

    def on_train_batch_begin(self, batch, logs=None):
        self.seen += 1
        if self.seen == self.step:
            self.action()


class Crash(Exception):
    pass


def crash():
    raise Crash


def run(
    directory,
    *callbacks,
    model=None,
    dataset=None,
    steps=12,
    seed=None,
    **kwargs,
):
    keras.utils.set_random_seed(0)
    model = build(seed=seed) if model is None else model
    history = fit(
        model,
        dataset or Dataset(),
        directory,
        steps=steps,
        steps_per_epoch=STEPS_PER_EPOCH,
        callbacks=list(callbacks),
        **{"save_every": 3, "verbose": 0, **kwargs},
    )
    return model, history


def values(model):
    variables = [*model.variables, *model.optimizer.variables]
    return [keras.ops.convert_to_numpy(v.value) for v in variables]


def assert_same(one, other):
    model, history = one
    other_model, other_history = other
    for a, b in zip(values(model), values(other_model), strict=True):
        np.testing.assert_array_equal(a, b)
    assert history.epoch == other_history.epoch
    assert history.history == other_history.history


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run that nobody stopped."""
    return run(tmp_path_factory.mktemp("alone"))


def test_is_what_model_fit_does(tmp_path):
    # Under torch, `model.fit` itself draws from the generator of an unseeded
    # dropout.
    resumable = run(tmp_path, seed=1)
    keras.utils.set_random_seed(0)
    model = build(seed=1)
    arguments = {"verbose": 0, "shuffle": False}
    history = model.fit(
        Dataset().batches(0), steps_per_epoch=5, epochs=2, **arguments
    )
    # A new one, since the first `fit` may have read ahead.
    model.fit(Dataset().batches(10), steps_per_epoch=2, **arguments)
    for a, b in zip(values(resumable[0]), values(model), strict=True):
        np.testing.assert_array_equal(a, b)
    assert resumable[1].epoch == [0, 1, 2]
    assert resumable[1].history["loss"][:2] == history.history["loss"]


def test_crashes_leave_no_trace(alone, tmp_path):
    # Before the first checkpoint, within an epoch, at its last batch.
    starts = []
    for step in (2, 4, 1, 3):
        dataset = Dataset()
        with pytest.raises(Crash):
            run(tmp_path, At(step, crash), dataset=dataset)
        starts += dataset.starts
    dataset = Dataset()
    assert_same(alone, run(tmp_path, dataset=dataset))
    # Fresh, twice; from batch 3, twice, and on to the next epoch.
    assert list(dict.fromkeys(starts)) == [0, 3, 5]
    # The first batch of the run is looked at, to compare the data.
    assert list(dict.fromkeys(dataset.starts)) == [0, 3, 5, 10]


@pytest.fixture
def heeds_ctrl_c():
    """A process started in the background may have been told to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_ctrl_c_saves_and_says_how_to_go_on(alone, tmp_path, capfd):
    interrupt = At(7, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, interrupt)
    said = capfd.readouterr().err
    assert "Run the same command again" in said and str(tmp_path) in said
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert CheckpointFolder(tmp_path).steps()[-1] in (7, 8)
    assert_same(alone, run(tmp_path))


class Counts(keras.callbacks.Callback):
    """Has a state that belongs to the run."""

    def __init__(self, by):
        super().__init__()
        self.count, self.by = 0, by

    def get_run_state(self):
        return {"count": self.count}

    def set_run_state(self, state):
        self.count = state["count"]

    def on_train_batch_end(self, batch, logs=None):
        self.count += self.by


def test_callbacks_with_a_state_go_on_with_it(tmp_path):
    counts = [Counts(1), Counts(10)]
    with pytest.raises(Crash):
        run(tmp_path, *counts, At(7, crash))
    assert counts[0].count == 7
    # From the checkpoint of step 6; and of a run that is finished.
    for _ in range(2):
        counts = [Counts(1), Counts(10)]
        run(tmp_path, *counts)
        assert [c.count for c in counts] == [12, 120]


def test_a_finished_run_returns_at_once(alone, tmp_path, capsys):
    run(tmp_path)
    dataset = Dataset()
    assert_same(alone, run(tmp_path, dataset=dataset, verbose=2))
    assert dataset.starts == [0]  # to compare the data
    assert "is finished: it is at step 12 of 12" in capsys.readouterr().out


def test_more_steps_go_on(tmp_path):
    run(tmp_path / "a", steps=7)
    longer = run(tmp_path / "a", steps=12)
    straight = run(tmp_path / "b", steps=12)
    assert_same(straight, longer)


def test_fewer_steps_than_were_made_are_refused(tmp_path):
    run(tmp_path, steps=7)
    with pytest.raises(CheckpointError, match="at step 7, beyond `steps`"):
        run(tmp_path, steps=6)


def test_progress_counts_the_steps_of_each_epoch(tmp_path, capsys):
    with pytest.raises(Crash):
        run(tmp_path, At(4, crash), verbose=0)
    run(tmp_path, verbose=2)
    said = capsys.readouterr().out
    assert "step 3 of 12, epoch 1, batch 3" in said
    assert re.findall(r"^Epoch (\S+)", said, re.M) == ["1/3", "2/3", "3/3"]
    # The first is finished, not begun again; the last is shorter.
    assert re.findall(r"^(\S+) - ", said, re.M) == ["5/5", "5/5", "2/2"]


def test_a_curve_that_begins_or_ends_is_filled_with_nan():
    history = _History()
    history.set_model(build())
    for epoch, logs in enumerate(
        [{"a": 1.0}, {"a": 2.0, "b": 3.0}, {"b": 4.0}]
    ):
        history.on_epoch_end(epoch, logs)
    np.testing.assert_equal(
        history.history, {"a": [1.0, 2.0, np.nan], "b": [np.nan, 3.0, 4.0]}
    )


def test_validation_and_monitor(tmp_path):
    x = np.ones((4, 3), "float32")
    validation = (x, x.sum(1, keepdims=True))
    _, straight = run(
        tmp_path / "a", validation_data=validation, monitor="val_loss"
    )
    with pytest.raises(Crash):
        run(
            tmp_path / "b",
            At(8, crash),
            validation_data=validation,
            monitor="val_loss",
        )
    _, resumed = run(
        tmp_path / "b", validation_data=validation, monitor="val_loss"
    )
    assert straight.history == resumed.history
    assert len(straight.history["val_loss"]) == 3


def test_another_configuration_is_refused(tmp_path):
    run(tmp_path, steps=5)
    with pytest.raises(CheckpointError, match="steps_per_epoch: 5 then, 4 now"):
        fit(build(), Dataset(), tmp_path, steps=8, steps_per_epoch=4)
    with pytest.raises(CheckpointError, match="config.units: 4 then, 5 now"):
        run(tmp_path, model=build(units=5))


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_model_compiled_after_a_run_may_use_xla(deterministic, tmp_path):
    """Keras refuses that to all models while tensorflow is deterministic."""
    run(tmp_path, deterministic=deterministic)
    model = build()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.compile("adam", "mse", jit_compile=True)
    assert model.jit_compile


def test_folder_is_held_during_fit_and_free_afterwards(tmp_path):
    def second_run():
        with pytest.raises(
            CheckpointError, match="in use by this very process"
        ):
            run(tmp_path)

    with pytest.raises(Crash):
        run(tmp_path, At(1, second_run), At(2, crash))
    checkpoint = Checkpoint(tmp_path)
    checkpoint.folder.lock()
    checkpoint.close()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"steps": 0}, "steps=0"),
        ({"epochs": 3}, r"Remove the arguments \['epochs'\]"),
    ],
)
def test_wrong_arguments(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, **arguments)


@pytest.mark.once
def test_kill_9_leaves_no_trace(tmp_path):
    """One real kill of a `DinoLM`; `benchmarks/kill_and_resume.py` does ten."""
    root = pathlib.Path(__file__).resolve().parents[2]
    sys.path.insert(0, str(root))
    try:
        from benchmarks import kill_and_resume as script
    finally:
        sys.path.remove(str(root))
    steps = 20
    directory = tmp_path / "killed"
    directory.mkdir()
    killed = script.kill_at(
        keras.backend.backend(), directory, steps, target=10
    )
    assert killed["step"] >= 10 and 0 < killed["resumes from"]
    found = script.train(directory, steps)
    expected = script.train(tmp_path / "alone", steps)
    assert script.compare(expected, found) == []


def test_what_a_kill_left_unpruned_goes_when_the_run_is_finished(tmp_path):
    run(tmp_path, keep=5)
    run(tmp_path / "other", keep=2)
    kept = sorted(p.name for p in (tmp_path / "other").glob("step-*"))
    assert len(kept) == 2
    # The last checkpoint was written, and then the process was killed.
    assert len(list(tmp_path.glob("step-*"))) > 2
    run(tmp_path, keep=2)
    assert sorted(p.name for p in tmp_path.glob("step-*")) == kept
