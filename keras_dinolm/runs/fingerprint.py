"""What a run is: its recipe, data, seed and optimizer, to compare with."""

import inspect
import json
import pathlib
import re
import warnings
import weakref
import zlib
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_dinolm.runs import model_state
from keras_dinolm.runs import random_state

# Where configurations of Keras have names of layers.
_NAMES = ("name", "keras_history", "input_layers", "output_layers")
# An error shows so many differences.
_SHOWN = 20
# For each model, the folders that it was trained in, and what it was before.
_TRAINED: Any = weakref.WeakKeyDictionary()


def of_model(model: keras.Model) -> dict:
    """Describes a model, what it minimizes, and its optimizer.

    Args:
        model: a built and compiled `keras.Model`.

    Returns:
        A dict that JSON can hold.
    """
    return as_json(
        {
            "model": {
                "class": type(model).__name__,
                "dtype_policy": model.dtype_policy.name,
                "config": _config(model),
            },
            "loss": _losses(model),
            "optimizer": _optimizer(model.optimizer),
        }
    )


def of_start(model: keras.Model, directory: pathlib.Path) -> tuple[dict, str]:
    """Describes what a run starts with, however often `fit` is called.

    Training moves the weights, and callbacks may change the learning rate. A
    notebook that calls `fit` again with the same objects continues its run,
    so what they were at first is remembered.

    Args:
        model: a built and compiled `keras.Model`.
        directory: path of the run.

    Returns:
        `(description, weights)`: what `of_model` returns with the seed, and
        the checksum of the weights.
    """
    folder = str(directory.resolve())
    known = _TRAINED.setdefault(model, {})
    optimizer, *start = known.get(folder, (None,))
    # Compiled again, it is another run.
    if optimizer is None or optimizer() is not model.optimizer:
        start = [{"seed": _seed(), **of_model(model)}, _weights(model)]
        known[folder] = (weakref.ref(model.optimizer), *start)
    return tuple(start)


def of_data(dataset: Any) -> dict:
    """Describes the data of a run, which starts at step 0.

    Args:
        dataset: what `make_dataset(0)` returned.

    Returns:
        A dict that JSON can hold: a checksum of each array of the first
        batch, and the `origin` that a `view_dataset` has.

    Raises:
        ValueError: if there is no batch.
    """
    origin = getattr(dataset, "origin", None)
    before = random_state.read()
    try:
        batch = next(iter(dataset), None)
    finally:
        # A look at the data must not change the run.
        random_state.write(before)
    if batch is None:
        raise ValueError(
            "`make_dataset(0)` must return a dataset with at least one batch. "
            "Received: one without any"
        )
    digests = {path: _digest(leaf) for path, leaf in leaves(batch)}
    known = origin if isinstance(origin, dict) else {}
    return as_json({**known, "first batch": digests})


def can_be_read_again(dataset: Any) -> bool:
    """Whether looking at the first batch has used nothing up."""
    return not hasattr(dataset, "__next__")


def check_is_same(
    what: str,
    then: dict,
    now: dict,
    fix: str,
    error: type[Exception] = ValueError,
) -> None:
    """Raises unless two descriptions are the same.

    Args:
        what: string. What holds the first description, as in "'runs/a' holds
            a run".
        then: dict. How it was started.
        now: dict. What is asked for now.
        fix: string. A sentence that says what to do.
        error: class of the error.

    Raises:
        Exception: of that class, naming each field that differs.
    """
    lines = differences(then, now)
    if not lines:
        return
    shown = "\n".join(f"  {line}" for line in lines[:_SHOWN])
    if len(lines) > _SHOWN:
        shown += f"\n  ... and {len(lines) - _SHOWN} more"
    raise error(
        f"{what} that was started differently ({len(lines)} "
        f"difference{'' if len(lines) == 1 else 's'}):\n{shown}\n{fix}"
    )


def differences(then: dict, now: dict) -> list[str]:
    """Lists what differs between two descriptions, one line a field."""
    then, now = dict(leaves(then)), dict(leaves(now))
    lines = []
    for path in dict.fromkeys([*then, *now]):
        # A missing value differs from one that is `None`, and NaN is itself.
        pair = [json.dumps(d[path]) if path in d else "-" for d in (then, now)]
        # What an empty dict lacks is listed.
        filled = any(p.startswith(f"{path}.") for p in (*then, *now))
        if pair[0] != pair[1] and not filled:
            before, after = map(_cut, pair)
            lines.append(f"{path}: {before} then, {after} now")
    return lines


def checksum(description: dict) -> str:
    """A checksum of a description."""
    text = json.dumps(description, sort_keys=True)
    return f"{zlib.crc32(text.encode()):08x}"


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


def as_json(description: dict) -> dict:
    """A description as JSON gives it back, with comparable names."""
    text = json.dumps(_comparable(description), default=_plain)
    return json.loads(text)


def make_described(
    make_dataset: Callable[[int], Any],
) -> tuple[dict, Callable[[int], Any]]:
    """Describes the data, and keeps the dataset for the run if it can.

    Args:
        make_dataset: callable `(start_step) -> dataset`.

    Returns:
        `(description, make_dataset)`. The second makes the same datasets as
        the one that was given, with no work done twice.

    Raises:
        ValueError: if there is no batch.
    """
    dataset = make_dataset(0)
    description = of_data(dataset)
    kept = [dataset] if can_be_read_again(dataset) else []

    def make(step: int) -> Any:
        if step == 0 and kept:
            return kept.pop()
        kept.clear()
        return make_dataset(step)

    return description, make


def repeats_itself(description: dict, make_dataset: Callable) -> bool:
    """Whether a second look at the data finds the same first batch."""
    return of_data(make_dataset(0)) == description


def _cut(text):
    return text if len(text) <= 80 else f"{text[:77]}..."


# === Parts of a description ===


def _seed():
    """The seed of `keras.utils.set_random_seed`, if it was called."""
    try:
        # Keras keeps it and shows it to nobody.
        from keras.src.utils.rng_utils import get_random_seed
    except ImportError:
        return None
    return get_random_seed()


def _config(model):
    try:
        return model.get_config()
    except NotImplementedError:  # a class of the user's, as Keras allows
        return {
            variable.path: str(tuple(variable.shape))
            for variable in model.variables
        }


def _losses(model):
    with warnings.catch_warnings():
        # Keras warns of functions that it cannot load again.
        warnings.simplefilter("ignore")
        try:
            config = model.get_compile_config() or {}
        except (NotImplementedError, TypeError, ValueError):
            config = {}
    return {
        name: config.get(name)
        for name in ("loss", "loss_weights")
        if config.get(name) is not None
    }


def _optimizer(optimizer):
    several = getattr(optimizer, "optimizers", None)
    if callable(several):
        return {name: _optimizer(one) for name, one in several().items()}
    return keras.saving.serialize_keras_object(optimizer)


def _weights(model):
    total = 0
    for _, array in model_state.arrays(model_state.groups(model)["model"]):
        total = zlib.crc32(np.ascontiguousarray(array).tobytes(), total)
    return f"{total:08x}"


def _comparable(tree, is_name=False):
    """Drops what differs between two processes that do the same.

    Keras numbers names in the order of building. The code of a lambda tells
    its line in the file.
    """
    if isinstance(tree, dict):
        if tree.get("class_name") == "__lambda__":
            return "a lambda"
        return {
            str(key): _comparable(value, is_name or key in _NAMES)
            for key, value in tree.items()
            if key not in ("shared_object_id", "build_config")
        }
    if isinstance(tree, list | tuple):
        return [_comparable(value, is_name) for value in tree]
    if is_name and isinstance(tree, str):
        return re.sub(r"_\d+$", "", tree)
    return tree


def _digest(leaf):
    try:
        array = np.ascontiguousarray(keras.ops.convert_to_numpy(leaf))
    except Exception:  # a sparse or ragged tensor, an object of the user's
        return type(leaf).__name__
    data = (
        repr(array.tolist()).encode()
        if array.dtype.hasobject
        else array.tobytes()
    )
    checksum = zlib.crc32(data)
    return f"{array.dtype} {list(array.shape)}, checksum {checksum:08x}"


def _plain(value):
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if inspect.isroutine(value) or inspect.isclass(value):
        return getattr(value, "__qualname__", type(value).__name__)
    text = str(value)
    # The address of an object says nothing about it.
    return re.sub(r" at 0x[0-9a-f]+", "", text)
