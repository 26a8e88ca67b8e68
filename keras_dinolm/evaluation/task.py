"""A task: a measurement of frozen features on the files of one folder."""

import os
import pathlib
from collections.abc import Callable
from typing import Any
from typing import NamedTuple

import numpy as np

from keras_dinolm import arguments
from keras_dinolm.evaluation.text_features import TextFeatures
from keras_dinolm.evaluation.text_files import find_split
from keras_dinolm.typing import Path

SPLITS = ("dev", "test")


class Splits(NamedTuple):
    """What a probe needs. To measure on dev, `test` is `dev`.

    Attributes:
        train: What a file holds: `LabelledTexts`, `TextPairs`, `TaggedWords`.
        dev: The same, on which the regularisation is chosen.
        test: The same, on which it is measured.
    """

    train: Any
    dev: Any
    test: Any


class Task:
    """A measurement of frozen features on the files of one folder.

    Args:
        name: String, under which `evaluate` reports it.
        path: String. The task's folder inside the folder of all tasks.
    """

    def __init__(self, name: str, path: str) -> None:
        self.name = arguments.string("name", name)
        self.path = os.fspath(arguments.path("path", path))

    def load(
        self,
        folder: Path,
        split: str = "dev",
        max_train: int | None = None,
        seed: int = 0,
    ) -> Any:
        """Reads the task's files.

        Args:
            folder: Path of the folder of all tasks.
            split: `"dev"`, to choose by, or `"test"`, to report.
            max_train: Integer. The most rows of training data, drawn at
                random; `None` takes all.
            seed: Integer. Seed of this draw: all encoders get the same rows.

        Returns:
            What `score` takes.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If a file is not as its reader wants it, or for
                another `split`.
        """
        arguments.choice("split", split, SPLITS)
        if max_train is not None:
            max_train = arguments.count("max_train", max_train)
        seed = arguments.count("seed", seed, 0)
        return self._load(
            arguments.path("folder", folder) / self.path,
            split,
            lambda rows: _subset(rows, max_train, seed),
        )

    def score(self, features: TextFeatures, data: Any) -> float:
        """Measures an encoder.

        Args:
            features: `TextFeatures` of the encoder.
            data: What `load` returned.

        Returns:
            Float: a fraction, higher is better.
        """
        raise NotImplementedError

    def _load(self, folder, split, subset):
        raise NotImplementedError


def load_splits(
    folder: pathlib.Path,
    split: str,
    subset: Callable[[Any], Any],
    read: Callable[[pathlib.Path], Any],
) -> Splits:
    """Reads the files of a probe: `train`, `dev` and, to report, `test`."""
    train = subset(read(find_split(folder, "train")))
    dev = read(find_split(folder, "dev"))
    if split == "dev":
        return Splits(train, dev, dev)
    return Splits(train, dev, read(find_split(folder, "test")))


def _subset(rows, max_train, seed):
    """At most so many rows, in their order, of every field alike."""
    count = len(rows[0])
    if max_train is None or count <= max_train:
        return rows
    order = np.random.default_rng(seed).permutation(count)
    kept = np.sort(order[:max_train]).tolist()
    return type(rows)(*([field[i] for i in kept] for field in rows))


def half(split: str) -> slice:
    """The even places of a sequence for dev, the odd ones for test."""
    return slice(SPLITS.index(split), None, 2)
