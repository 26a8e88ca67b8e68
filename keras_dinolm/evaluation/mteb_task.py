"""Local files as tasks of the benchmark suite `mteb`."""

import hashlib
from typing import Any

from keras_dinolm import arguments
from keras_dinolm.evaluation.task import SPLITS
from keras_dinolm.evaluation.task import Task
from keras_dinolm.evaluation.tasks import TASKS
from keras_dinolm.evaluation.tasks import ClassificationTask
from keras_dinolm.evaluation.tasks import RetrievalTask
from keras_dinolm.evaluation.tasks import STSTask
from keras_dinolm.typing import Path


def mteb_task(
    task: str | Task,
    folder: Path,
    split: str = "test",
    language: str = "eng-Latn",
) -> Any:
    """Makes a task of `mteb` (version 2) from local files.

    Nothing is downloaded. The protocol is that of `mteb`: classification, for
    instance, is by logistic regression on 8 examples a class, 10 times.

    Needs the package `mteb` (`pip install keras-dinolm[mteb]`).

    Args:
        task: Name of a standard task of `evaluate`, or a `ClassificationTask`,
            `STSTask` or `RetrievalTask`.
        folder: Path of the folder of all tasks.
        split: `"dev"` or `"test"`.
        language: String. An ISO 639-3 code with an ISO 15924 script.

    Returns:
        A task for `mteb.evaluate`.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is not as described, or `mteb` has no task of
            that kind.

    Example:

    ```python
    import keras_dinolm as kd

    task = kd.evaluation.STSTask("pairs", "my_pairs")
    # mteb.evaluate(encoder, kd.evaluation.mteb_task(task, "my_folder"))
    ```
    """
    task = TASKS.get(task, task) if isinstance(task, str) else task
    makers = {
        ClassificationTask: _classification,
        STSTask: _sts,
        RetrievalTask: _retrieval,
    }
    folder = arguments.path("folder", folder)
    arguments.choice("split", split, SPLITS)
    folder = arguments.path("folder", folder)
    arguments.string("language", language)
    if isinstance(task, str) or type(task) not in makers:
        raise ValueError(
            "`task` must be one of "
            f"{', '.join(cls.__name__ for cls in makers)}, or the name of a "
            "standard task of these kinds. Received: "
            f"task={arguments.shorten(task)}"
        )
    data = task.load(folder, split)
    base, kind, main_score, dataset, settings = makers[type(task)](data, split)

    from mteb.abstasks.task_metadata import TaskMetadata

    digest = hashlib.sha256(repr(data).encode()).hexdigest()[:16]
    metadata = TaskMetadata(
        name=task.name,
        description=f"{task.path}, local files",
        type=kind,
        dataset={"path": str(folder), "revision": digest},
        eval_splits=[split],
        eval_langs=[language],
        main_score=main_score,
    )

    def load_data(self, num_proc=None, **kwargs):
        self.dataset = dataset
        self.data_loaded = True

    attributes = {"metadata": metadata, "load_data": load_data, **settings}
    return type(f"Local{base.__name__}", (base,), attributes)()


def _classification(data, split):
    from datasets import Dataset
    from datasets import DatasetDict
    from mteb.abstasks import AbsTaskClassification

    # A label that training does not know is one that it cannot predict.
    names = sorted({*data.train.labels, *data.test.labels})
    codes = {name: code for code, name in enumerate(names)}

    def dataset(part):
        labels = [codes[label] for label in part.labels]
        return Dataset.from_dict({"text": part.texts, "label": labels})

    splits = {"train": dataset(data.train), split: dataset(data.test)}
    return (
        AbsTaskClassification,
        "Classification",
        "accuracy",
        DatasetDict(splits),
        {},
    )


def _sts(data, split):
    from datasets import Dataset
    from datasets import DatasetDict
    from mteb.abstasks import AbsTaskSTS

    pairs = {
        "sentence1": data.first,
        "sentence2": data.second,
        "score": data.targets,
    }
    return (
        AbsTaskSTS,
        "STS",
        "cosine_spearman",
        DatasetDict({split: Dataset.from_dict(pairs)}),
        {"min_score": min(data.targets), "max_score": max(data.targets)},
    )


def _retrieval(data, split):
    from datasets import Dataset
    from mteb.abstasks import AbsTaskRetrieval

    grades = [set(entry.values()) for entry in data.relevant]
    if any(grade != int(grade) for grade in set().union(*grades)):
        raise ValueError(
            "`mteb` wants judgements that are integers. Received: "
            f"{sorted(set().union(*grades))}."
        )

    def dataset(prefix, texts):
        ids = [f"{prefix}{index}" for index in range(len(texts))]
        return Dataset.from_dict({"id": ids, "text": texts})

    relevant = {
        f"q{query}": {f"d{i}": int(grade) for i, grade in entry.items()}
        for query, entry in enumerate(data.relevant)
    }
    parts = {
        "queries": dataset("q", data.queries),
        "corpus": dataset("d", data.documents),
        "relevant_docs": relevant,
        "top_ranked": None,
    }
    return (
        AbsTaskRetrieval,
        "Retrieval",
        "ndcg_at_10",
        {"default": {split: parts}},
        {},
    )
