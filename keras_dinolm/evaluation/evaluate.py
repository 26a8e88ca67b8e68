"""All tasks on one encoder."""

import math
import time
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_dinolm import arguments
from keras_dinolm import files
from keras_dinolm.evaluation.task import SPLITS
from keras_dinolm.evaluation.task import Task
from keras_dinolm.evaluation.tasks import TASKS
from keras_dinolm.evaluation.text_features import PROBE
from keras_dinolm.evaluation.text_features import TextFeatures
from keras_dinolm.typing import Path


def evaluate(
    encoder: Any,
    folder: Path,
    split: str = "dev",
    tasks: Iterable[str | Task] | None = None,
    max_train: int | None = None,
    seed: int = 0,
    results: Path | None = None,
    verbose: bool = True,
) -> dict[str, float]:
    """Measures what frozen features are worth, on many tasks.

    Only linear classifiers are trained, and their regularisation is chosen on
    dev data. Each text is encoded once.

    The standard tasks, by name and by their place in the folder:

    - `stsb`: `sts/stsb`, Spearman correlation (`sts_spearman`);
    - `xquad`: `retrieval/xquad`, nDCG@10 (`retrieval_ndcg`);
    - `trec`, `sst2`, `clinc150`: `classification/...`, accuracy
      (`linear_probe`);
    - `snli`: `nli/snli10k`, accuracy (`nli_probe`);
    - `snips_intent`: `slots/snips`, accuracy of the intent (`linear_probe`);
    - `snips_slots`: the same files, entity F1 of the slots (`token_probe`);
    - `topic`: `corpus`, accuracy of the topic of held-out passages
      (`knn_accuracy`).

    Args:
        encoder: As for `TextFeatures`: an object with `encode`
            (`DinoLMTextEmbedder`, `SentenceTransformer`, ...), or a function
            from texts to an array, which has no features of words and so
            cannot do `snips_slots`.
        folder: Path of a folder with the tasks' files.
        split: `"dev"`, to choose by, or `"test"`, to report. On dev the
            regularisation is chosen and measured on the same rows.
        tasks: Sequence of names of the standard tasks, or of tasks of your
            own, such as `ClassificationTask("mine", "my_texts")`. Defaults to
            all nine.
        max_train: Integer. The most training rows of a task, to save time;
            `None` takes all.
        seed: Integer. Seed of this draw. Each encoder gets the same rows.
        results: Path of a JSON file. Scores are written there as soon as they
            are known. Scores that the file holds are not measured again. A
            damaged file is set aside, with a warning.
        verbose: Boolean. Whether to print a line for each task.

    Returns:
        Dictionary from names to fractions, higher is better.

    Raises:
        FileNotFoundError: If a file of a task is missing.
        ValueError: If a task is not known, a file is not as described, or
            `results` were measured otherwise or with another encoder.

    Example:

    ```python
    import pathlib
    import numpy as np
    import keras_dinolm as kd

    pathlib.Path("mine").mkdir()
    rows = "text\\tlabel\\na cat\\tcat\\na dog\\tdog\\ncats\\tcat\\n"
    for split in ("train", "dev", "test"):
        pathlib.Path("mine", f"{split}.tsv").write_text(rows)

    def letters(texts):
        return np.array([[text.count(c) for c in "acdgot"] for text in texts])

    task = kd.evaluation.ClassificationTask("pets", "mine")
    print(kd.evaluation.evaluate(letters, ".", tasks=[task]))
    ```
    """
    arguments.choice("split", split, SPLITS)
    chosen = _as_tasks(list(TASKS) if tasks is None else tasks)
    if max_train is not None:
        max_train = arguments.count("max_train", max_train)
    seed = arguments.count("seed", seed, 0)
    verbose = arguments.flag("verbose", verbose)
    folder = arguments.path("folder", folder)
    features = TextFeatures(encoder)
    settings = {"split": split, "max_train": max_train, "seed": seed}
    known: dict[str, Any] = {
        "settings": settings,
        "encoder": None,
        "scores": {},
    }
    if results is not None:
        results = arguments.path("results", results)
        known["encoder"] = features.texts([PROBE])[0][:8].tolist()
        known = _read(results, known)
    scores = known["scores"]
    for task in chosen:
        if task.name in scores:
            continue
        start = time.perf_counter()
        data = task.load(folder, split, max_train, seed)
        scores[task.name] = task.score(features, data)
        if verbose:
            seconds = time.perf_counter() - start
            print(
                f"{task.name:>14} {100 * scores[task.name]:6.2f} "
                f"({seconds:.1f} s)",
                flush=True,
            )
        if results is not None:
            files.write_json(results, known)
    return {task.name: scores[task.name] for task in chosen}


def _as_tasks(tasks):
    if isinstance(tasks, str | Task | Mapping) or not isinstance(
        tasks, Iterable
    ):
        raise ValueError(
            "Argument `tasks` must be a sequence of names among "
            f"{', '.join(TASKS)}, or of `Task` objects; put a single one in "
            f"brackets. Received: tasks={arguments.shorten(tasks)}"
        )
    chosen = [_as_task(task) for task in tasks]
    names = [task.name for task in chosen]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            "Argument `tasks` must hold each name once, since scores are "
            f"reported by name. Received twice: {', '.join(twice)}"
        )
    return chosen


def _as_task(task):
    if isinstance(task, Task):
        return task
    if not isinstance(task, str) or task not in TASKS:
        raise ValueError(
            "Argument `tasks` must be a sequence of names among "
            f"{', '.join(TASKS)}, or of `Task` objects. Received: "
            f"{arguments.shorten(task)}"
        )
    return TASKS[task]


def _read(path, now):
    """What a results file holds, if it was measured as we would."""
    then = files.read_json_or_set_aside(path)
    if then is None:
        return now
    if not _is_record(then):
        raise ValueError(
            f"{path} (`results`) holds something else than scores that "
            "`evaluate` wrote. Use another file, or remove it."
        )
    if then["settings"] != now["settings"]:
        raise ValueError(
            f"`results` in {path} were measured otherwise: "
            f"{then['settings']} then, {now['settings']} now. Use another "
            "file."
        )
    a, b = np.array(then["encoder"]), np.array(now["encoder"])
    if len(a) != len(b) or np.abs(a - b).max() > 1e-2 * np.abs(a).max():
        raise ValueError(
            f"`results` in {path} are those of another encoder: the feature "
            f"of {PROBE!r} begins with {a} there, and is {b} now. Use "
            "another file."
        )
    return then


def _is_record(value):
    """Whether a value has the form of what `evaluate` writes."""
    return (
        isinstance(value, dict)
        and set(value) == {"settings", "encoder", "scores"}
        and isinstance(value["settings"], dict)
        and isinstance(value["encoder"], list)
        and isinstance(value["scores"], dict)
        and all(map(_is_finite, value["encoder"]))
        and all(map(_is_finite, value["scores"].values()))
    )


def _is_finite(value):
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) < math.inf
    )
