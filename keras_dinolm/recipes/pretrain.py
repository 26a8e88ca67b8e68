"""One call from texts to an encoder."""

import os
from collections.abc import Iterable
from typing import Any

import keras

from keras_dinolm import arguments
from keras_dinolm.models import SIZES
from keras_dinolm.models import DinoLMTextEmbedder
from keras_dinolm.models import DinoLMTokenizer
from keras_dinolm.models.tasks.tokenizer import SPECIAL_TOKENS
from keras_dinolm.recipes import registry
from keras_dinolm.recipes.pretraining_run import PretrainingRun
from keras_dinolm.recipes.run_arguments import RunArguments
from keras_dinolm.recipes.run_arguments import plain_option
from keras_dinolm.recipes.run_folder import RunFolder
from keras_dinolm.recipes.run_folder import check_is_ours


def pretrain(
    texts: Any,
    directory: str | os.PathLike,
    minutes: float | None = None,
    steps: int | None = None,
    size: str = "nano",
    recipe: str = "bag_then_blocks",
    seed: int = 0,
    vocabulary_size: int = 8_192,
    sequence_length: int = 64,
    held_out: float | Iterable = 0.05,
    verbose: str | int = "auto",
    **options: Any,
) -> DinoLMTextEmbedder:
    """Trains a text encoder on texts without labels: one call for all of it.

    Trains a tokenizer, tokenizes, plans, trains phase by phase with one live
    progress bar, and measures the result on texts that it held out. Called
    again after `kill -9`, a crash or Ctrl-C, it resumes; when the run is
    finished, it returns at once. A folder that holds another run (recipe,
    options, size, seed, texts, budget or backend) is refused.

    With `steps`, the run does the same on any machine, and on one machine a
    run that was killed ends with the same bits. With `minutes`, the time of a
    step is measured first and the plan is stored, so that a resumed run keeps
    it. Preparation and compilation come on top of the minutes.

    `directory` receives

        preset/        the encoder, for `DinoLMTextEmbedder.from_preset`
        report.md      what was trained, how it went, what to do next
        curves.png     losses and monitors over the steps
        run.json       what was asked for, and the plan
        tokens/, tokenizer.json, held_out.jsonl, checkpoints/

    Args:
        texts: list or other iterable of strings (or of `Document`, or of
            mappings with `"text"`), a corpus such as
            `kd.data.installed_docs()`, or the path of a file or folder: plain
            text, of which each paragraph is a text, or JSON lines with
            `"text"`.
        directory: path. A folder for this run alone: new, empty, or that of
            the same run.
        minutes: float. How long to train on this machine. Give either this or
            `steps`.
        steps: int. How many steps to train, over all phases.
        size: string, one of `kd.models.SIZES`.
        recipe: string, one of `kd.recipes.names()`.
        seed: int. Of weights, batches and views.
        vocabulary_size: int. Of the tokenizer that is trained; a small corpus
            may give fewer. Recipes that bring a tokenizer pay no attention
            to it.
        sequence_length: int. Longest view in training, in tokens.
        held_out: float in [0, 1), the share of the texts that is not trained
            on but used to measure the result (at most 1,000 texts); or an
            iterable of texts to measure on.
        verbose: `"auto"`, 0 for silence, 1 for a bar, 2 for lines. `"auto"`
            is a bar on a terminal and lines elsewhere.
        **options: of the recipe, such as `learning_rate=5e-4`.

    Returns:
        A `DinoLMTextEmbedder`, whose `encode` takes texts.

    Raises:
        ValueError: for arguments out of range, too few texts, options that
            the recipe does not have, or a folder that holds another run or
            other files.
        FileNotFoundError: if `texts` is a path that does not exist.
        RuntimeError: if another process trains in the folder.

    Example:

    ```python
    import keras_dinolm as kd

    texts = [
        f"Text {i} is about {animal}s that live near a {place}."
        for i, (animal, place) in enumerate(
            50 * [("cat", "house"), ("dog", "river"), ("owl", "tree")]
        )
    ]
    embedder = kd.recipes.pretrain(
        texts, "runs/animals", steps=10, vocabulary_size=100,
        sequence_length=16, verbose=0,
    )
    embedder.encode(["two", "texts"]).shape  # (2, 128)
    ```
    """
    given = RunArguments(
        minutes,
        steps,
        seed,
        vocabulary_size,
        sequence_length,
        held_out,
        verbose,
    )
    size = arguments.choice("size", size, SIZES)
    chosen = registry.find("recipe", recipe)
    chosen.check_options(options)
    check_is_ours(directory)
    read = given.read(texts)
    _try_recipe(chosen, size, given.sequence_length, options, given.steps)
    asked = {
        "recipe": recipe,
        "options": {k: plain_option(k, v) for k, v in options.items()},
        "size": size,
        **given.asked(),
        **read.digests,
        "backend": keras.backend.backend(),
    }
    with RunFolder(directory, asked) as folder:
        return PretrainingRun(
            folder, chosen, options, read.train, read.held_out, verbose
        ).finish()


def _try_recipe(recipe, size, sequence_length, options, steps):
    """Raises for values that the recipe does not take, before any work."""
    if recipe.tokenizer is not None:
        tokenizer = recipe.tokenizer(**options)
    else:
        tokenizer = DinoLMTokenizer([*SPECIAL_TOKENS, "a"])
    phases = recipe.phases(
        tokenizer=tokenizer,
        size=size,
        sequence_length=sequence_length,
        **options,
    )
    if steps is not None and steps < len(phases):
        raise ValueError(
            f"Argument `steps` must be at least {len(phases)}, a step for "
            f"each phase of the recipe. Received: steps={steps}"
        )
