"""Saves a training run so that nothing of it is lost."""

import collections
import contextlib
import dataclasses
import math
import pathlib
import sys

import keras
import numpy as np

from keras_dinolm import arguments
from keras_dinolm.runs import model_state
from keras_dinolm.runs import random_state
from keras_dinolm.runs.checkpoint_folder import CheckpointFolder
from keras_dinolm.runs.state_file import HEADER
from keras_dinolm.runs.state_file import CheckpointError
from keras_dinolm.typing import Path
from keras_dinolm.version import __version__

# What a callback may raise if a state is not one of its own.
_BAD_STATE = (AttributeError, LookupError, TypeError, ValueError)
# Bytes of a checkpoint's metrics and random states, at most.
_MOST_OTHERS = 256 << 20


@dataclasses.dataclass(frozen=True)
class Position:
    """How far a run is.

    Attributes:
        step: batches done in all; the batch with this number comes next.
        epoch: epochs done.
        batch: batches done of the epoch after them.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0


class Checkpoint(keras.callbacks.Callback):
    """Saves all state of a run every few batches, atomically.

    Holds weights, teacher, centers, counters, random seeds, optimizer,
    metrics and the position in the data, each to the bit. Saving does not
    change the run. Whatever kills the process, the newest checkpoint is
    whole.

    `keras_dinolm.runs.fit` uses it and also restores, finds the place in
    the data, and finishes the epoch: prefer it. Alone, the callback saves a
    `model.fit`, and `restore` puts the state back.

    Args:
        directory: string or path. A folder for this run alone.
        save_every: int or `None`. Batches between two checkpoints; `None`
            saves at the end of each epoch. The end of `fit` saves as well.
        keep: int. How many of the newest checkpoints to keep.
        monitor: string or `None`. A name in the logs of an epoch; the
            checkpoint of the epoch in which it was best is kept, too.
        mode: `"min"` or `"max"`, which `monitor` is best.

    Raises:
        ValueError: for arguments out of range, or a `monitor` that is not in
            the logs.
        CheckpointError: from `fit`, if another run uses the folder.
        OSError: from `fit`, if the disk is full; the last good checkpoint is
            untouched.
        FloatingPointError: from `fit`, if weights or optimizer are no longer
            finite; no checkpoint is written then.

    Example:

    ```python
    import keras
    import numpy as np
    import tempfile
    import keras_dinolm as kd

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    checkpoint = kd.runs.Checkpoint(tempfile.mkdtemp(), save_every=2)
    x, y = np.ones((32, 3)), np.ones((32, 1))
    model.fit(x, y, batch_size=8, callbacks=[checkpoint], verbose=0)
    checkpoint.restore(model)  # Position(step=4, epoch=1, batch=0)
    ```
    """

    # Counting batches must not lag behind the weights, so Keras may not call
    # `on_train_batch_end` from another thread.
    async_safe = False

    def __init__(
        self,
        directory: Path,
        save_every: int | None = None,
        keep: int = 3,
        monitor: str | None = None,
        mode: str = "min",
    ) -> None:
        super().__init__()
        if save_every is not None:
            save_every = arguments.integer(
                "save_every",
                save_every,
                1,
                meaning="batches between two checkpoints, or `None` for the "
                "end of each epoch",
            )
        if monitor is not None:
            monitor = arguments.string("monitor", monitor)
        self.folder = CheckpointFolder(directory, keep=keep, mode=mode)
        self.save_every = save_every
        self.monitor = monitor
        self.position = Position()
        # What a resumed run must have in common with this one, and what it
        # needs to resume; `keras_dinolm.runs.fit` fills them.
        self.settings = {}
        self.first_weights: str | None = None
        self.history = None
        # Callbacks with `get_run_state` and `set_run_state`.
        self.stateful = []
        self._saved_step: int | None = None
        self._stop_requested = False
        self._rolled_back = False

    def restore(
        self, model: keras.Model, step: int | None = None
    ) -> Position | None:
        """Puts the state of a checkpoint into a model.

        Args:
            model: a built and compiled model, as in the run that saved.
            step: int or `None`, for the newest.

        Returns:
            The `Position`; `None` if the folder has no checkpoint.

        Raises:
            CheckpointError: if the checkpoint is broken, does not fit the
                model, holds NaN, or comes from another backend.
        """
        restored = self.load(model, step)
        return None if restored is None else restored.position

    def load(
        self, model: keras.Model, step: int | None = None
    ) -> "Restored | None":
        """As `restore`; returns all that was read.

        Args:
            model: as for `restore`.
            step: as for `restore`.

        Returns:
            A `Restored`; `None` if the folder has no checkpoint.
        """
        steps = self.folder.steps()
        if step is None and not steps:
            return None
        if step is None:
            step = steps[-1]
        step = arguments.integer("step", step, 0)
        path = self.folder.path(step)
        groups = model_state.groups(model)

        def check(header):
            """Compares before anything is read that may be too large."""
            check_header(path, header)
            _check_optimizer(path, header, model)
            entries = _entries(header)
            if len(groups["metrics"]) < len(entries["metrics"]):
                # Those of `compile` are made by the first `fit`.
                groups.pop("metrics")
            for group, variables in groups.items():
                with _named_errors(path):
                    model_state.pair(variables, entries[group], group)

        header, stored = self.folder.read(step, check)
        pairs = {
            group: model_state.pair(variables, stored[group], group)
            for group, variables in groups.items()
        }
        bad = model_state.not_finite([*pairs["model"], *pairs["optimizer"]])
        if bad:
            raise CheckpointError(
                f"{path} is of a run that had diverged: {_listed(bad)} are not "
                "finite. Move it away to go on from an earlier one."
            )
        with _named_errors(path):
            random_state.check(stored["random"])
        for group in pairs.values():
            model_state.assign(group)
        random_state.write(stored["random"])
        self.first_weights = header.get("first_weights")
        self.position = Position(**header["position"])
        self._saved_step = self.position.step
        return Restored(self.position, header, stored["metrics"])

    def request_stop(self) -> None:
        """Asks the run to save and stop before its next batch."""
        self._stop_requested = True

    def roll_back(self, step: int) -> pathlib.Path | None:
        """Returns to before a failure; training has to stop with this epoch.

        Later checkpoints are renamed to `collapsed-step-...`, so that the
        next run resumes from the good one.

        Args:
            step: int. The last step that may still be good.

        Returns:
            The path of the checkpoint restored, or `None` if none is old
            enough.
        """
        good = self.folder.newest(until=step)
        if good is None:
            return None
        self.load(self.model, good)
        self.folder.set_aside(after=good)
        self._rolled_back = True
        return self.folder.path(good)

    def restore_callbacks(self, restored: "Restored") -> None:
        """Gives the `stateful` callbacks what they were when it was saved.

        Args:
            restored: `Restored`, as `load` returned it.
        """
        stored = restored.header.get("callbacks", {})
        for name, callback in _named(self.stateful):
            if name not in stored:
                continue
            try:
                callback.set_run_state(stored[name])
            except (
                AttributeError,
                LookupError,
                TypeError,
                ValueError,
            ) as error:
                path = self.folder.path(restored.position.step)
                raise CheckpointError(
                    f"{path / HEADER} holds a state of {name} that it does "
                    f"not take ({type(error).__name__}: {error}). Pass the "
                    "callbacks of the run that wrote it, or use another folder."
                ) from error

    def close(self) -> None:
        """Gives the folder back after a `fit` that ended in an error."""
        while self.folder.locked:
            self.folder.unlock()

    # === What fit calls ===

    def on_train_begin(self, logs=None):
        self._rolled_back = False
        self.folder.lock()
        newest = max(self.folder.steps(), default=0)
        if newest > self.position.step:
            self.folder.unlock()
            raise CheckpointError(
                f"{self.folder.directory} holds a run at step {newest}, and "
                f"this one is at step {self.position.step}. Go on with that "
                "run by `keras_dinolm.runs.fit`, or use another folder."
            )

    def on_epoch_begin(self, epoch, logs=None):
        if epoch != self.position.epoch:
            self.position = Position(self.position.step, epoch)
        self._begin = self.position
        self._batches = 0
        self._metrics = None

    def on_train_batch_begin(self, batch, logs=None):
        # Here the state is whole and the step before is done, on each
        # backend.
        if batch:
            self._move_to(batch)
        if self._stop_requested:
            self._stop()
        if batch and self._due():
            self.save()

    def on_train_batch_end(self, batch, logs=None):
        self._batches = batch + 1

    def on_test_begin(self, logs=None):
        # Validation overwrites the metrics; within an epoch they are needed.
        metrics = self.model.metrics_variables
        self._metrics = list(model_state.arrays(metrics))

    def on_epoch_end(self, epoch, logs=None):
        if self._rolled_back:
            return
        self._move_to(self._batches)
        length = self.settings.get("steps_per_epoch", self.params.get("steps"))
        if length is None or self.position.batch >= length:
            self.position = Position(self.position.step, epoch + 1)
        value = self._monitored(logs or {})
        best = self.folder.best_value()
        better = value is not None and (
            best is None
            or (value < best if self.folder.mode == "min" else value > best)
        )
        if self.save_every is None or self._due() or better:
            self.save(value)
        if self._stop_requested:
            self._stop()

    def on_train_end(self, logs=None):
        self.save()
        self.folder.unlock()

    # === Saving ===

    def save(self, value: float | None = None) -> None:
        """Writes a checkpoint of this moment, unless there is one.

        Args:
            value: float. That of `monitor`, if it is known now.
        """
        if self._saved_step == self.position.step:
            # The run that wrote it may have been killed before it did this.
            self.folder.prune()
            return
        variables = model_state.groups(self.model)
        groups = {
            group: model_state.arrays(members)
            for group, members in variables.items()
        }
        if self._metrics is not None:
            groups["metrics"] = self._metrics
        groups["random"] = random_state.read()
        for group in ("model", "optimizer"):
            self._check_finite(variables[group])
        header = {
            "library": __version__,
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
            "model": type(self.model).__name__,
            "optimizer": _optimizer_classes(self.model.optimizer),
            "first_weights": self.first_weights,
            "dtype_policy": self.model.dtype_policy.name,
            "position": dataclasses.asdict(self.position),
            "settings": self.settings,
            "history": _history(self.history),
            "callbacks": {
                name: callback.get_run_state()
                for name, callback in _named(self.stateful)
            },
        }
        size = sum(map(model_state.size, variables.values()))
        self.folder.save(self.position.step, groups, header, value, size)
        self._saved_step = self.position.step

    def _check_finite(self, variables):
        """Stops a run before it replaces good checkpoints by bad ones."""
        bad = model_state.not_finite(
            (variable, keras.ops.convert_to_numpy(variable.value))
            for variable in variables
        )
        if bad:
            steps = self.folder.steps()
            kept = (
                f"The last good checkpoint is {self.folder.path(steps[-1])}."
                if steps
                else "No checkpoint was saved before."
            )
            raise FloatingPointError(
                f"The run has diverged: at step {self.position.step}, "
                f"{_listed(bad)} are not finite, so no checkpoint was saved. "
                f"{kept} Lower the learning rate or clip gradients "
                "(`global_clipnorm`)."
            )

    def _move_to(self, batches):
        begin = self._begin
        self.position = Position(
            begin.step + batches, begin.epoch, begin.batch + batches
        )

    def _due(self):
        if self.save_every is None:
            return False
        last = self._saved_step or 0
        return self.position.step // self.save_every > last // self.save_every

    def _monitored(self, logs):
        if self.monitor is None:
            return None
        if self.monitor not in logs:
            raise ValueError(
                "Argument `monitor` names nothing in the logs of the epoch. "
                f"Received: monitor={self.monitor!r}, logs with: "
                f"{sorted(logs)}"
            )
        return float(logs[self.monitor])

    def _stop(self):
        self._stop_requested = False
        self.save()
        p = self.position
        print(
            f"\nStopped at step {p.step} (epoch {p.epoch + 1}, batch "
            f"{p.batch}); all of it is saved in {self.folder.directory}. Run "
            "the same command again to continue.",
            file=sys.stderr,
        )
        raise KeyboardInterrupt("the run is saved")


@dataclasses.dataclass(frozen=True)
class Described:
    """What is known of an array before it is read.

    Attributes:
        shape: tuple of ints.
        dtype: string.
    """

    shape: tuple[int, ...]
    dtype: str


@dataclasses.dataclass(frozen=True)
class Restored:
    """What `Checkpoint.load` read.

    Attributes:
        position: `Position`.
        header: dict, with `settings` and `history` of the run.
        metrics: list of `(name, array)`, for after `fit` has reset the
            metrics.
    """

    position: Position
    header: dict
    metrics: list


@contextlib.contextmanager
def _named_errors(path):
    """Adds the checkpoint's path to an error."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None


def check_header(path, header):
    """Raises unless the header holds what a run needs to resume."""
    for field, kind, what in (
        ("backend", str, "a string"),
        ("settings", dict, "a dict"),
        ("callbacks", dict, "a dict"),
    ):
        if not isinstance(header.get(field), kind):
            _refuse(path, header, field, what)
    if set(header["groups"]) != {"model", "optimizer", "metrics", "random"}:
        _refuse(path, header, "groups", "the groups of a run")
    if not _is_history(header.get("history")):
        _refuse(path, header, "history", "a list of epochs and as many logs")
    # What is compared with no variable must not be large.
    size = sum(
        math.prod(entry["shape"]) * np.dtype(entry["dtype"]).itemsize
        for group in ("metrics", "random")
        for entry in header["groups"][group]
    )
    if size > _MOST_OTHERS:
        _refuse(path, header, "groups", "small metrics and random states")
    backend = keras.backend.backend()
    if header["backend"] != backend:
        raise CheckpointError(
            f"{path} was written with the {header['backend']} backend; a run "
            "resumes only with its own. Set "
            f"KERAS_BACKEND={header['backend']}, or use another folder. "
            f"Received: KERAS_BACKEND={backend}"
        )


def _refuse(path, header, field, what):
    raise CheckpointError(
        f"{path / HEADER} is damaged or hostile: `{field}` must be {what}. "
        f"Received: {field}={arguments.shorten(header.get(field))}. Move the "
        "checkpoint away to go on from an earlier one."
    )


def _is_history(history):
    if history is None:
        return True
    if not isinstance(history, dict) or set(history) != {"epoch", "logs"}:
        return False
    epochs, logs = history["epoch"], history["logs"]
    return (
        isinstance(epochs, list)
        and all(type(epoch) is int for epoch in epochs)
        and isinstance(logs, dict)
        and all(
            isinstance(values, list)
            and all(type(value) in (int, float) for value in values)
            for values in logs.values()
        )
    )


def _check_optimizer(path, header, model):
    """Slots of two classes may have the same names and mean other things."""
    then, now = header.get("optimizer"), _optimizer_classes(model.optimizer)
    if then != now:
        raise CheckpointError(
            f"{path} was written with another optimizer: "
            f"{arguments.shorten(then)} then, {now} now. Compile the model "
            "with the same one, or use another folder."
        )


def _optimizer_classes(optimizer):
    """The class of an optimizer, and those of the optimizers within."""
    several = getattr(optimizer, "optimizers", None)
    if callable(several):
        return {name: _optimizer_classes(o) for name, o in several().items()}
    inner = getattr(optimizer, "inner_optimizer", None)
    name = type(optimizer).__name__
    return name if inner is None else {name: _optimizer_classes(inner)}


def _entries(header):
    """The arrays of each group as the header describes them."""
    return {
        group: [
            (e["name"], Described(tuple(e["shape"]), e["dtype"]))
            for e in entries
        ]
        for group, entries in header["groups"].items()
    }


def _listed(names):
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _named(callbacks):
    """`(name, callback)`: the class, and a number if there are several."""
    seen = collections.Counter()
    for callback in callbacks:
        name = type(callback).__name__
        yield f"{name}_{seen[name]}" if seen[name] else name, callback
        seen[name] += 1


def _history(history):
    if history is None:
        return None
    logs = {
        name: [float(value) for value in values]
        for name, values in history.history.items()
    }
    return {"epoch": list(history.epoch), "logs": logs}
