"""One progress bar over all phases of a run."""

import math
import shutil
import sys
import time
import warnings
from typing import Any

import keras

# What the bar shows after the loss, where the logs have it.
MONITORS = ("feature_std", "rankme", "skipped_steps")
# Of the bar, in characters: on a terminal narrower than 100 columns the
# second one, which leaves room for the numbers.
WIDTH, NARROW_WIDTH = 16, 8
SECONDS_BETWEEN_DRAWINGS = 0.2
EPOCHS_A_LINE = 2
# The time of a step is an average over the last ones, since machines change.
SMOOTHING = 0.05


class LiveBar:
    """Shows steps, time left, loss and monitors of a whole run, live.

    On a terminal, a bar that is redrawn in place; elsewhere, such as in a log
    file, a line every second epoch.

    Args:
        names: list of strings, the phases.
        steps: list of ints, their steps.
        seconds: list of floats or `None`, the seconds of a step of each phase
            where they were measured.
        verbose: `"auto"`, 0 for silence, 1 for a bar, 2 for lines.
    """

    def __init__(
        self,
        names: list[str],
        steps: list[int],
        seconds: list[float] | None = None,
        verbose: str | int = "auto",
    ):
        if verbose == "auto":
            verbose = 1 if sys.stdout.isatty() else 2
        self.names = names
        self.steps = steps
        self.seconds: list[float | None] = [None] * len(steps)
        if seconds is not None:
            self.seconds = list(seconds)
        self.verbose = verbose
        self._drawn_at = 0.0
        self._width = 0

    def phase(self, index: int) -> "PhaseProgress":
        """The callback that reports one phase to the bar.

        Args:
            index: int. The number of the phase.

        Returns:
            A Keras callback for `kd.runs.fit`.
        """
        return PhaseProgress(self, index)

    def say(self, text: str) -> None:
        """Prints a line above the bar.

        Args:
            text: string.
        """
        if self.verbose:
            self.clear()
            print(text, flush=True)

    def explain(self) -> None:
        """Says how to read the numbers, before the first of them."""
        self.say(
            "Training. Lower is better for the loss; feature_std is 1 if the "
            "features of texts are spread evenly, 0 if they collapsed; rankme "
            "is how many of their dimensions are in use. Ctrl-C saves and "
            "stops. The first step compiles."
        )

    def clear(self) -> None:
        """Takes the bar off the screen."""
        if self._width:
            print("\r" + " " * self._width + "\r", end="", flush=True)
            self._width = 0

    def finish(self) -> None:
        """Leaves the bar on the screen and goes to the next line."""
        if self._width:
            print(flush=True)
            self._width = 0

    def draw(
        self, index: int, done: int, values: dict[str, float], force: bool
    ) -> None:
        """Redraws the bar, or does nothing if it was drawn just now.

        Args:
            index: int. The phase.
            done: int. Steps of it that are done.
            values: dict of what to show after the time.
            force: boolean. Whether to draw in any case.
        """
        if self.verbose != 1:
            return
        now = time.monotonic()
        if not force and now - self._drawn_at < SECONDS_BETWEEN_DRAWINGS:
            return
        self._drawn_at = now
        all_done, total = sum(self.steps[:index]) + done, sum(self.steps)
        columns = shutil.get_terminal_size((100, 24)).columns
        width = WIDTH if columns >= 100 else NARROW_WIDTH
        # In the last column, some terminals begin another line.
        room = columns - 1
        full = width * all_done // total
        text = f"[{'=' * full}{'.' * (width - full)}] "
        text += self.describe(index, done, values, room - len(text))
        text = text[:room]
        print("\r" + text.ljust(self._width), end="", flush=True)
        self._width = len(text)

    def line(self, index: int, done: int, values: dict[str, float]) -> None:
        """Prints a line of a log.

        Args:
            index: int. The phase.
            done: int. Steps of it that are done.
            values: dict of what to show after the time.
        """
        if self.verbose == 2:
            print(self.describe(index, done, values), flush=True)

    def describe(
        self,
        index: int,
        done: int,
        values: dict[str, float],
        room: int | None = None,
    ) -> str:
        """The text of the bar.

        Args:
            index: int. The phase.
            done: int. Steps of it that are done.
            values: dict of what to show after the time.
            room: int. How many characters there are; the last values are
                left out if there are fewer than all need.

        Returns:
            A string.
        """
        all_done, total = sum(self.steps[:index]) + done, sum(self.steps)
        parts = [f"{all_done:,}/{total:,} steps", self._time_left(index, done)]
        if len(self.steps) > 1:
            name = self.names[index]
            parts.insert(1, f"{name} ({index + 1} of {len(self.steps)})")
        text = "  ".join(filter(None, parts))
        for name, value in values.items():
            longer = f"{text}  {name} {value:.3g}"
            if room is not None and len(longer) > room:
                break  # half a number would be read as another one
            text = longer
        return text

    def learn_seconds(self, index: int, seconds: float) -> None:
        """Takes a measured step into account.

        Args:
            index: int. The phase.
            seconds: float. Of the step that is just done.
        """
        known = self.seconds[index]
        if known is None:
            self.seconds[index] = seconds
        else:
            self.seconds[index] = known + SMOOTHING * (seconds - known)

    def _time_left(self, index: int, done: int) -> str:
        seconds = self.seconds[index]
        if seconds is None:
            return ""
        left = (self.steps[index] - done) * seconds
        for later in range(index + 1, len(self.steps)):
            seconds = self.seconds[later]
            if seconds is None:
                # A step of a later phase may cost much more.
                return f"{clock(left)} left in this phase"
            left += self.steps[later] * seconds
        return f"{clock(left)} left"


class PhaseProgress(keras.callbacks.Callback):
    """Reports a phase to a `LiveBar`, and counts its seconds.

    `kd.runs.fit` keeps the seconds and the warnings with the run.

    Args:
        bar: `LiveBar`.
        index: int. The number of the phase.
    """

    # Reads the logs of a step only when it draws.
    async_safe = True

    def __init__(self, bar: LiveBar, index: int):
        super().__init__()
        self.bar = bar
        self.index = index
        self.seconds = 0.0
        self.warnings: list[str] = []
        # `fit` gives its own.
        self.checkpoint = None
        self._latest: dict[str, float] = {}
        self._began = False
        self._compiled = False

    # === What a resumed run must know ===

    def get_run_state(self) -> dict:
        """The seconds and warnings so far, for a checkpoint."""
        return {"seconds": self.seconds, "warnings": list(self.warnings)}

    def set_run_state(self, state: dict) -> None:
        """Puts back what `get_run_state` returned."""
        self.seconds = state["seconds"]
        self.warnings = list(state["warnings"])

    # === What fit calls ===

    def on_train_begin(self, logs=None):
        done = self.checkpoint.position.step
        name = self.bar.names[self.index]
        if done and not self._began:
            self.bar.say(f"Resuming phase {name} after step {done:,}.")
        elif self.index and not self._began:
            self.bar.say(
                f"Phase {name} begins. It learns from other tasks on other "
                "pieces of the texts, so its numbers begin again: do not "
                "compare them with those above."
            )
        self._began = True

    def on_epoch_begin(self, epoch, logs=None):
        self._first = self.checkpoint.position.step
        self._batches = 0
        self._begin = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        # The first step of a process compiles: no measure of the others.
        if self._compiled:
            self.bar.learn_seconds(self.index, now - self._begin)
        self._compiled = True
        self.seconds += now - self._begin
        self._begin = now
        self._batches = batch + 1
        if self.bar.verbose == 1:
            self._draw(logs)

    def on_epoch_end(self, epoch, logs=None):
        self._keep(logs)
        done = self._first + self._batches
        self.bar.draw(self.index, done, self._latest, force=True)
        if epoch % EPOCHS_A_LINE or done == self.bar.steps[self.index]:
            self.bar.line(self.index, done, self._latest)

    def _draw(self, logs):
        due = time.monotonic() - self.bar._drawn_at > SECONDS_BETWEEN_DRAWINGS
        if due:
            self._keep(logs)
            done = self._first + self._batches
            self.bar.draw(self.index, done, self._latest, force=False)

    def _keep(self, logs):
        logs = logs or {}
        for name in ("loss", *MONITORS):
            value = float(logs.get(name, math.nan))
            if name == "skipped_steps" and not value:
                continue  # as it should be
            if not math.isnan(value):
                self._latest[name] = value

    # === Warnings of monitors ===

    def __enter__(self) -> "PhaseProgress":
        """Keeps what is warned of, and shows it above the bar."""
        self._catch = warnings.catch_warnings()
        self._catch.__enter__()
        show = warnings.showwarning

        def showwarning(message, category, *args, **kwargs):
            if category.__name__ == "CollapseWarning":
                self.warnings.append(str(message))
                self.bar.say(f"Warning: {message}")
                return
            self.bar.clear()
            show(message, category, *args, **kwargs)

        warnings.showwarning = showwarning
        return self

    def __exit__(self, *exception: Any) -> None:
        self._catch.__exit__(*exception)


def clock(seconds: float) -> str:
    """Seconds as `m:ss`, or `h:mm:ss` from an hour on.

    Args:
        seconds: float.

    Returns:
        A string.
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{seconds:02}"
    return f"{minutes}:{seconds:02}"
