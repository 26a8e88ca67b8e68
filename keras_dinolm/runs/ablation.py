"""Runs of one recipe that differ in one thing each, side by side."""

import gc
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence

import keras

from keras_dinolm import arguments
from keras_dinolm.callbacks import CollapseMonitor
from keras_dinolm.runs import ablation_checks as checks
from keras_dinolm.runs import ablation_recipe
from keras_dinolm.runs import ablation_report
from keras_dinolm.runs import fingerprint
from keras_dinolm.runs.ablation_folder import AblationFolder
from keras_dinolm.runs.ablation_run import build
from keras_dinolm.runs.ablation_run import train_once
from keras_dinolm.typing import Path


class Ablation:
    """Finds out what the parts of a recipe do, by leaving them out.

    Trains a recipe and its changes with several seeds for the same number of
    steps, measures each run, and writes a table and a figure. The first
    change is the one that the others are compared with, seed by seed, since
    runs of one seed share their first weights and their batches.

    A run that collapses is a result: its row names the failure, as
    `CollapseMonitor` did. So is a run that `DinoLM` stops because its
    gradients are not finite; it is measured as its last checkpoint left it.

    Each run goes through `keras_dinolm.runs.fit`. After a stop or a kill at
    any time, the same call continues where it was, and does not repeat
    finished runs. Runs go seed by seed, so that an unfinished table compares
    like with like; changes and seeds may be added later. Before anything is
    trained, each change is built once, so that a mistake in the last one is
    found at once. If the configuration of model or optimizer, or the first
    batch, is no longer what the folder was started with, an error names the
    difference.

    `directory` receives

        results.jsonl   one line for each finished run
        table.md        mean and deviation, and the paired differences
        ablation.png    every run, and the curves
        recipe.json     what the runs were started with
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
        seeds: list of ints. Defaults to `(0, 1, 2)`.
        make_callbacks: callable `() -> list` of callbacks, called for each
            run. Failures are read from their `found`. Defaults to a
            `CollapseMonitor` whose patience is a quarter of the run, at most
            300 batches.
        save_every: int or `None`. As for `fit`.
        curves: list of names in the history to draw in the figure.
        keep_checkpoints: boolean. Whether the last checkpoint of a finished
            run stays in `runs/`. Defaults to `False`.
        verbose: 0 for silence, 1 for a line an epoch. Defaults to `1`.

    Raises:
        ValueError: for arguments out of their range, changes that do not fit
            `config`, or names that would share a folder.

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
        recipe: Callable,
        changes: Mapping[str, dict | Callable],
        measure: Callable,
        directory: Path,
        steps: int,
        steps_per_epoch: int,
        config: Mapping | None = None,
        seeds: Sequence[int] = (0, 1, 2),
        make_callbacks: Callable[[], list] | None = None,
        save_every: int | None = None,
        curves: Sequence[str] = (),
        keep_checkpoints: bool = False,
        verbose: int = 1,
    ):
        self.recipe = checks.checked_callable("recipe", recipe)
        self.changes = checks.checked_changes(changes)
        self.measure = checks.checked_callable("measure", measure)
        self.folder = AblationFolder(directory)
        self.steps = arguments.integer("steps", steps, 1)
        self.steps_per_epoch = arguments.integer(
            "steps_per_epoch", steps_per_epoch, 1
        )
        self.config = checks.checked_config(config)
        self.seeds = checks.checked_seeds(seeds)
        self.make_callbacks = self._monitor
        if make_callbacks is not None:
            self.make_callbacks = checks.checked_callable(
                "make_callbacks", make_callbacks
            )
        self.save_every = save_every
        if save_every is not None:
            self.save_every = arguments.integer("save_every", save_every, 1)
        self.curves = arguments.strings("curves", curves)
        self.keep_checkpoints = arguments.flag(
            "keep_checkpoints", keep_checkpoints
        )
        self.verbose = arguments.choice("verbose", verbose, (0, 1, False, True))
        # `(recipe, config)` of each row of the table.
        self._recipes = {
            name: ablation_recipe.apply_change(
                recipe, self.config, name, change
            )
            for name, change in self.changes.items()
        }

    def run(self) -> list[dict]:
        """Trains and measures what is not finished, and writes the table.

        Returns:
            The results, as `results`.

        Raises:
            ValueError: if the folder was started with another recipe, or
                `recipe` or `measure` returns something else than it should.
            CheckpointError: if another process uses the folder.
        """
        with self.folder.locked():
            self._check_recipe()
            runs = [(c, s) for s in self.seeds for c in self.changes]
            finished = self.folder.results()
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
            self.folder.write("ablation.png", plot.savefig)
        return self.results()

    def results(self) -> list[dict]:
        """The finished runs of these changes and seeds.

        Returns:
            List of dicts with `change`, `seed`, `steps` (batches done),
            `failures` (names), `measured`, `history`, and `recipe`, a
            checksum. What is not finite is `None`.
        """
        stored = self.folder.results()
        runs = [(c, s) for c in self.changes for s in self.seeds]
        return [stored[run] for run in runs if run in stored]

    def table(self) -> str:
        """The table of the finished runs, in Markdown.

        Mean and standard deviation over the seeds, the failures with the
        number of runs that had them, and the differences from the first
        change over the seeds that both have.

        Returns:
            A string.
        """
        return ablation_report.table(self.results(), list(self.changes))

    def _train(self, change, seed):
        recipe, config = self._recipes[change]
        result = train_once(
            lambda: build(recipe, config, seed, change),
            self.measure,
            self.folder.of_run(change, seed),
            self.make_callbacks(),
            self._say,
            steps=self.steps,
            steps_per_epoch=self.steps_per_epoch,
            save_every=self.save_every,
        )
        return {
            "change": change,
            "seed": seed,
            **result,
            "recipe": self._checksums[change],
        }

    def _finish(self, result):
        """Stores a result, and with it the table of all of them."""
        self.folder.add_result(result)
        self.folder.write_text(
            "table.md",
            f"{self.table()}\n\n{self.steps:,} steps a run, "
            f"{keras.backend.backend()}.\n",
        )
        if not self.keep_checkpoints:
            self.folder.remove_run(result["change"], result["seed"])
        numbers = "".join(
            f"{name} {value:.4g}, "
            for name, value in result["measured"].items()
            if value is not None
        )
        failures = ", ".join(result["failures"]) or "none"
        self._say(f"  {numbers}failure: {failures}")
        gc.collect()  # the model of this run, with its compiled step

    def _check_recipe(self):
        """Builds each change, and compares it with that of the folder."""
        settings = {
            "backend": keras.backend.backend(),
            "steps": self.steps,
            "steps_per_epoch": self.steps_per_epoch,
        }
        descriptions = {}
        for change, (recipe, config) in self._recipes.items():
            model, make_dataset = build(recipe, config, self.seeds[0], change)
            descriptions[change] = ablation_recipe.describe(
                model, make_dataset, config
            )
        gc.collect()  # all these models
        self.folder.check_recipe(settings, descriptions)
        # Each result says which recipe it is of.
        self._checksums = {
            change: fingerprint.checksum({"settings": settings, "change": one})
            for change, one in descriptions.items()
        }

    def _monitor(self):
        patience = max(min(self.steps // 4, 300), 1)
        return [CollapseMonitor(patience, check_every=max(patience // 5, 1))]

    def _say(self, text):
        if self.verbose:
            print(text, flush=True)
