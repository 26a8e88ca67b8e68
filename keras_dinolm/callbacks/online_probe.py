"""Measures the encoder while it learns, and keeps the best one."""

import math
import pathlib
import time
from collections.abc import Callable
from typing import Any

import keras

from keras_dinolm import arguments
from keras_dinolm.callbacks.collapse_monitor import check_checkpoint
from keras_dinolm.files.folders import check_replaceable
from keras_dinolm.models import DinoLMBackbone
from keras_dinolm.models import DinoLMTextEmbedder
from keras_dinolm.models import DinoLMTextPreprocessor
from keras_dinolm.models import Distillation
from keras_dinolm.models.presets.write_preset import refuse
from keras_dinolm.typing import Path


class OnlineProbe(keras.callbacks.Callback):
    """Runs probes on what is learned during `fit`.

    The loss of self-distillation does not say how good the features are.
    Probes do: with labels of a dev set (`keras_dinolm.evaluation.evaluate`),
    or without (`rankme`, `uniformity`, a search for the rest of a text by its
    first sentence). A probe measures what `export_preset` would write: the
    teacher, or the student of a fixed teacher.

    Probing changes nothing in the run. `history` lists what was measured, one
    dict for each probe: `step`, the number of batches, and the values. `best`
    is the one with the best value of `monitor`.

    The logs of each epoch hold the latest values as `probe/<name>` (with a
    `student`, as `probe/<student>/<name>`), for loggers that come after this
    callback, and for the `monitor` of `Checkpoint`. That one wants the name
    in every epoch, so the first probe has to be within the first epoch.

    Under `keras_dinolm.runs.fit`, a resumed run knows what was measured
    before it was stopped.

    Args:
        probe: callable. Takes a `DinoLMTextEmbedder` and returns a dict of
            name to float.
        tokenizer: the tokenizer that the model is trained with.
        every: int or `None`. Batches between two probes; `None` probes at the
            end of each epoch.
        time_share: float in (0, 1]. At most this share of the time goes to
            probes. A probe that would take more waits; the first one does
            not, because nobody knows yet how long it takes.
        monitor: string or `None`. A name among those that `probe` returns,
            which decides what `best` is.
        mode: `"max"` or `"min"`, which `monitor` is best.
        directory: string or path, with `monitor`. The preset of the best
            encoder is written to this folder.
        sequence_length: int or `None`. Where the embedder and the preset cut
            texts; `None` takes the default of `DinoLMTextPreprocessor`.
        checkpoint: `Checkpoint` of this run, whose count of batches is used.
            `keras_dinolm.runs.fit` gives its own.
        student: string or `None`. Which student to measure, where a
            `Distillation` has several. Give each its own `OnlineProbe`.

    Raises:
        ValueError: for arguments out of range, a `mode` or `directory`
            without `monitor`, a model that is no `Distillation` of a
            `DinoLMBackbone`, an unknown `student`, or a `monitor` that
            `probe` does not return.

    Example:

    ```python
    import keras_dinolm as kd

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = kd.models.DinoLMTokenizer([*special, "good", "bad", "fox"])
    texts = ["good fox", "bad fox", "bad", "good"]

    def probe(embedder):
        return {"rankme": kd.evaluation.rankme(embedder.encode(texts))}

    callback = kd.callbacks.OnlineProbe(
        probe, tokenizer, every=500, monitor="rankme", directory="best"
    )
    ```
    """

    # The weights must be those of the batch that is counted.
    async_safe = False

    def __init__(
        self,
        probe: Callable[[DinoLMTextEmbedder], dict[str, float]],
        tokenizer: Any,
        every: int | None = None,
        time_share: float = 0.1,
        monitor: str | None = None,
        mode: str = "max",
        directory: Path | None = None,
        sequence_length: int | None = None,
        checkpoint: Any = None,
        student: str | None = None,
    ) -> None:
        super().__init__()
        if not callable(probe):
            arguments.refuse("probe", probe, "a callable")
        if every is not None:
            every = arguments.integer(
                "every",
                every,
                1,
                meaning="batches, or `None` for the end of each epoch",
            )
        time_share = arguments.number(
            "time_share", time_share, high=1, above=0, meaning="1 is no limit"
        )
        if monitor is not None:
            monitor = arguments.string("monitor", monitor)
        mode = arguments.choice("mode", mode, ("min", "max"))
        if directory is not None:
            directory = arguments.path("directory", directory)
        if sequence_length is not None:
            sequence_length = arguments.count(
                "sequence_length", sequence_length, 2
            )
        if mode == "min" and monitor is None:
            raise ValueError(
                "Argument `mode` says which `monitor` is best: pass the name "
                "of one of the probe's values as `monitor`. Received: "
                "mode='min', monitor=None"
            )
        if directory is not None and monitor is None:
            raise ValueError(
                "The best encoder is kept in `directory`: say by `monitor` "
                "which of the probe's values decides. Received: "
                f"directory={directory!r}, monitor=None"
            )
        if not hasattr(tokenizer, "tokenize") or isinstance(tokenizer, type):
            arguments.refuse(
                "tokenizer", tokenizer, "the tokenizer of the model's texts"
            )
        check_checkpoint(checkpoint)
        if student is not None:
            arguments.string("student", student)
        self.probe = probe
        self.tokenizer = tokenizer
        self.every = every
        self.time_share = time_share
        self.monitor = monitor
        self.mode = mode
        self.directory = directory
        self.sequence_length = sequence_length
        self.checkpoint = checkpoint
        self.student = student
        self.history: list[dict] = []
        self.best: dict | None = None
        self._embedder = None
        self._first = self._step = 0
        self._batches = 0
        self._due = False
        self._start = self._spent = 0.0
        self._cost: float | None = None

    def set_model(self, model: keras.Model) -> None:
        """Finds the student to measure.

        Args:
            model: a `keras_dinolm.models.Distillation`, such as `DinoLM`.

        Raises:
            ValueError: for another model, a student without a
                `DinoLMBackbone`, or an unknown `student`.
            FileExistsError: if something else than a preset is in
                `directory`.
        """
        if not isinstance(model, Distillation):
            raise ValueError(
                "`OnlineProbe` measures a `DinoLM` or another `Distillation`. "
                f"Received a model of class {type(model).__name__}"
            )
        backbone = model.learned(self.student).encoder.backbone
        if not isinstance(backbone, DinoLMBackbone):
            raise ValueError(
                "`OnlineProbe` measures students with a `DinoLMBackbone`, "
                "which `DinoLMTextEmbedder` takes. Received a backbone of "
                f"class {type(backbone).__name__}"
            )
        if self.directory is not None:
            # Now, and not after the first probe.
            check_replaceable(pathlib.Path(self.directory).resolve(), refuse)
        if self._model is not model:
            self._embedder = None
        super().set_model(model)

    # === What a resumed run must know ===

    def get_run_state(self) -> dict:
        """Lists what was measured so far, for a checkpoint.

        Returns:
            A dict that JSON can hold.
        """
        return {
            "history": list(self.history),
            "best": self.best,
            "due": self._due,
        }

    def set_run_state(self, state: dict) -> None:
        """Restores what was measured.

        Args:
            state: dict, as `get_run_state` returned it.
        """
        self.history = list(state["history"])
        self.best = state["best"]
        self._due = state["due"]

    # === What fit calls ===

    def on_train_begin(self, logs=None):
        self._start = time.perf_counter()
        self._spent = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        if self.checkpoint is not None:
            self._step = self.checkpoint.position.step
        self._first = self._step
        self._batches = 0

    def on_train_batch_begin(self, batch, logs=None):
        # On each backend, the step before is complete now, and so is the
        # state.
        if batch:
            self._arrive(self._first + batch)

    def on_train_batch_end(self, batch, logs=None):
        self._batches = batch + 1

    def on_epoch_end(self, epoch, logs=None):
        self._arrive(self._first + self._batches, epoch_ended=True)
        if logs is not None and self.history:
            latest = dict(self.history[-1])
            del latest["step"]
            front = f"probe/{self.student}/" if self.student else "probe/"
            logs.update({f"{front}{k}": value for k, value in latest.items()})

    # === Probing ===

    def _arrive(self, step, epoch_ended=False):
        if self.every is None:
            self._due |= epoch_ended
        else:
            self._due |= step // self.every > self._step // self.every
        self._step = step
        if self._due and self._is_affordable():
            self._due = False
            self._measure()

    def _is_affordable(self):
        if self._cost is None or self.time_share == 1:
            return True
        total = time.perf_counter() - self._start + self._cost
        return self._spent + self._cost <= self.time_share * total

    def _measure(self):
        start = time.perf_counter()
        model = self.model  # on jax, this also updates the weights
        if self._embedder is None:
            self._embedder = self._make_embedder(model)
        values = {
            name: float(value)
            for name, value in self.probe(self._embedder).items()
        }
        record = {"step": self._step, **values}
        self.history.append(record)
        if self.monitor is not None and self._is_best(values):
            self.best = record
            if self.directory is not None:
                model.export_preset(
                    self.directory,
                    self.tokenizer,
                    self.sequence_length,
                    student=self.student,
                )
        self._cost = time.perf_counter() - start
        self._spent += self._cost

    def _make_embedder(self, model):
        """An embedder that shares the weights of what is learned."""
        length = self.sequence_length
        options = {} if length is None else {"sequence_length": length}
        return DinoLMTextEmbedder(
            model.learned(self.student).encoder.backbone,
            DinoLMTextPreprocessor(self.tokenizer, **options),
        )

    def _is_best(self, values):
        if self.monitor not in values:
            raise ValueError(
                "Argument `monitor` names nothing that the probe returns. "
                f"Received: monitor={self.monitor!r}, and values of "
                f"{sorted(values)}"
            )
        value = values[self.monitor]
        if math.isnan(value):
            return False
        if self.best is None:
            return True
        before = self.best[self.monitor]
        return value > before if self.mode == "max" else value < before
