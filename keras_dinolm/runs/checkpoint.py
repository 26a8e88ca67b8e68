"""Saves a training run so that nothing of it is lost."""

import collections
import dataclasses
import pathlib
import sys

import keras

from keras_dinolm.runs import model_state
from keras_dinolm.runs import random_state
from keras_dinolm.runs.checkpoint_folder import CheckpointFolder
from keras_dinolm.runs.state_file import CheckpointError
from keras_dinolm.typing import Path
from keras_dinolm.version import __version__


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
        if save_every is not None and (
            not isinstance(save_every, int) or save_every < 1
        ):
            raise ValueError(
                "Argument `save_every` must be a number of batches, at least "
                "1, or None to save at the end of each epoch. "
                f"Received: save_every={save_every}"
            )
        self.folder = CheckpointFolder(directory, keep=keep, mode=mode)
        self.save_every = save_every
        self.monitor = monitor
        self.position = Position()
        # What a resumed run must have in common with this one, and what it
        # needs to go on; `keras_dinolm.runs.fit` fills them.
        self.settings = {}
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
                model, or comes from another backend.
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
        step = steps[-1] if step is None else step
        header, stored = self.folder.read(step)
        backend = keras.backend.backend()
        if header["backend"] != backend:
            raise CheckpointError(
                f"{self.folder.path(step)} was written with the "
                f"{header['backend']} backend; a run resumes only with its "
                f"own. Set KERAS_BACKEND={header['backend']}, or use another "
                f"folder. Received: KERAS_BACKEND={backend}"
            )
        groups = model_state.groups(model)
        if len(groups["metrics"]) < len(stored["metrics"]):
            # Those of `compile` are made by the first `fit`.
            groups.pop("metrics")
        try:
            pairs = [
                pair
                for group, variables in groups.items()
                for pair in model_state.pair(variables, stored[group], group)
            ]
        except CheckpointError as error:
            raise CheckpointError(
                f"{self.folder.path(step)}: {error}"
            ) from None
        model_state.assign(pairs)
        random_state.write(stored["random"])
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
            if name in stored:
                callback.set_run_state(stored[name])

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
            return
        groups = {
            group: model_state.arrays(variables)
            for group, variables in model_state.groups(self.model).items()
        }
        if self._metrics is not None:
            groups["metrics"] = self._metrics
        groups["random"] = random_state.read()
        header = {
            "library": __version__,
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
            "model": type(self.model).__name__,
            "dtype_policy": self.model.dtype_policy.name,
            "position": dataclasses.asdict(self.position),
            "settings": self.settings,
            "history": _history(self.history),
            "callbacks": {
                name: callback.get_run_state()
                for name, callback in _named(self.stateful)
            },
        }
        self.folder.save(self.position.step, groups, header, value)
        self._saved_step = self.position.step

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
