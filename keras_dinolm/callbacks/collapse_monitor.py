"""Sees a run collapse, says how, and can stop it or roll it back."""

import dataclasses
import warnings
from typing import Any

import keras

from keras_dinolm import arguments
from keras_dinolm.callbacks import failures
from keras_dinolm.callbacks.failures import Failure
from keras_dinolm.callbacks.failures import Reading
from keras_dinolm.callbacks.places import Place
from keras_dinolm.callbacks.places import find_places
from keras_dinolm.callbacks.suspicion import Suspicion


class CollapseWarning(UserWarning):
    """Training has collapsed; the message names how."""


def check_checkpoint(checkpoint: Any) -> None:
    """Raises unless this is a `Checkpoint`, or has what one has, or `None`."""
    if checkpoint is not None and not hasattr(checkpoint, "position"):
        arguments.refuse(
            "checkpoint", checkpoint, "a `keras_dinolm.runs.Checkpoint`"
        )


class CollapseMonitor(keras.callbacks.Callback):
    """Names the way in which a run collapses, and what to try.

    A self-distillation loss cannot be read by itself: it is low when the
    model learns, and low when it has collapsed. The monitor reads what
    `DinoLM` or another `Distillation` logs, and judges each student and each
    distillation objective by itself. At the end of each epoch it adds to the
    logs

    - `rankme`, the effective rank of the epoch's features, 1 to their width
      (lower in an epoch of few texts, so compare epochs of one length);
    - `<objective>_minus_ln_k` for each distillation objective that acts: 0
      is what a constant feature gets.

    Of several students, these names begin with the student's, as in the logs
    of `Distillation`. Put the monitor before TensorBoard or CSV loggers, so
    that they see these values, too. It warns once for each failure of a
    student or an objective:

    - *constant features*: `feature_std` is below its limit;
    - *one prototype*: all texts share one prototype or a few, for teacher and
      student;
    - *uniform assignment*: the teacher's entropy is ln K, while the features
      are not constant;
    - *constant assignment*: all texts get the same assignment, neither one
      prototype nor uniform;
    - *dimensional collapse*: `rankme` is a tiny share of the width, while the
      features are not constant.

    An untrained encoder shows some of these signs; a failure is a sign that
    lasts for `patience` batches without getting better.

    Under `keras_dinolm.runs.fit`, a resumed run knows what was found and
    suspected before it was stopped.

    Args:
        patience: int. Batches for which a sign must last.
        check_every: int. Batches between two looks at the logs within an
            epoch. They are running means over the epoch and cost nothing.
            The monitor also looks at the end of each epoch.
        on_failure: `"warn"`; `"stop"` to end training as well; `"roll_back"`
            to also restore the newest checkpoint from before the first sign.
        checkpoint: `Checkpoint` of this run, for `"roll_back"`.
            `keras_dinolm.runs.fit` gives its own.
        min_feature_std: float. Limit for constant features, where 1 is
            isotropic. This and the next four lie in [0, 1); 0 switches the
            failure off.
        min_prototype_use: float. Limit for one prototype: the entropies of
            teacher and prototype usage as a share of ln K (0.35 is 7
            prototypes of 256, 48 of 65,536).
        min_sharpness: float. Limit for uniform assignment: one minus the
            teacher's entropy as a share of ln K.
        min_rank: float. Limit for dimensional collapse: the logarithm of
            `rankme` as a share of the logarithm of the features' width (0.4
            is a rank of 7 of 128, of 14 of 768).
        min_information: float. Limit for constant assignment: the mutual
            information between texts and prototypes as a share of ln K,
            which is the logarithm of `prototype_perplexity` minus
            `student_entropy`.

    Raises:
        ValueError: for arguments out of range, or a model that is no
            `Distillation`.

    Example:

    ```python
    import keras_dinolm as kd

    monitor = kd.callbacks.CollapseMonitor(patience=500, on_failure="stop")
    ```

    References:
        - [DINO, on collapse](https://arxiv.org/abs/2104.14294)
        - [RankMe](https://arxiv.org/abs/2210.02885)
    """

    # What Keras may call during a training step only takes a note.
    async_safe = True

    def __init__(
        self,
        patience: int = 300,
        check_every: int = 50,
        on_failure: str = "warn",
        checkpoint: Any = None,
        min_feature_std: float = 0.1,
        min_prototype_use: float = 0.35,
        min_sharpness: float = 0.02,
        min_rank: float = 0.4,
        min_information: float = 0.01,
    ) -> None:
        super().__init__()
        self.patience = arguments.integer(
            "patience", patience, 1, meaning="batches"
        )
        self.check_every = arguments.integer(
            "check_every", check_every, 1, meaning="batches"
        )
        self.on_failure = arguments.choice(
            "on_failure", on_failure, ("warn", "stop", "roll_back")
        )
        for name, limit in (
            ("min_feature_std", min_feature_std),
            ("min_prototype_use", min_prototype_use),
            ("min_sharpness", min_sharpness),
            ("min_rank", min_rank),
            ("min_information", min_information),
        ):
            arguments.number(name, limit, 0, below=1)
        check_checkpoint(checkpoint)
        self.checkpoint = checkpoint
        self.failures = [
            failures.ConstantFeatures(min_feature_std),
            failures.OnePrototype(min_prototype_use),
            failures.UniformAssignment(min_sharpness),
            failures.ConstantAssignment(min_information),
            failures.DimensionalCollapse(min_rank),
        ]
        # `(place, failure)` of what was seen so far, in order.
        self._found: list[tuple[str, str]] = []
        self._suspicions: dict[tuple[str, str], Suspicion] = {}
        self._step = 0
        self._epoch_start = 0
        self._in_epoch = False
        self._roll_back_to: int | None = None

    @property
    def found(self) -> list[str]:
        """Names of the failures seen so far, in order."""
        return [failure for _, failure in self._found]

    def set_model(self, model: keras.Model) -> None:
        """Finds the students and objectives to judge.

        Args:
            model: a `keras_dinolm.models.Distillation`, such as `DinoLM`.

        Raises:
            ValueError: for another model.
        """
        self._places = find_places(model)
        super().set_model(model)

    # === What fit calls ===

    def on_train_begin(self, logs=None):
        if self.on_failure == "roll_back" and self.checkpoint is None:
            raise ValueError(
                "on_failure='roll_back' needs checkpoints to return to: train "
                "by `keras_dinolm.runs.fit`, or pass `checkpoint=` the "
                "`Checkpoint` callback of this run."
            )

    def on_epoch_begin(self, epoch, logs=None):
        self._latest = None
        # The logs are means over the epoch, so a failure may have begun at
        # its start.
        if self.checkpoint is not None:
            self._step = self._epoch_start = self.checkpoint.position.step
            self._spare()
        self._first = self._step
        self._looked_at = 0
        self._rankme = {}
        self._in_epoch = True

    def on_train_batch_end(self, batch, logs=None):
        self._latest = (batch + 1, logs)

    def on_train_batch_begin(self, batch, logs=None):
        # Reads what has arrived by now, and waits for nothing.
        if self._latest is None:
            return
        done, logs = self._latest
        if done - self._looked_at >= self.check_every:
            self._looked_at = done
            self._step = self._first + done
            self._judge(logs)

    def on_test_begin(self, logs=None):
        # Validation overwrites the statistics of the epoch.
        if self._in_epoch:
            self._rankme = self._rank()

    def on_epoch_end(self, epoch, logs=None):
        self._in_epoch = False
        logs = {} if logs is None else logs
        logs.update(self._rankme or self._rank())
        for place in self._places:
            for name, (excess, _) in place.excess(logs).items():
                logs[f"{name}_minus_ln_k"] = excess
        if self._latest is not None:
            self._step = self._first + self._latest[0]
            self._judge(logs)
        if self._roll_back_to is not None:
            self._roll_back()

    # === What a resumed run must know ===

    def get_run_state(self) -> dict:
        """Lists what was found and suspected so far, for a checkpoint.

        Returns:
            A dict that JSON can hold.
        """
        return {
            "found": [list(pair) for pair in self._found],
            "suspicions": [
                [*pair, dataclasses.asdict(suspicion)]
                for pair, suspicion in self._suspicions.items()
            ],
        }

    def set_run_state(self, state: dict) -> None:
        """Restores what was found and suspected.

        Args:
            state: dict, as `get_run_state` returned it.
        """
        self._found = [tuple(pair) for pair in state["found"]]
        self._suspicions = {
            (place, failure): Suspicion(**suspicion)
            for place, failure, suspicion in state["suspicions"]
        }
        if self.checkpoint is not None:
            self._spare()

    # === Judging ===

    def _rank(self):
        """RankMe of each student, under its name in the logs."""
        return {
            f"{self.model.prefix(learner)}rankme": (
                learner.feature_statistics.rankme()
            )
            for learner in self.model.learners()
        }

    def _judge(self, logs):
        # The failures of a student explain those of its objectives.
        causes = {}
        for place in self._places:
            reading = place.read(logs or {})
            known = causes.setdefault(place.student, set())
            possible = [f for f in self.failures if f.place == place.kind]
            suspected = known | {
                type(failure)
                for failure in possible
                if self._suspected(failure, reading)
            }
            if place.kind == "features":
                causes[place.student] = suspected
            for failure in possible:
                if suspected & set(failure.follows_from):
                    continue  # the cause is named, not its consequences
                if type(failure) in suspected:
                    if self._lasts(place, failure, failure.health(reading)):
                        self._report(place, failure, reading)
                elif failure.health(reading) is not None:
                    self._suspicions.pop((place.name, failure.name), None)
        self._spare()

    def _suspected(self, failure: Failure, reading: Reading) -> bool:
        health = failure.health(reading)
        return health is not None and not health >= failure.limit

    def _lasts(self, place: Place, failure: Failure, health: float) -> bool:
        """Whether a sign has lasted, without getting better."""
        pair = place.name, failure.name
        if pair not in self._suspicions:
            self._suspicions[pair] = Suspicion.begin(
                self._step, health, self._epoch_start
            )
            return False
        suspicion = self._suspicions[pair]
        suspicion.look_again(self._step, health, failure.limit)
        return self._step - suspicion.step >= self.patience

    def _spare(self):
        """Keeps the checkpoints that a failure may roll back to."""
        if self.on_failure == "roll_back":
            folder = self.checkpoint.folder
            steps = [s.saved_step for s in self._suspicions.values()]
            folder.spared = {
                folder.newest(until=step)
                for step in (self._epoch_start, *steps)
            }

    def _report(self, place: Place, failure: Failure, reading: Reading) -> None:
        pair = place.name, failure.name
        if pair in self._found:
            return
        self._found.append(pair)
        since = self._suspicions[pair]
        where = f" of {place.name}" if place.name else ""
        shown = ", ".join(
            f"{name} = {reading.values[name]:.4g}"
            for name in failure.shows
            if name in reading.values
        )
        warnings.warn(
            f"Collapse by {failure.name}{where} (step {self._step} of this "
            f"run, first seen at step {since.step}): "
            f"{failure.meaning(reading)}. "
            f"Measured: {shown}; health {failure.health(reading):.2g} is below "
            f"the limit of {failure.limit:g}. What to try: {failure.advice}.",
            CollapseWarning,
            stacklevel=2,
        )
        if self.on_failure != "warn":
            # `self.model` would fetch all state from the device.
            self._model.stop_training = True
        if self.on_failure == "roll_back":
            self._roll_back_to = since.saved_step

    def _roll_back(self):
        step, self._roll_back_to = self._roll_back_to, None
        path = self.checkpoint.roll_back(step)
        warnings.warn(
            f"Rolled back to {path}; later checkpoints of the run are renamed "
            "to `collapsed-...`. Change the settings before going on."
            if path is not None
            else "Nothing to roll back to: the first sign of the failure is "
            "older than every checkpoint. The weights are those of now.",
            CollapseWarning,
            stacklevel=2,
        )
