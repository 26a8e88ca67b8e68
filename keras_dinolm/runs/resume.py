"""`fit` that resumes where it was, whatever stopped it."""

import math
import os
import warnings
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import keras

from keras_dinolm import arguments
from keras_dinolm.callbacks import OnlineProbe
from keras_dinolm.runs import fingerprint
from keras_dinolm.runs import model_state
from keras_dinolm.runs import random_state
from keras_dinolm.runs.checkpoint import Checkpoint
from keras_dinolm.runs.checkpoint import check_header
from keras_dinolm.runs.determinism import deterministic_operations
from keras_dinolm.runs.interrupt import InterruptBetweenSteps
from keras_dinolm.runs.state_file import CheckpointError
from keras_dinolm.typing import Path


def fit(
    model: keras.Model,
    make_dataset: Callable[[int], Any],
    directory: Path,
    steps: int,
    steps_per_epoch: int,
    save_every: int | None = None,
    keep: int = 3,
    monitor: str | None = None,
    mode: str = "min",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: str | int = "auto",
    deterministic: bool = True,
    **kwargs: Any,
) -> keras.callbacks.History:
    """Trains, or resumes training; the same command does both.

    The first time, it trains from the beginning and saves checkpoints to
    `directory`. Started again, after `kill -9`, a crash or Ctrl-C, it
    restores the newest checkpoint, positions the data, finishes the epoch
    with the right metrics, and continues. On the same machine, with the same
    versions and number of threads, it ends with the same bits as a run that
    was never stopped, provided the first weights are the same:
    call `keras.utils.set_random_seed` before building the model. When it is
    done, it returns at once.

    A folder holds one run. Another model, optimizer, loss, seed or dataset is
    an error that shows each difference; more `steps` are allowed. The data is
    recognized by its first batch, and a `view_dataset` also by what it is made
    of. Other first weights are a warning, since those of the checkpoint
    replace them.

    The first Ctrl-C finishes the step, saves, and raises `KeyboardInterrupt`.

    Args:
        model: a built and compiled `keras.Model`, such as `DinoLM`.
        make_dataset: callable `(start_step) -> dataset`. The endless data, from
            that batch on, for instance `view_dataset(..., start_step=step)`.
        directory: string or path. A folder for this run alone.
        steps: int. Batches of the whole run.
        steps_per_epoch: int. Batches of an epoch.
        save_every: int or `None`. Batches between two checkpoints; `None`
            saves at the end of each epoch.
        keep: int. How many of the newest checkpoints to keep.
        monitor: string or `None`. A name in the logs of an epoch; the
            checkpoint of the best epoch is kept as well.
        mode: `"min"` or `"max"`, which `monitor` is best.
        callbacks: callbacks for `model.fit`. One with `get_run_state()` (JSON)
            and `set_run_state(state)` is saved and restored with the run.
        verbose: as for `model.fit`.
        deterministic: boolean. Deterministic operations where the backend has
            others, while it trains; needed for the same bits on a GPU.
        **kwargs: as for `model.fit`, such as `validation_data`.

    Returns:
        A `History` of the whole run, the epochs before it was stopped too.

    Raises:
        ValueError: for arguments out of range.
        CheckpointError: if the folder is in use, its newest checkpoint is
            broken or holds NaN, or it belongs to a run of another
            configuration.
        FileExistsError: if the folder is for something else.
        FloatingPointError: if weights or optimizer are no longer finite. The
            last good checkpoint stays.
        OSError: if a checkpoint cannot be written.

    Example:

    ```python
    import keras
    import numpy as np
    import tempfile
    import keras_dinolm as kd

    def make_dataset(start_step):
        step = start_step
        while True:
            rng = np.random.default_rng(step)
            x = rng.normal(size=(8, 3))
            yield x, x.sum(axis=1, keepdims=True)
            step += 1

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    history = kd.runs.fit(
        model, make_dataset, tempfile.mkdtemp(), steps=40, steps_per_epoch=10,
        save_every=4, verbose=0,
    )
    ```
    """
    steps, steps_per_epoch = _check(
        model, make_dataset, steps, steps_per_epoch, callbacks, verbose, kwargs
    )
    deterministic = arguments.flag("deterministic", deterministic)
    # The dataset has its own order; Keras would warn that it cannot shuffle.
    kwargs.setdefault("shuffle", False)

    checkpoint = _managed(Checkpoint)(
        directory, save_every=save_every, keep=keep, monitor=monitor, mode=mode
    )
    for callback in callbacks:
        if getattr(callback, "checkpoint", checkpoint) is None:
            callback.checkpoint = checkpoint  # `CollapseMonitor` rolls back
        if hasattr(callback, "get_run_state"):
            checkpoint.stateful.append(callback)
    history = _History()
    history.set_model(model)
    checkpoint.history = history
    checkpoint.folder.lock()
    try:
        run, first_weights = fingerprint.of_start(
            model, checkpoint.folder.directory
        )
        data, make_dataset = fingerprint.make_described(make_dataset)
        checkpoint.settings = {
            "steps_per_epoch": steps_per_epoch,
            **run,
            "data": data,
        }
        checkpoint.first_weights = first_weights
        done = checkpoint.folder.steps()
        if done:
            header = checkpoint.folder.read_header(done[-1])
            check_header(checkpoint.folder.path(done[-1]), header)
            _check_settings(checkpoint, header, make_dataset)
        restored = checkpoint.load(model)
        metrics = []
        if restored is not None:
            if restored.position.step > steps:
                raise CheckpointError(
                    f"The run in {checkpoint.folder.directory} is at step "
                    f"{restored.position.step}, beyond `steps`. Ask for as "
                    "many steps or more, or give this run another "
                    f"`directory`. Received: steps={steps}"
                )
            _restore_history(history, restored, steps)
            checkpoint.restore_callbacks(restored)
            metrics = restored.metrics
            _say(verbose, _found(checkpoint, steps))
        with (
            deterministic_operations(deterministic),
            InterruptBetweenSteps(checkpoint.request_stop),
        ):
            _run(
                model, make_dataset, checkpoint, history, metrics, steps,
                steps_per_epoch, callbacks, verbose, kwargs,
            )  # fmt: skip
            if checkpoint.position.step > 0:
                checkpoint.save()
    finally:
        checkpoint.close()
    return history


def _run(
    model,
    make_dataset,
    checkpoint,
    history,
    metrics,
    steps,
    steps_per_epoch,
    callbacks,
    verbose,
    kwargs,
):
    """The rest of a begun epoch, then whole epochs, then what is left."""
    num_epochs = -(-steps // steps_per_epoch)
    while checkpoint.position.step < steps:
        position = checkpoint.position
        left = steps - position.step
        if position.batch or left < steps_per_epoch:
            length = min(steps_per_epoch - position.batch, left)
            epochs = 1
        else:
            length = steps_per_epoch
            epochs = left // steps_per_epoch
        randomness = random_state.read()
        if position.batch and len(model.metrics_variables) < len(metrics):
            # Tensorflow makes the metrics of `compile` in the first step,
            # too late for those of a begun epoch.
            model.evaluate(make_dataset(position.step), steps=1, verbose=0)
        progress = _Progress(
            num_epochs, position.batch + length, position.batch
        )
        model.fit(
            make_dataset(position.step),
            initial_epoch=position.epoch,
            epochs=position.epoch + epochs,
            steps_per_epoch=length,
            # History, progress bar and checkpoint see what the others wrote
            # into the logs.
            callbacks=[
                _StateAtBegin(randomness, metrics if position.batch else []),
                *callbacks,
                history,
                *([progress] if verbose else []),
                checkpoint,
            ],
            verbose=verbose,
            **kwargs,
        )
        metrics = []
        if model.stop_training or checkpoint.position == position:
            break


def _managed(checkpoint_class):
    class RunCheckpoint(checkpoint_class):
        """A checkpoint for several calls of `fit` that are one run."""

        def on_train_begin(self, logs=None):
            pass

        def on_train_end(self, logs=None):
            pass

    return RunCheckpoint


class _History(keras.callbacks.History):
    """The history of several calls of `fit` that are one run."""

    def __init__(self):
        super().__init__()
        self.epoch = []

    def on_train_begin(self, logs=None):
        pass

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        # An objective logs while it acts. One number an epoch for each name,
        # NaN where there is none, keeps the curves side by side.
        for name, values in self.history.items():
            absent = [math.nan] * (len(self.epoch) - len(values))
            began = name in (logs or {})
            values[:] = absent + values if began else values + absent


class _StateAtBegin(keras.callbacks.Callback):
    """Brings back what the start of a `fit` moves.

    `fit` resets the metrics, of which a begun epoch needs the old ones. It
    also draws random numbers (torch's `DataLoader` does for a new iterator),
    which a resumed run does not.
    """

    def __init__(self, randomness, metrics):
        super().__init__()
        self.randomness = randomness
        self.metrics = metrics

    def on_epoch_begin(self, epoch, logs=None):
        if self.metrics:
            variables = self.model.metrics_variables
            pairs = model_state.pair(variables, self.metrics, "metrics")
            model_state.assign(pairs)
        self.metrics = None

    def on_train_batch_begin(self, batch, logs=None):
        if self.randomness:
            random_state.write(self.randomness)
        self.randomness = None


class _Progress(keras.callbacks.ProgbarLogger):
    """The progress bar of whole epochs, also while the rest of one runs."""

    async_safe = True

    def __init__(self, num_epochs, num_batches, first_batch):
        super().__init__()
        self.num_epochs = num_epochs
        self.num_batches = num_batches
        self.first_batch = first_batch

    def set_params(self, params):
        super().set_params(
            {
                **params,
                "epochs": self.num_epochs,
                "steps": self.num_batches,
            }
        )

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch + self.first_batch, logs)

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self.first_batch = 0


def _check(
    model, make_dataset, steps, steps_per_epoch, callbacks, verbose, kwargs
):
    """Checks the arguments of `fit`; returns the numbers as ints."""
    steps = arguments.integer("steps", steps, 1, meaning="batches of the run")
    steps_per_epoch = arguments.integer(
        "steps_per_epoch", steps_per_epoch, 1, meaning="batches of an epoch"
    )
    if not callable(make_dataset):
        arguments.refuse(
            "make_dataset", make_dataset, "a callable `(start_step) -> dataset`"
        )
    if not isinstance(callbacks, list | tuple) or not all(
        isinstance(callback, keras.callbacks.Callback) for callback in callbacks
    ):
        arguments.refuse("callbacks", callbacks, "a list of Keras callbacks")
    folders = [
        os.path.realpath(callback.directory)
        for callback in callbacks
        if isinstance(callback, OnlineProbe) and callback.directory
    ]
    if len(set(folders)) < len(folders):
        raise ValueError(
            "Each `OnlineProbe` among `callbacks` needs a `directory` of its "
            "own, or one would replace the best encoder of another. "
            f"Received: directories {sorted(folders)}"
        )
    arguments.choice("verbose", verbose, ("auto", 0, 1, 2, False, True))
    unwanted = {"x", "y", "epochs", "initial_epoch", "batch_size"} & set(kwargs)
    if unwanted:
        raise ValueError(
            f"Remove the arguments {sorted(unwanted)}: `make_dataset`, `steps` "
            "and `steps_per_epoch` say what to train on, and how long."
        )
    arguments.instance("model", model, keras.Model, "a `keras.Model`")
    if getattr(model, "optimizer", None) is None:
        raise ValueError("Call `model.compile(...)` before `fit`.")
    executions = model.steps_per_execution
    if steps_per_epoch % executions or steps % executions:
        raise ValueError(
            "`steps` and `steps_per_epoch` must be multiples of the model's "
            "`steps_per_execution`, so that an epoch ends with an execution. "
            f"Received: steps={steps}, steps_per_epoch={steps_per_epoch}, "
            f"steps_per_execution={executions}"
        )
    return steps, steps_per_epoch


class FirstWeightsWarning(UserWarning):
    """A run resumes, and the model that was given had other first weights."""


def _check_settings(checkpoint, header, make_dataset):
    """Raises if the folder holds another run than the one asked for."""
    directory = checkpoint.folder.directory
    then, now = dict(header["settings"]), dict(checkpoint.settings)
    if None in (then.get("seed"), now.get("seed")):
        # Whoever never called `set_random_seed` has none to compare with.
        then["seed"] = now["seed"] = None
    if then.get("data") != now["data"] and not fingerprint.repeats_itself(
        now["data"], make_dataset
    ):
        warnings.warn(
            "`make_dataset(0)` returns another first batch each time, so a "
            "run that resumes sees other data than one that was never "
            "stopped. Seed the data.",
            stacklevel=3,
        )
        now["data"] = then.get("data")
    fingerprint.check_is_same(
        f"'{directory}' holds a run",
        then,
        now,
        "Give the same values to continue it, or another `directory` for a "
        "new run.",
        CheckpointError,
    )
    weights = header.get("first_weights")
    if weights not in (None, checkpoint.first_weights):
        warnings.warn(
            f"The run in '{directory}' began with other weights than those of "
            "the given model, which its checkpoint now replaces. Weights are "
            "comparable if `keras.utils.set_random_seed` is called before the "
            "model is built. If others were meant, use another `directory`.",
            FirstWeightsWarning,
            stacklevel=3,
        )


def _restore_history(history, restored, steps):
    stored = restored.header["history"]
    keep = len(stored["epoch"])
    if restored.position.step < steps:
        # An epoch that is not finished is logged when it is.
        keep = sum(e < restored.position.epoch for e in stored["epoch"])
    history.epoch = stored["epoch"][:keep]
    history.history = {
        name: values[:keep] for name, values in stored["logs"].items()
    }


def _found(checkpoint, steps):
    position = checkpoint.position
    if position.step >= steps:
        return (
            f"The run in {checkpoint.folder.directory} is finished: it is at "
            f"step {position.step} of {steps}. For more, raise `steps`; to "
            "start again, use another folder."
        )
    return (
        f"Going on from {checkpoint.folder.path(position.step)}: step "
        f"{position.step} of {steps}, epoch {position.epoch + 1}, batch "
        f"{position.batch}."
    )


def _say(verbose, text):
    if verbose:
        print(text, flush=True)
