"""Checkpoints: complete, exact, atomic, and clear when something is wrong."""

import errno
import json
import os
import subprocess
import sys

import keras
import ml_dtypes
import numpy as np
import pytest

from keras_dinolm.runs import state_file
from keras_dinolm.runs.checkpoint import Checkpoint
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
    return folder.save(
        step, {"model": [("a", np.arange(100.0))] * count}, {"position": {}}
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


@pytest.mark.parametrize("arguments", [{"keep": 0}, {"mode": "least"}])
def test_arguments_out_of_range(arguments, tmp_path):
    (name, value), *_ = arguments.items()
    with pytest.raises(ValueError, match=f"Received: {name}={value!r}"):
        Checkpoint(tmp_path, **arguments)
    with pytest.raises(ValueError, match="save_every=0"):
        Checkpoint(tmp_path, save_every=0)


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
        "import filelock, json, os, sys, time\n"
        "lock = filelock.FileLock(sys.argv[1] + '/.lock')\n"
        "lock.acquire()\n"
        "owner = {'pid': os.getpid(), 'host': 'here'}\n"
        "open(sys.argv[1] + '/.run.json', 'w').write(json.dumps(owner))\n"
        "print(flush=True)\n"
        "time.sleep(600)\n"
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
    assert f"process {other.pid} on here" in str(error.value)
    assert str(tmp_path) in str(error.value)
    folder.lock()
    folder.unlock()


def test_a_fit_from_the_start_does_not_mix_with_an_older_run(tmp_path):
    fit(build(), Checkpoint(tmp_path))
    with pytest.raises(CheckpointError, match="holds a run at step 6"):
        fit(build(), Checkpoint(tmp_path))


def test_leftovers_of_a_killed_run_are_removed(tmp_path):
    for name in (".writing-step-0000000009", ".deleting-step-0000000001"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.bin").write_bytes(b"half")
    folder = CheckpointFolder(tmp_path)
    assert folder.steps() == []
    folder.lock()
    assert sorted(os.listdir(tmp_path)) == [".lock", ".run.json"]
    folder.unlock()


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
