"""One run of an ablation: built, trained and measured."""

import math
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import keras

from keras_dinolm.runs.checkpoint import Checkpoint
from keras_dinolm.runs.resume import fit
from keras_dinolm.typing import Path

NOT_FINITE = "gradients not finite"


def build(recipe: Callable, config: Mapping, seed: int, change: str) -> tuple:
    """Calls a recipe with its seed.

    Args:
        recipe: callable `(config, seed) -> (model, make_dataset)`.
        config: dict.
        seed: int.
        change: str. The name of the change, for the error.

    Returns:
        `(model, make_dataset)`.

    Raises:
        ValueError: if the recipe returns something else.
    """
    keras.utils.set_random_seed(seed)
    made = recipe(dict(config), seed)
    if not isinstance(made, tuple) or len(made) != 2:
        raise ValueError(
            "`recipe` must return `(model, make_dataset)`. Received: "
            f"{made!r} for the change {change!r}"
        )
    return made


def train_once(
    make: Callable[[], tuple],
    measure: Callable,
    directory: Path,
    callbacks: Sequence[keras.callbacks.Callback],
    say: Callable[[str], Any],
    steps: int,
    steps_per_epoch: int,
    save_every: int | None,
) -> dict:
    """Trains, or continues to train, and measures what came of it.

    Args:
        make: callable that returns `(model, make_dataset)`.
        measure: callable `(model, history) -> dict` of heading to number.
        directory: string or path. Of the checkpoints.
        callbacks: list of callbacks. Failures are read from their `found`.
        say: callable that shows a line.
        steps: int. Batches of the run.
        steps_per_epoch: int.
        save_every: int or `None`. As for `fit`.

    Returns:
        Dict of `steps` (batches done), `failures`, `measured`, `history`.

    Raises:
        ValueError: if `measure` does not return a dict of numbers.
    """
    model, make_dataset = make()
    progress = _Progress(steps, say)
    failures = []
    try:
        history = fit(
            model,
            make_dataset,
            directory,
            steps,
            steps_per_epoch,
            save_every=save_every,
            keep=1,
            callbacks=[*callbacks, progress],
            verbose=0,
        ).history
        done = progress.checkpoint.position.step
    except FloatingPointError as error:
        say(f"  {error}")
        failures.append(NOT_FINITE)
        model, history, done = _last_checkpoint(make, directory)
    for callback in callbacks:
        failures += getattr(callback, "found", [])
    return {
        "steps": done,
        "failures": failures,
        "measured": _numbers(measure(model, history)),
        "history": {
            name: [_finite(value) for value in values]
            for name, values in history.items()
        },
    }


def _last_checkpoint(make, directory):
    """The model before it broke; a fresh one if nothing was saved."""
    model, _ = make()
    restored = Checkpoint(directory).load(model)
    if restored is None:
        return model, {}, 0
    history = restored.header["history"]["logs"]
    return model, history, restored.position.step


class _Progress(keras.callbacks.Callback):
    """Says after each epoch how far a run is."""

    async_safe = True

    def __init__(self, steps, say):
        super().__init__()
        self.steps = steps
        self.say = say
        # `fit` sets its own.
        self.checkpoint = None

    def on_epoch_begin(self, epoch, logs=None):
        self.begin = self.checkpoint.position.step
        self.batches = 0

    def on_train_batch_end(self, batch, logs=None):
        self.batches = batch + 1

    def on_epoch_end(self, epoch, logs=None):
        loss = (logs or {}).get("loss", math.nan)
        self.say(
            f"  step {self.begin + self.batches} of {self.steps}, "
            f"loss {float(loss):.4g}"
        )


def _numbers(measured):
    try:
        return {str(name): _finite(value) for name, value in measured.items()}
    except (AttributeError, TypeError, ValueError):
        raise ValueError(
            "`measure` must return a dict of heading to number. Received: "
            f"{measured!r}"
        ) from None


def _finite(value):
    """A float that JSON has, or `None`."""
    value = float(value)
    return value if math.isfinite(value) else None
