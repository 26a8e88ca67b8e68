"""Checks of the arguments of `Ablation`."""

import numbers
from collections.abc import Iterable
from collections.abc import Sequence

from keras_dinolm.runs.ablation_folder import slug


def check_steps(steps: int, steps_per_epoch: int) -> None:
    """Raises an error unless both are integers from 1 on."""
    for name, value in (
        ("steps", steps),
        ("steps_per_epoch", steps_per_epoch),
    ):
        if (
            not isinstance(value, numbers.Integral)
            or isinstance(value, bool)
            or value < 1
        ):
            raise ValueError(
                f"Argument `{name}` must be an integer, at least 1. "
                f"Received: {name}={value!r}"
            )


def check_seeds(seeds: Sequence[int]) -> None:
    """Raises an error unless they are different integers from 0 on."""
    seeds = list(seeds)
    whole = all(isinstance(seed, int) and seed >= 0 for seed in seeds)
    if not seeds or not whole or len(set(seeds)) < len(seeds):
        raise ValueError(
            "Argument `seeds` must be different integers, at least one, none "
            f"below 0. Received: seeds={seeds}"
        )


def check_names(changes: Iterable[str]) -> None:
    """Raises an error unless each name gives a folder of its own."""
    names = list(changes)
    folders = [slug(name) for name in names]
    if not names or not all(folders) or len(set(folders)) < len(folders):
        raise ValueError(
            "Argument `changes` must have at least one entry, and names that "
            "differ in their letters and digits, since each names a folder. "
            f"Received: {names}"
        )
