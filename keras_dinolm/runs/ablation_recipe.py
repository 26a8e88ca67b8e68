"""A recipe with a change applied, and what it comes down to."""

import json
import zlib
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np


def apply_change(
    recipe: Callable, config: dict, name: str, change: dict | Callable
) -> tuple[Callable, dict]:
    """The recipe and the configuration of one row of the table.

    Args:
        recipe: callable `(config, seed) -> (model, make_dataset)`.
        config: dict.
        name: string. The name of the change, for the errors.
        change: dict of overrides of `config`, or callable
            `(recipe) -> recipe`.

    Returns:
        `(recipe, config)`.

    Raises:
        ValueError: for an override of what is not in `config`, or a change of
            another kind.
    """
    if isinstance(change, dict):
        unknown = sorted(set(change) - set(config))
        if unknown:
            raise ValueError(
                f"The change {name!r} overrides {unknown}, which `config` does "
                f"not have. Its keys are: {sorted(config)}. Add the missing "
                "ones with the values that the unchanged recipe has."
            )
        return recipe, {**config, **change}
    if callable(change):
        return change(recipe), dict(config)
    raise ValueError(
        "A change must be a dict of overrides of `config`, or a function that "
        f"takes the recipe and returns another. Received: {name!r}: {change!r}"
    )


def describe(model: keras.Model, make_dataset: Callable, config: dict) -> dict:
    """What training depends on, as JSON.

    It describes the model, its optimizer and the first batch, since a recipe
    may read much more than its configuration.

    Args:
        model: a compiled `keras.Model`.
        make_dataset: callable `(start_step) -> dataset`.
        config: dict.

    Returns:
        A nested dict.
    """
    serialize = keras.saving.serialize_keras_object
    batch = next(iter(make_dataset(0)))
    description = {
        "config": {key: serialize(value) for key, value in config.items()},
        "model": model.get_config(),
        "optimizer": serialize(model.optimizer),
        "first batch": {p: _digest(leaf) for p, leaf in leaves(batch)},
    }
    text = json.dumps(_without_names(description), default=_plain)
    return json.loads(text)


def differences(then: dict, now: dict) -> list[str]:
    """Lines that name what differs between two descriptions."""
    then, now = dict(leaves(then)), dict(leaves(now))
    lines = []
    for path in dict.fromkeys([*then, *now]):
        # A missing value differs from one that is `None`.
        pair = [json.dumps(d[path]) if path in d else "-" for d in (then, now)]
        if pair[0] != pair[1]:
            lines.append(f"{path}: {pair[0]} then, {pair[1]} now")
    return lines


def leaves(tree: Any, path: tuple = ()) -> Iterator[tuple[str, Any]]:
    """`(path, leaf)` of all that is in nested dicts and lists."""
    if isinstance(tree, dict) and tree:
        items = tree.items()
    elif isinstance(tree, list | tuple) and tree:
        items = enumerate(tree)
    else:
        yield ".".join(path), tree
        return
    for key, value in items:
        yield from leaves(value, (*path, str(key)))


def _without_names(tree):
    """Drops names, which Keras numbers in the order of building."""
    if isinstance(tree, dict):
        return {
            str(key): _without_names(value)
            for key, value in tree.items()
            if key != "name"
        }
    if isinstance(tree, list | tuple):
        return [_without_names(value) for value in tree]
    return tree


def _digest(array):
    array = np.ascontiguousarray(keras.ops.convert_to_numpy(array))
    checksum = zlib.crc32(array.tobytes())
    return f"{array.dtype} {list(array.shape)}, checksum {checksum:08x}"


def _plain(value):
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return str(value)
