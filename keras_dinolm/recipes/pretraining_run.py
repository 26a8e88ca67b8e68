"""A run from texts to an encoder: tokenizer, plan, phases, report."""

import dataclasses
import warnings
from typing import Any

import keras

from keras_dinolm import files
from keras_dinolm import runs
from keras_dinolm.callbacks import CollapseMonitor
from keras_dinolm.data import TokenStore
from keras_dinolm.data import tokenize
from keras_dinolm.data import train_tokenizer
from keras_dinolm.models import DinoLMTextEmbedder
from keras_dinolm.models import DinoLMTextPreprocessor
from keras_dinolm.models import DinoLMTokenizer
from keras_dinolm.models import TextEncoder
from keras_dinolm.models import export_preset
from keras_dinolm.recipes import held_out as held_out_module
from keras_dinolm.recipes import plan
from keras_dinolm.recipes import texts as texts_module
from keras_dinolm.recipes.curves import write_curves
from keras_dinolm.recipes.live_bar import LiveBar
from keras_dinolm.recipes.live_bar import clock
from keras_dinolm.recipes.phase import Phase
from keras_dinolm.recipes.phase_history import PhaseHistory
from keras_dinolm.recipes.report import write_report
from keras_dinolm.runs.resume import FirstWeightsWarning

# Between two checkpoints, at most.
SAVE_EVERY = 200


class PretrainingRun:
    """A run from the texts to the report.

    Args:
        folder: `RunFolder`, entered.
        recipe: `Recipe`, or `None` in a run that makes its phases itself.
        options: dict, of the recipe.
        train: re-iterable of `Document`.
        held_out: list of `Document`.
        verbose: as for `pretrain`.
    """

    def __init__(self, folder, recipe, options, train, held_out, verbose):
        self.folder = folder
        self.directory = folder.directory
        self.asked = folder.asked
        self.recipe = recipe
        self.options = options
        self.texts = train
        self.held_out = held_out
        self.verbose = verbose
        # What the report shall say beside the numbers.
        self.notes = []

    def finish(self) -> DinoLMTextEmbedder:
        """Does what is left to do, and loads the result.

        Returns:
            A `DinoLMTextEmbedder`.
        """
        preset = self.directory / "preset"
        # A preset that was removed is written again from the checkpoints.
        if not self.folder.state.get("finished") or not preset.exists():
            self.train()
        else:
            self._say(f"The run in {self.directory} is finished.")
        return DinoLMTextEmbedder.from_preset(preset)

    def train(self) -> None:
        """Does what is left to do."""
        texts_module.write_documents(
            self.directory / "held_out.jsonl", self.held_out
        )
        tokenizer = self._tokenizer()
        tokens = self._tokens(tokenizer)
        self._prepare(tokenizer, tokens)
        phases = self._phases(tokenizer, tokens)
        steps, seconds = self._plan(phases, tokens)
        bar = LiveBar([p.name for p in phases], steps, seconds, self.verbose)
        bar.explain()
        before: Any = None
        histories: list[PhaseHistory] = []
        for index, phase in enumerate(phases):
            model, history = self._train_phase(
                index, phase, before, steps, tokens, tokenizer, bar
            )
            histories.append(history)
            before = phase.kept(model)
            if phase is not phases[-1]:
                self._measure(f"after {phase.name}", before, tokenizer)
        bar.finish()
        self._export(phases[-1], model, before, tokenizer)
        found = self._report(tokens, histories, before.pooled_dim)
        self.folder.save(finished=True)
        self._say(held_out_module.describe(found))
        taken = clock(sum(h.seconds for h in histories))
        self._say(
            f"Trained for {taken}. The encoder is in "
            f"{self.directory / 'preset'}; see {self.directory / 'report.md'} "
            "and curves.png."
        )

    # === Before training ===

    def _tokenizer(self) -> DinoLMTokenizer:
        path = self.directory / "tokenizer.json"
        config = files.read_json_or_set_aside(path)
        if config is not None:
            try:
                return DinoLMTokenizer(**config)
            except (TypeError, ValueError) as error:
                files.set_aside(path, error)
        tokenizer = self._new_tokenizer()
        files.write_json(path, tokenizer.encoder_config(), indent=None)
        return tokenizer

    def _new_tokenizer(self) -> DinoLMTokenizer:
        if self.recipe is not None and self.recipe.tokenizer is not None:
            return self.recipe.tokenizer(**self.options)
        return train_tokenizer(
            self.texts,
            self.asked["vocabulary_size"],
            show_progress=bool(self.verbose),
        )

    def _tokens(self, tokenizer: DinoLMTokenizer) -> TokenStore:
        directory = self.directory / "tokens"
        try:
            return TokenStore.open(directory, tokenizer)
        except FileNotFoundError:
            pass
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            tokens = tokenize(
                self.texts,
                tokenizer,
                directory,
                show_progress=bool(self.verbose),
            )
        self.folder.save(notes=[str(warning.message) for warning in caught])
        return tokens

    def _prepare(self, tokenizer: DinoLMTokenizer, tokens: TokenStore) -> None:
        """What the phases need beside tokens; nothing here."""

    def _made_phases(self, tokenizer: DinoLMTokenizer) -> list[Phase]:
        return self.recipe.phases(
            tokenizer=tokenizer,
            size=self.asked["size"],
            sequence_length=self.asked["sequence_length"],
            **self.options,
        )

    def _phases(
        self, tokenizer: DinoLMTokenizer, tokens: TokenStore
    ) -> list[Phase]:
        """The phases of the recipe, whose batches the corpus can fill."""
        phases = self._made_phases(tokenizer)
        self.notes += self.folder.state.get("notes", [])
        fitting = []
        for phase in phases:
            usable = self._usable(phase, tokens)
            if phase.batch_size > usable:
                self.notes.append(
                    f"Phase {phase.name}: batches of {usable} texts instead "
                    f"of {phase.batch_size}, because there are no more texts."
                )
                phase = dataclasses.replace(phase, batch_size=usable)
            fitting.append(phase)
        for note in self.notes:
            self._say(f"Note: {note}")
        return fitting

    def _usable(self, phase: Phase, tokens: TokenStore) -> int:
        """How many texts a phase may read."""
        return tokens.num_documents - tokens.num_empty

    def _plan(
        self, phases: list[Phase], tokens: TokenStore
    ) -> tuple[list[int], list[float] | None]:
        """Steps of each phase, and seconds of a step where measured."""
        stored: Any = self.folder.state.get("plan")
        if stored is not None and not _is_plan(stored, len(phases)):
            raise ValueError(
                f"The plan in '{self.folder.path}' is not one of "
                f"{len(phases)} phases. Remove `plan` from its `state`, so "
                f"that it is made again. Received: plan={stored!r}"
            )
        if stored is None:
            stored = {"seconds": None}
            if self.asked["minutes"] is None:
                budget = self.asked["steps"]
                costs, fewest = [1.0] * len(phases), 1
            else:
                self._say(
                    "Measuring the time of a step, to plan how many fit (this "
                    "compiles the model: up to a minute or two) ..."
                )
                costs, compilation = plan.seconds_per_step(
                    phases, tokens, self.asked["seed"]
                )
                budget = self._seconds_to_train(compilation)
                fewest = plan.FEWEST_STEPS
                stored["seconds"] = costs
            stored["steps"] = plan.split_steps(phases, budget, costs, fewest)
            self.folder.save(plan=stored)
        self._say(
            "Plan: "
            + ", then ".join(
                f"{count:,} steps of {phase.batch_size} texts ({phase.name})"
                for count, phase in zip(stored["steps"], phases, strict=True)
            )
            + f", from {tokens.num_documents:,} texts of {tokens.num_tokens:,}"
            f" tokens. {len(self.held_out):,} more texts are held out, to "
            "measure the result."
        )
        return stored["steps"], stored["seconds"]

    def _seconds_to_train(self, compilation: float) -> float:
        """The budget of all phases, with `minutes`.

        Args:
            compilation: float. Seconds that it takes to compile them.
        """
        return 60 * self.asked["minutes"]

    # === Training ===

    def _measure(self, stage, backbone, tokenizer):
        """Remembers what the encoder is worth so far, for the report."""
        stages = self.folder.state.get("stages", {})
        if stage not in stages:
            embedder = DinoLMTextEmbedder(
                backbone, DinoLMTextPreprocessor(tokenizer)
            )
            scores = held_out_module.search(embedder, self.held_out)
            self.folder.save(stages={**stages, stage: scores})

    def _train_phase(self, index, phase, before, steps, tokens, tokenizer, bar):
        """The trained model of a phase, and its `PhaseHistory`."""
        checkpoints = self.directory / "checkpoints" / f"{index}-{phase.name}"
        # A checkpoint replaces what would be counted.
        is_new = not any(checkpoints.glob("step-*"))
        keras.utils.set_random_seed(self.asked["seed"])
        backbone = phase.backbone(before, tokens if is_new else None)
        if is_new and phase.starts_as:
            self._measure(phase.starts_as, backbone, tokenizer)
        model = phase.model(backbone, steps[index])
        if is_new and phase.prepare:
            phase.prepare(model, tokens)
        patience = min(max(steps[index] // 4, 50), 300)
        monitor = CollapseMonitor(patience, check_every=patience // 5)
        steps_per_epoch = plan.steps_per_epoch(steps[index])
        with bar.phase(index) as progress:
            # What was not counted is in the checkpoint.
            warnings.simplefilter("ignore", FirstWeightsWarning)
            history = runs.fit(
                model,
                lambda step: plan.make_dataset(
                    phase, tokens, self.asked["seed"], step
                ),
                checkpoints,
                steps=steps[index],
                steps_per_epoch=steps_per_epoch,
                save_every=min(steps_per_epoch, SAVE_EVERY),
                keep=1,
                # The monitor first: the bar shows what it adds to the logs.
                callbacks=[monitor, progress],
                verbose=0,
            )
        return model, PhaseHistory(
            phase.name,
            first_step=sum(steps[:index]),
            steps=steps[index],
            steps_per_epoch=steps_per_epoch,
            batch_size=phase.batch_size,
            objectives=tuple(o.name for o in model.objectives),
            logs=history.history,
            seconds=progress.seconds,
            found=tuple(monitor.found),
            warnings=tuple(progress.warnings),
        )

    # === After training ===

    def _export(self, phase, model, backbone, tokenizer):
        """Writes the preset of what the last phase left, with its heads."""
        directory = self.directory / "preset"
        if phase.keep == "learned" and phase.pooled_layers is None:
            model.export_preset(directory, tokenizer, heads=True)
        else:
            # Heads belong to the features that they were trained on.
            export_preset(TextEncoder(backbone), tokenizer, directory)

    def _report(self, tokens, histories, dim):
        write_curves(self.directory / "curves.png", histories, dim)
        embedder = DinoLMTextEmbedder.from_preset(self.directory / "preset")
        self._say("Measuring on held-out texts ...")
        stages = self.folder.state.get("stages", {})
        found = held_out_module.measure(
            embedder,
            self.held_out,
            self.asked["seed"],
            {name: scores for name, scores in stages.items() if scores},
        )
        unknown = sum(shard["unknown"] for shard in tokens.shards)
        vocabulary = embedder.backbone.vocabulary_size
        write_report(
            self.directory / "report.md",
            self.asked,
            {
                "documents": tokens.num_documents,
                "tokens": tokens.num_tokens,
                "unknown": unknown / tokens.num_tokens,
                "vocabulary_size": vocabulary,
                "held_out": len(self.held_out),
            },
            histories,
            dim,
            self.notes,
            found,
            self._preparation(),
        )
        return found

    def _preparation(self) -> dict[str, float]:
        """Seconds of what the report shall list before the phases."""
        return {}

    def _say(self, text: str) -> None:
        if self.verbose:
            print(text, flush=True)


def _is_plan(stored, num_phases):
    """Whether it has steps, and seconds or none, for each phase."""
    if not isinstance(stored, dict) or set(stored) != {"steps", "seconds"}:
        return False
    steps, seconds = stored["steps"], stored["seconds"]
    return (
        isinstance(steps, list)
        and all(type(count) is int and count > 0 for count in steps)
        and len(steps) == num_phases
        and (
            seconds is None
            or isinstance(seconds, list)
            and all(type(time) in (int, float) and time > 0 for time in seconds)
            and len(seconds) == num_phases
        )
    )
