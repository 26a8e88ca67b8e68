"""What `pretrain` and `distill` ask of their arguments, and read of texts."""

import dataclasses
import json
import numbers
import os
import pathlib
from typing import Any

from keras_dinolm import arguments
from keras_dinolm.data import Corpus
from keras_dinolm.data import Document
from keras_dinolm.recipes import texts as texts_module

# Fewer texts are no corpus: a batch of them would be the same each time.
FEWEST_TEXTS = 16


@dataclasses.dataclass(frozen=True)
class RunArguments:
    """The arguments that all runs have, checked.

    Args:
        minutes: float or `None`. Either this or `steps` is given.
        steps: int or `None`.
        seed: int.
        vocabulary_size: int.
        sequence_length: int.
        held_out: float in [0, 1), or texts.
        verbose: `"auto"`, 0, 1 or 2.

    Raises:
        ValueError: for arguments out of range.
    """

    minutes: float | None
    steps: int | None
    seed: int
    vocabulary_size: int
    sequence_length: int
    held_out: Any
    verbose: str | int

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise ValueError(
                "Give either `minutes` (a time on this machine) or `steps` "
                "(the same result on any machine). "
                f"Received: minutes={self.minutes}, steps={self.steps}"
            )
        if self.minutes is not None:
            self._set("minutes", arguments.number, above=0)
        if self.steps is not None:
            self._set("steps", arguments.count)
        # NumPy and the backends take seeds of 32 bits.
        self._set("seed", arguments.integer, 0, 2**31 - 1)
        self._set("vocabulary_size", arguments.count, 8)
        self._set("sequence_length", arguments.integer, 4)
        if isinstance(self.held_out, numbers.Number):
            self._set(
                "held_out",
                arguments.number,
                0,
                below=1,
                meaning="a share of the texts, or texts",
            )
        self._set("verbose", arguments.choice, ("auto", 0, 1, 2))

    def _set(self, name, check, *args, **kwargs):
        value = check(name, getattr(self, name), *args, **kwargs)
        object.__setattr__(self, name, value)

    def read(self, texts: Any) -> "RunTexts":
        """Reads the texts, and holds some out.

        Args:
            texts: as for `pretrain`.

        Returns:
            `RunTexts`.

        Raises:
            ValueError: if there are too few.
            FileNotFoundError: if a path does not exist.
        """
        if self.verbose:
            print("Reading the texts ...", flush=True)
        documents = texts_module.read_texts(texts)
        if isinstance(self.held_out, int | float):
            train, held_out = texts_module.split_held_out(
                documents, self.held_out
            )
        else:
            train = documents
            held_out = list(texts_module.read_texts(self.held_out, "held_out"))
        digest, usable = texts_module.survey(train)
        if usable < FEWEST_TEXTS:
            raise ValueError(
                f"`texts` must hold at least {FEWEST_TEXTS} texts with words "
                "in them: an encoder learns from how texts differ. Received: "
                f"{usable:,} such texts to train on, and {len(held_out):,} "
                "held out. Give more texts or, if a file holds a text in each "
                "line, split it (`--unit line` on the command line)."
            )
        return RunTexts(
            train,
            held_out,
            {"texts": digest, "held_out": texts_module.survey(held_out)[0]},
        )

    def asked(self) -> dict[str, Any]:
        """What of it decides on the result, as `run.json` has it."""
        names = ("seed", "steps", "minutes", "vocabulary_size")
        return {n: getattr(self, n) for n in (*names, "sequence_length")}


@dataclasses.dataclass(frozen=True)
class RunTexts:
    """The texts of a run.

    Attributes:
        train: re-iterable of `Document`.
        held_out: list of `Document`.
        digests: dict of `"texts"` and `"held_out"` to digests.
    """

    train: Corpus | list[Document]
    held_out: list[Document]
    digests: dict[str, str]


def plain_option(name: str, value: Any) -> Any:
    """An option as JSON has it, to compare with when the run is resumed.

    Args:
        name: string.
        value: of the option.

    Returns:
        What JSON makes of it.

    Raises:
        ValueError: if it makes nothing of it.
    """
    if isinstance(value, os.PathLike):
        value = str(pathlib.Path(value))
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError):
        raise ValueError(
            f"The option `{name}` must be a number, string, path, list or "
            "dict, so that a resumed run can be compared with it. Received: "
            f"{name}={value!r}"
        ) from None
