"""Checks of the arguments of `Ablation`."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from keras_dinolm import arguments
from keras_dinolm.runs.ablation_folder import slug


def checked_callable(name: str, value: Any) -> Callable:
    """Returns a callable, or raises a `ValueError`."""
    if not callable(value):
        arguments.refuse(name, value, "a callable")
    return value


def checked_config(config: Any) -> dict:
    """Returns a configuration as a dict; `None` is an empty one."""
    if config is None:
        return {}
    return dict(arguments.instance("config", config, Mapping, "a dict"))


def checked_seeds(seeds: Sequence[int]) -> list[int]:
    """Returns seeds, which must be different integers from 0 on."""
    if isinstance(seeds, str | Mapping) or not hasattr(seeds, "__iter__"):
        arguments.refuse("seeds", seeds, "a list of integers")
    seeds = list(seeds)
    checked = [
        arguments.integer(f"seeds[{i}]", seed, 0, 2**32 - 1)
        for i, seed in enumerate(seeds)
    ]
    if not checked or len(set(checked)) < len(checked):
        arguments.refuse("seeds", seeds, "different integers, at least one")
    return checked


def checked_changes(changes: Any) -> dict:
    """Returns changes, each with a name that gives a folder of its own."""
    arguments.instance("changes", changes, Mapping, "a dict of name to change")
    names = list(changes)
    folders = [slug(name) if isinstance(name, str) else "" for name in names]
    if not names or not all(folders) or len(set(folders)) < len(folders):
        raise ValueError(
            "Argument `changes` must have at least one entry, and names that "
            "differ in their letters and digits, since each names a folder. "
            f"Received: {names}"
        )
    return dict(changes)
