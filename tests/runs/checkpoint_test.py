"""Checkpoints: complete, exact, atomic, and clear when something is wrong."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys

import keras
import ml_dtypes
import numpy as np
import pytest

from keras_dinolm.runs import model_state
from keras_dinolm.runs import state_file
from keras_dinolm.runs.checkpoint import Checkpoint
from keras_dinolm.runs.checkpoint import Position
from keras_dinolm.runs.checkpoint_folder import CheckpointFolder
from keras_dinolm.runs.state_file import CheckpointError


def build(units=4, dropout=0.5, **compile_args):
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(units, name="hidden"),
            keras.layers.Dropout(dropout, seed=1),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dense(1, name="out"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(1e-2, gradient_accumulation_steps=2),
        "mse",
        metrics=["mae"],
        jit_compile=False,
        **compile_args,
    )
    return model


def data(num_batches=6):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4 * num_batches, 3)).astype("float32")
    return {"x": x, "y": x.sum(1, keepdims=True), "batch_size": 4}


def values(model):
    variables = [*model.variables, *model.optimizer.variables]
    return [keras.ops.convert_to_numpy(v.value) for v in variables]


def fit(model, checkpoint, **kwargs):
    return model.fit(
        **{**data(), **kwargs},
        shuffle=False,
        verbose=0,
        callbacks=[checkpoint] if checkpoint else [],
    )


def arrays(folder, step, count=2):
    position = {"step": step, "epoch": 0, "batch": 0}
    return folder.save(
        step,
        {"model": [("a", np.arange(100.0))] * count},
        {"position": position},
    )


# === The format ===


@pytest.mark.parametrize(
    "array",
    [
        np.float32([[np.nan, -0.0], [np.inf, 1e-45]]),
        np.array([1.5, -2.0], "float16"),
        np.array([1.5, -2.0], ml_dtypes.bfloat16),
        np.uint32([2**32 - 1, 0]),
        np.int64(-7),
        np.zeros((0, 3), "float32"),
        np.array([True, False]),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_every_dtype_comes_back_to_the_bit(array, tmp_path):
    state_file.write(tmp_path, {"model": [("x", array)]}, {"more": 1})
    header = state_file.read_header(tmp_path)
    [(name, found)] = state_file.read(tmp_path, header)["model"]
    assert header["more"] == 1 and name == "x"
    assert found.dtype == array.dtype and found.shape == array.shape
    assert found.tobytes() == array.tobytes()


# === What is in it ===


def test_holds_all_state_and_saving_changes_nothing(tmp_path):
    keras.utils.set_random_seed(0)
    plain = build()
    fit(plain, None, epochs=2)
    keras.utils.set_random_seed(0)
    saved = build()
    fit(saved, Checkpoint(tmp_path, save_every=1), epochs=2)
    for a, b in zip(values(plain), values(saved), strict=True):
        np.testing.assert_array_equal(a, b)

    keras.utils.set_random_seed(7)
    other = build()
    position = Checkpoint(tmp_path).restore(other)
    assert (position.step, position.epoch, position.batch) == (12, 2, 0)
    for a, b in zip(values(saved), values(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_state_within_an_epoch_is_that_of_fewer_steps(tmp_path):
    keras.utils.set_random_seed(0)
    short = build()
    fit(short, None, **data(num_batches=3))
    keras.utils.set_random_seed(0)
    fit(build(), Checkpoint(tmp_path, save_every=3, keep=9))
    restored = build()
    position = Checkpoint(tmp_path).restore(restored, step=3)
    assert (position.step, position.epoch, position.batch) == (3, 0, 3)
    for a, b in zip(values(short), values(restored), strict=True):
        np.testing.assert_array_equal(a, b)


def test_validation_does_not_change_what_is_saved(tmp_path):
    keras.utils.set_random_seed(0)
    model = build()
    arguments = data()
    fit(
        model,
        Checkpoint(tmp_path, save_every=4),
        validation_data=(arguments["x"], arguments["y"]),
    )
    assert CheckpointFolder(tmp_path).steps() == [4, 6]


# === Which are kept ===


def test_keeps_the_last_and_the_best(tmp_path):
    folder = CheckpointFolder(tmp_path, keep=2)
    groups = {"model": [("a", np.zeros(3))]}
    for step, value in enumerate([5.0, 1.0, 4.0, 3.0, 2.0]):
        folder.save(step, groups, {}, value)
    assert folder.steps() == [1, 3, 4]
    assert CheckpointFolder(tmp_path, keep=2).best() == 1
    assert CheckpointFolder(tmp_path, keep=2, mode="max").best() == 3


def test_monitor_must_be_in_the_logs(tmp_path):
    checkpoint = Checkpoint(tmp_path, monitor="val_loss")
    with pytest.raises(ValueError, match="monitor='val_loss'.*'loss'"):
        fit(build(), checkpoint)
    checkpoint.close()


@pytest.mark.once
@pytest.mark.parametrize(
    ["name", "value"],
    [
        ("keep", 0),
        ("keep", True),
        ("keep", 2.0),
        ("mode", "least"),
        ("save_every", 0),
        ("save_every", "5"),
        ("save_every", float("nan")),
        ("monitor", 3),
        ("directory", None),
    ],
)
def test_arguments_out_of_range(name, value, tmp_path):
    with pytest.raises(ValueError, match=f"`{name}`.*: {name}={value!r}"):
        Checkpoint(**{"directory": tmp_path, name: value})


# === A run that diverges ===


@pytest.mark.parametrize("where", ["weight", "slot"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_replace_no_good_checkpoint(
    where, value, tmp_path
):
    model = build()
    checkpoint = Checkpoint(tmp_path, keep=1)
    fit(model, checkpoint)
    if where == "weight":
        variable = model.trainable_variables[0]
    else:
        variable = model.optimizer.variables[-1]
    if where == "slot" and np.isinf(value):
        return  # only NaN says that an optimizer is broken
    values = np.zeros(variable.shape, "float32")
    variable.assign(
        np.where(values.ravel() == 0, value, 0).reshape(values.shape)
    )
    checkpoint.position = Position(step=7)
    with pytest.raises(FloatingPointError) as error:
        checkpoint.save()
    assert variable.path in str(error.value)
    assert "last good checkpoint" in str(error.value)
    assert "step-0000000006" in str(error.value)
    assert checkpoint.folder.steps() == [6]


def test_a_checkpoint_with_nan_is_not_restored(tmp_path, monkeypatch):
    model = build()
    monkeypatch.setattr(Checkpoint, "_check_finite", lambda *_: None)
    checkpoint = Checkpoint(tmp_path)
    checkpoint.set_model(model)
    checkpoint._metrics = None
    checkpoint.position = Position(step=1)
    kernel = model.trainable_variables[0]
    kernel.assign(np.full(kernel.shape, np.nan))
    checkpoint.save()
    other = build()
    other.optimizer.build(other.trainable_variables)
    before = values(other)
    with pytest.raises(
        CheckpointError, match="diverged: .*hidden/kernel are not"
    ):
        Checkpoint(tmp_path).restore(other)
    for a, b in zip(before, values(other), strict=True):
        np.testing.assert_array_equal(a, b)


# === By name ===


class Named(keras.Model):
    """Layers of one shape, made in any order."""

    def __init__(self, names):
        super().__init__()
        self.parts = []
        for name in names:
            layer = keras.layers.Dense(3, name=name)
            layer.build((None, 3))
            self.parts.append(layer)
        self.built = True

    def call(self, x):
        return sum(layer(x) for layer in self.parts)


def named(names, optimizer="adam"):
    model = Named(names)
    model.compile(optimizer, "mse", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.mark.parametrize("names", [["a", "b"], ["part_1", "part_2"]])
def test_what_is_made_in_another_order_is_found_by_name(names, tmp_path):
    model = named(names)
    for index, variable in enumerate(model.optimizer.variables):
        variable.assign(np.full(variable.shape, index))
    checkpoint = Checkpoint(tmp_path)
    checkpoint.set_model(model)
    checkpoint._metrics = None
    checkpoint.save()
    other = named(names[::-1])
    Checkpoint(tmp_path).restore(other)

    def by_path(model):
        variables = [*model.variables, *model.optimizer.variables]
        # Keras numbers its optimizers.
        return {re.sub(r"^adam_\d+/", "", v.path): v for v in variables}

    mine, others = by_path(model), by_path(other)
    assert list(mine) != list(others)
    for path, variable in mine.items():
        np.testing.assert_array_equal(
            *map(keras.ops.convert_to_numpy, (variable, others[path]))
        )


def test_another_optimizer_with_the_same_slots_is_refused(tmp_path):
    checkpoint = Checkpoint(tmp_path)
    checkpoint.set_model(named("ab", keras.optimizers.Adam(name="mine")))
    checkpoint._metrics = None
    checkpoint.save()
    other = named("ab", keras.optimizers.AdamW(name="mine"))
    with pytest.raises(CheckpointError, match="'?Adam'? then, AdamW now"):
        Checkpoint(tmp_path).restore(other)


# === What goes wrong ===


def test_another_model_is_refused_by_name(tmp_path):
    fit(build(), Checkpoint(tmp_path))
    with pytest.raises(CheckpointError) as error:
        Checkpoint(tmp_path).restore(build(units=5))
    message = str(error.value)
    assert "hidden/kernel: (3, 5) float32 in the model, (3, 4)" in message

    smaller = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, name="hidden")]
    )
    smaller.compile("adam", "mse")
    smaller.optimizer.build(smaller.trainable_variables)
    before = values(smaller)
    with pytest.raises(CheckpointError, match="only in the checkpoint: .*norm"):
        Checkpoint(tmp_path).restore(smaller)
    for a, b in zip(before, values(smaller), strict=True):
        np.testing.assert_array_equal(a, b)  # nothing was half loaded


def test_another_learning_rate_is_told(tmp_path):
    fit(build(), Checkpoint(tmp_path))
    model = build()
    model.optimizer.learning_rate = 0.5
    with pytest.warns(UserWarning, match="0.01, not with the 0.5"):
        Checkpoint(tmp_path).restore(model)


@pytest.mark.parametrize(
    "damage",
    ["flipped", "truncated", "no file", "header flipped", "no header"],
)
def test_damage_names_the_file_and_the_good_one(damage, tmp_path):
    folder = CheckpointFolder(tmp_path)
    arrays(folder, 3)
    path = arrays(folder, 6)
    file = path / ("checkpoint.json" if "header" in damage else "model.bin")
    content = bytearray(file.read_bytes())
    if "flipped" in damage:
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    elif damage == "truncated":
        file.write_bytes(content[:-9])
    else:
        file.unlink()
    with pytest.raises(CheckpointError) as error:
        folder.read(6)
    message = str(error.value)
    assert str(file) in message and "step-0000000003" in message
    assert folder.steps() == [3, 6]  # nothing was deleted


def test_full_disk_leaves_the_last_good_one(tmp_path, monkeypatch):
    folder = CheckpointFolder(tmp_path)
    arrays(folder, 3)
    calls = []

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="disk is full.*step-0000000003") as error:
        arrays(folder, 6)
    assert error.value.errno == errno.ENOSPC
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["step-0000000003"]
    folder.read(3)


def test_a_second_run_in_the_folder_is_refused(tmp_path):
    code = (
        "import sys, time\n"
        "from keras_dinolm import files\n"
        "with files.lock(sys.argv[1] + '/.lock'):\n"
        "    print(flush=True)\n"
        "    time.sleep(600)\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE
    )
    folder = CheckpointFolder(tmp_path)
    try:
        other.stdout.readline()
        with pytest.raises(CheckpointError) as error:
            folder.lock()
    finally:
        other.kill()  # kill -9, which frees the folder
        other.wait()
        other.stdout.close()
    assert f"process {other.pid} on " in str(error.value)
    assert str(tmp_path) in str(error.value)
    folder.lock()
    folder.unlock()


def test_a_fit_from_the_start_does_not_mix_with_an_older_run(tmp_path):
    fit(build(), Checkpoint(tmp_path))
    with pytest.raises(CheckpointError, match="holds a run at step 6"):
        fit(build(), Checkpoint(tmp_path))


@pytest.mark.once
def test_leftovers_of_a_killed_run_are_removed_and_nothing_else(tmp_path):
    folder = CheckpointFolder(tmp_path)
    child = os.fork()
    if not child:

        def killed():
            yield "a", np.arange(100.0)
            os._exit(1)

        folder.save(9, {"model": killed()}, {})
    os.waitpid(child, 0)
    assert [name for name in os.listdir(tmp_path) if "step-" in name]
    (tmp_path / ".writing-notes").mkdir()
    assert folder.steps() == []
    folder.lock()
    assert not [name for name in os.listdir(tmp_path) if "step-" in name]
    assert (tmp_path / ".writing-notes").is_dir()
    folder.unlock()


def test_pruning_removes_checkpoints_and_nothing_else(tmp_path):
    folder = CheckpointFolder(tmp_path, keep=1)
    path = arrays(folder, 3)
    (path / "thesis.tex").write_text("mine")
    for step in (6, 9):
        arrays(folder, step)
    assert folder.steps() == [3, 9]
    assert (path / "thesis.tex").read_text() == "mine"
    # A name that a checkpoint would have, and a file: it stays.
    folder.path(12).write_text("mine")
    with pytest.raises(FileExistsError, match="step-0000000009, is untouched"):
        arrays(folder, 12)
    assert folder.path(12).read_text() == "mine" and folder.steps() == [3, 9]


def test_set_aside_twice_keeps_both(tmp_path):
    folder = CheckpointFolder(tmp_path)
    for count in (1, 2):
        arrays(folder, 3, count)
        folder.set_aside(after=0)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "collapsed-step-0000000003",
        "collapsed-step-0000000003-2",
    ]


def test_too_little_room_is_known_before_anything_is_written(
    tmp_path, monkeypatch
):
    folder = CheckpointFolder(tmp_path)
    arrays(folder, 3)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _: usage._replace(free=1 << 21)
    )
    model = build()
    checkpoint = Checkpoint(tmp_path)
    checkpoint.set_model(model)
    checkpoint._metrics = None
    checkpoint.position = Position(step=6)
    checkpoint.save()  # small enough
    checkpoint.position = Position(step=9)
    monkeypatch.setattr(model_state, "size", lambda _: 1 << 22)
    with pytest.raises(OSError, match="disk is full.*step-0000000006"):
        checkpoint.save()
    assert folder.steps() == [3, 6]


def test_few_descriptors_lose_nothing(tmp_path):
    resource = pytest.importorskip("resource")
    folder = CheckpointFolder(tmp_path)
    arrays(folder, 3)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    try:
        with pytest.raises(
            OSError, match="too many files.*ulimit.*untouched"
        ) as error:
            arrays(folder, 6)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert error.value.errno == errno.EMFILE
    assert folder.steps() == [3]
    folder.read(3)


def test_header_says_what_wrote_it(tmp_path):
    fit(build(), Checkpoint(tmp_path))
    path = CheckpointFolder(tmp_path).path(6) / "checkpoint.json"
    body = json.loads(path.read_text())["body"]
    assert body["backend"] == keras.backend.backend()
    assert body["keras"] == keras.__version__
    assert body["dtype_policy"] == "float32"
    body["backend"] = "another"
    path.write_text(
        json.dumps({"crc32": state_file._checksum(body), "body": body})
    )
    with pytest.raises(CheckpointError, match="KERAS_BACKEND=another"):
        Checkpoint(tmp_path).restore(build())


def test_what_a_kill_left_unpruned_goes_with_the_next_save(tmp_path):
    for step in (3, 6, 9):
        arrays(CheckpointFolder(tmp_path, keep=3), step)
    # The last one is there; a killed process did not come to the rest.
    folder = CheckpointFolder(tmp_path, keep=2)
    arrays(folder, 9)
    assert folder.steps() == [6, 9]
