"""Runs of one recipe that differ in one thing each, side by side."""

import gc
import json
import math
import pathlib
import re
import shutil

import keras

from keras_dinolm.runs import ablation_recipe
from keras_dinolm.runs import ablation_report
from keras_dinolm.runs.resume import fit

NOT_FINITE = "gradients not finite"


class Ablation:
    """Finds out what the parts of a recipe do, by leaving them out.

    Trains a recipe and its changes with several seeds for the same number of
    steps, measures each run, and writes a table and a figure. The first
    change is the one that the others are compared with, seed by seed, since
    runs of one seed share their first weights and their batches.

    A run that collapses is a result: its row names the failure, as
    `CollapseMonitor` did. So is a run that `DinoLM` stops because its
    gradients are not finite; it is measured as its last checkpoint left it.

    Each run goes through `keras_dinolm.runs.fit`. Stopped or killed at any
    time, the same call goes on where it was, and finished runs are not
    repeated. Runs go seed by seed, so that an unfinished table compares like
    with like; changes and seeds may be added later. Before anything is
    trained, each change is built once: a mistake in the last one is found at
    once, and what no longer is what the folder was begun with (the
    configuration of model and optimizer, or the first batch) is an error that
    names the difference.

    `directory` receives

        results.jsonl   one line for each finished run
        table.md        mean and deviation, and the paired differences
        ablation.png    every run, and the curves
        recipe.json     what the runs were begun with
        runs/           checkpoints of unfinished runs

    Args:
        recipe: callable `(config, seed) -> (model, make_dataset)`: a built and
            compiled `DinoLM`, and a callable `(start_step) -> dataset` as for
            `fit`. It is called after `keras.utils.set_random_seed(seed)`.
        changes: dict of name to change: a dict of overrides of `config`, or a
            function that takes the recipe and returns another one. `{}` is
            the recipe as it is.
        measure: callable `(model, history) -> dict` of heading to number.
            `history` is a dict of name to list, one number an epoch. A
            changed `measure` needs another folder.
        directory: string or path. A folder for this table alone.
        steps: int. Batches of each run.
        steps_per_epoch: int. Batches of an epoch.
        config: dict. What `recipe` and overrides speak of.
        seeds: list of ints.
        make_callbacks: callable `() -> list` of callbacks for a run, called
            for each one anew. Failures are read from their `found`. Defaults
            to a `CollapseMonitor` whose patience is a quarter of the run, at
            most 300 batches.
        save_every: int or `None`. As for `fit`.
        curves: list of names in the history to draw in the figure.
        keep_checkpoints: boolean. Whether the last checkpoint of a finished
            run stays in `runs/`.
        verbose: 0 for silence, 1 for a line an epoch.

    Raises:
        ValueError: for changes that do not fit `config`, names that would
            share a folder, or a folder that was begun with something else.
        CheckpointError: from `run`, if another process uses the folder.

    Example:

    ```python
    import numpy as np
    import tempfile
    import keras_dinolm as kd

    special_tokens = kd.views.SpecialTokens(
        pad_token_id=0, cls_token_id=1, mask_token_id=2
    )
    views = kd.views.TextViews(special_tokens, sequence_length=8)

    def recipe(config, seed):
        def make_dataset(start_step):
            step = start_step
            while True:
                rng = np.random.default_rng((seed, step))
                ids = rng.integers(3, 50, (8, 7)).astype("int32")
                lengths = np.full(8, 7, "int32")
                windows = {"token_ids": ids, "lengths": lengths}
                yield (views(windows, seed=seed, step=step),)
                step += 1

        backbone = kd.models.DinoLMBackbone(
            50, num_layers=1, num_heads=2, hidden_dim=16, intermediate_dim=32
        )
        objectives = [kd.objectives.SequenceDistillation()]
        model = kd.models.DinoLM(
            backbone, objectives, num_prototypes=8, momentum=config["momentum"]
        )
        model.compile(kd.optimizers.adamw(1e-3, schedule="constant"))
        return model, make_dataset

    ablation = kd.runs.Ablation(
        recipe,
        {"with EMA": {}, "without EMA": {"momentum": 0.0}},
        measure=lambda model, history: {"RankMe": history["rankme"][-1]},
        directory=tempfile.mkdtemp(),
        steps=4,
        steps_per_epoch=2,
        config={"momentum": 0.9},
        seeds=[0],
        verbose=0,
    )
    ablation.run()
    print(ablation.table())
    ```
    """

    def __init__(
        self,
        recipe,
        changes,
        measure,
        directory,
        steps,
        steps_per_epoch,
        config=None,
        seeds=(0, 1, 2),
        make_callbacks=None,
        save_every=None,
        curves=(),
        keep_checkpoints=False,
        verbose=1,
    ):
        self.recipe = recipe
        self.changes = dict(changes)
        self.measure = measure
        self.directory = pathlib.Path(directory)
        self.steps = steps
        self.steps_per_epoch = steps_per_epoch
        self.config = dict(config or {})
        self.seeds = list(seeds)
        self.make_callbacks = make_callbacks or self._monitor
        self.save_every = save_every
        self.curves = list(curves)
        self.keep_checkpoints = keep_checkpoints
        self.verbose = verbose
        _check_seeds(self.seeds)
        _check_names(self.changes)
        self._recipes = {
            name: ablation_recipe.apply_change(
                recipe, self.config, name, change
            )
            for name, change in self.changes.items()
        }

    # === What users call ===

    def run(self):
        """Trains and measures what is not finished, and writes the table.

        Returns:
            The results, as `results`.
        """
        # Imported late: callbacks look at models and training from outside.
        from keras_dinolm.runs.checkpoint_folder import CheckpointFolder

        folder = CheckpointFolder(self.directory)
        folder.lock()
        try:
            self._check_recipe()
            runs = [(c, s) for s in self.seeds for c in self.changes]
            finished = {(r["change"], r["seed"]) for r in self._stored()}
            for number, (change, seed) in enumerate(runs, 1):
                if (change, seed) not in finished:
                    self._say(f"[{number}/{len(runs)}] {change}, seed {seed}")
                    self._finish(self._train(change, seed))
            plot = ablation_report.figure(
                self.results(),
                list(self.changes),
                self.curves,
                self.steps_per_epoch,
                self.steps,
            )
            self._write("ablation.png", lambda file: plot.savefig(file))
        finally:
            folder.unlock()
        return self.results()

    def results(self):
        """The finished runs of these changes and seeds.

        Returns:
            List of dicts with `change`, `seed`, `steps` (batches done),
            `failures` (names), `measured` and `history`. What is not finite
            is `None`.
        """
        stored = {(r["change"], r["seed"]): r for r in self._stored()}
        runs = [(c, s) for c in self.changes for s in self.seeds]
        return [stored[run] for run in runs if run in stored]

    def table(self):
        """The table of the finished runs, in Markdown.

        Mean and standard deviation over the seeds, the failures with the
        number of runs that had them, and the differences from the first
        change over the seeds that both have.

        Returns:
            A string.
        """
        return ablation_report.table(self.results(), list(self.changes))

    # === One run ===

    def _build(self, change, seed):
        recipe, config = self._recipes[change]
        keras.utils.set_random_seed(seed)
        made = recipe(dict(config), seed)
        if not isinstance(made, tuple) or len(made) != 2:
            raise ValueError(
                "`recipe` must return `(model, make_dataset)`. Received: "
                f"{made!r} for the change {change!r}"
            )
        return made

    def _train(self, change, seed):
        model, make_dataset = self._build(change, seed)
        callbacks = self.make_callbacks()
        follow = _Follow(self.steps, self._say)
        failures = []
        try:
            history = fit(
                model,
                make_dataset,
                self._folder(change, seed),
                self.steps,
                self.steps_per_epoch,
                save_every=self.save_every,
                keep=1,
                callbacks=[*callbacks, follow],
                verbose=0,
            ).history
            steps = follow.checkpoint.position.step
        except FloatingPointError as error:
            self._say(f"  {error}")
            failures.append(NOT_FINITE)
            model, history, steps = self._last_checkpoint(change, seed)
        for callback in callbacks:
            failures += getattr(callback, "found", [])
        return {
            "change": change,
            "seed": seed,
            "steps": steps,
            "failures": failures,
            "measured": _numbers(self.measure(model, history)),
            "history": {
                name: [_finite(value) for value in values]
                for name, values in history.items()
            },
        }

    def _last_checkpoint(self, change, seed):
        """The model before it broke; a fresh one if nothing was saved."""
        from keras_dinolm.runs.checkpoint import Checkpoint

        model, _ = self._build(change, seed)
        restored = Checkpoint(self._folder(change, seed)).load(model)
        if restored is None:
            return model, {}, 0
        history = restored.header["history"]["logs"]
        return model, history, restored.position.step

    def _finish(self, result):
        lines = [json.dumps(r) + "\n" for r in [*self._stored(), result]]
        self._write(
            "results.jsonl", lambda file: file.write("".join(lines).encode())
        )
        self._write("table.md", lambda file: file.write(self._page().encode()))
        if not self.keep_checkpoints:
            folder = self._folder(result["change"], result["seed"])
            shutil.rmtree(folder, ignore_errors=True)
        numbers = "".join(
            f"{name} {value:.4g}, "
            for name, value in result["measured"].items()
            if value is not None
        )
        failures = ", ".join(result["failures"]) or "none"
        self._say(f"  {numbers}failure: {failures}")
        gc.collect()  # the model of this run, with its compiled step

    def _monitor(self):
        from keras_dinolm.callbacks.collapse_monitor import CollapseMonitor

        patience = max(min(self.steps // 4, 300), 1)
        return [CollapseMonitor(patience, check_every=max(patience // 5, 1))]

    # === Files ===

    def _folder(self, change, seed):
        return self.directory / "runs" / _slug(change) / f"seed-{seed}"

    def _stored(self):
        path = self.directory / "results.jsonl"
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text().splitlines()]

    def _write(self, name, write):
        from keras_dinolm.data.paths import write_atomically

        with write_atomically(self.directory / name) as file:
            write(file)

    def _page(self):
        return (
            f"{self.table()}\n\n{self.steps:,} steps a run, "
            f"{keras.backend.backend()}.\n"
        )

    def _check_recipe(self):
        """Compares with what the folder was begun with; remembers what is new.

        Raises:
            ValueError: naming each difference.
        """
        now = {
            "settings": {
                "backend": keras.backend.backend(),
                "steps": self.steps,
                "steps_per_epoch": self.steps_per_epoch,
            },
            "changes": {},
        }
        for change in self.changes:
            _, config = self._recipes[change]
            model, make_dataset = self._build(change, self.seeds[0])
            now["changes"][change] = ablation_recipe.describe(
                model, make_dataset, config
            )
        gc.collect()  # all these models
        path = self.directory / "recipe.json"
        then = json.loads(path.read_text()) if path.exists() else now
        lines = ablation_recipe.differences(then["settings"], now["settings"])
        for change, description in now["changes"].items():
            before = then["changes"].setdefault(change, description)
            lines += [
                f"{change}: {line}"
                for line in ablation_recipe.differences(before, description)
            ]
        if lines:
            shown = "\n".join(f"  {line}" for line in lines[:20])
            raise ValueError(
                f"{self.directory} was begun with another recipe "
                f"({len(lines)} differences):\n{shown}\nGo back to it to go on "
                "here, or give another `directory`."
            )
        text = json.dumps(then, indent=1).encode()
        self._write("recipe.json", lambda file: file.write(text))

    def _say(self, text):
        if self.verbose:
            print(text, flush=True)


class _Follow(keras.callbacks.Callback):
    """Says how far a run is."""

    async_safe = True

    def __init__(self, steps, say):
        super().__init__()
        self.steps = steps
        self.say = say
        # `fit` gives its own.
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


def _slug(name):
    return re.sub(r"[^\w.-]+", "-", name.lower()).strip("-.")


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


def _check_seeds(seeds):
    whole = all(isinstance(seed, int) and seed >= 0 for seed in seeds)
    if not seeds or not whole or len(set(seeds)) < len(seeds):
        raise ValueError(
            "Argument `seeds` must be different integers, at least one, none "
            f"below 0. Received: seeds={seeds}"
        )


def _check_names(changes):
    folders = [_slug(name) for name in changes]
    if not changes or not all(folders) or len(set(folders)) < len(folders):
        raise ValueError(
            "Argument `changes` must have at least one entry, and names that "
            "differ in their letters and digits, since each names a folder. "
            f"Received: {list(changes)}"
        )
