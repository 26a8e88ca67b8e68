"""Weights from a file: all of them, each in its place, or none."""

import contextlib
import io
import json
import pathlib
import re
import tempfile
import zipfile
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_dinolm.typing import Path

# Where a learner saves what its optimizer is, see `Learner`.
RECORD = "optimizer"


def load_verified(
    model: Any, load: Callable[[], Any], filepath: Path, partly: bool
) -> None:
    """Loads a file of weights, or leaves the model as it is.

    Keras loads what it finds by the names of attributes, leaves out what only
    the file has, and loads what an optimizer knows by position.

    Args:
        model: a `Distillation`.
        load: callable that loads the file as Keras does.
        filepath: string or path of the file.
        partly: boolean. Whether what does not fit may be left out.

    Raises:
        ValueError: naming what only the file or only the model has, an
            optimizer of another class, or weights that are not finite.
    """
    stored = _read(filepath)
    if stored is not None and not partly:
        _check_fits(model, stored, filepath)
        _check_optimizers(model, stored, filepath)
    variables = _variables(model)
    before = [np.array(keras.ops.convert_to_numpy(v)) for v in variables]
    try:
        load()
        _check_finite(variables, filepath)
    except BaseException:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
        raise


def describe_optimizer(optimizer: keras.optimizers.Optimizer) -> np.ndarray:
    """What the slots of an optimizer are, as bytes that HDF5 can hold.

    Args:
        optimizer: a built optimizer.

    Returns:
        A uint8 array of JSON: the class, and kind and shape of each slot.
    """
    inner = getattr(optimizer, "inner_optimizer", None)
    classes = [type(o).__name__ for o in (optimizer, inner) if o is not None]
    slots = [
        [variable.name.rsplit("_", 1)[-1], list(variable.shape)]
        for variable in optimizer.variables
    ]
    text = json.dumps({"class": " of ".join(classes), "slots": slots})
    return np.frombuffer(text.encode(), "uint8")


def _variables(model):
    optimizer = getattr(model, "optimizer", None)
    slots = [] if optimizer is None else optimizer.variables
    found = {id(v): v for v in (*model.variables, *slots)}
    return list(found.values())


def _read(filepath):
    """`{name: shape}` of a file, and the records; `None` of another kind."""
    import h5py

    path = pathlib.Path(filepath).expanduser()
    with contextlib.ExitStack() as stack:
        if path.name.endswith(".weights.h5") and path.is_file():
            source: Any = path
        elif path.name.endswith(".keras") and zipfile.is_zipfile(path):
            archive = stack.enter_context(zipfile.ZipFile(path))
            try:
                source = io.BytesIO(archive.read("model.weights.h5"))
            except KeyError:
                return None
        else:
            return None
        try:
            file = stack.enter_context(h5py.File(source, "r"))
        except OSError as error:
            raise ValueError(
                f"'{filepath}' is no file of weights, or is damaged: {error}"
            ) from None
        found = {}

        def visit(name, item):
            if isinstance(item, h5py.Dataset):
                record = re.search(f"([^/]+)/vars/{RECORD}$", name)
                found[name] = (
                    (record[1], bytes(np.array(item, "uint8")))
                    if record
                    else tuple(item.shape)
                )

        file.visititems(visit)
    return found


def _is_of_optimizer(name):
    parts = name.split("/")
    return any(p == RECORD or p.startswith("optimizer_of_") for p in parts)


def _check_optimizers(model, stored, filepath):
    if getattr(model, "optimizer", None) is None:
        return
    records = dict(
        record
        for name, record in stored.items()
        if name.endswith(f"/vars/{RECORD}")
    )
    for learner in model.learners():
        then = records.get(learner.name)
        now = bytes(describe_optimizer(learner.optimizer))
        if then is not None and then != now:
            then, now = map(_class, (then, now))
            raise ValueError(
                f"'{filepath}' holds the state of another optimizer of "
                f"{learner.name!r}: {then} then, {now} now. Load the weights "
                "before `compile`, or compile with the optimizer of then."
            )


def _class(record):
    try:
        content = json.loads(record)
        return f"{content['class']} of {len(content['slots'])} variables"
    except (KeyError, TypeError, ValueError):
        return "one that is not known"


def _check_fits(model, stored, filepath):
    """Compares a file with the one that the model would be saved to.

    Which variables Keras saves, and where, only Keras knows.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "own.weights.h5")
        model.save_weights(path)
        own = _read(path)
    lines = []
    for name in dict.fromkeys([*own, *stored]):
        if _is_of_optimizer(name) or own.get(name) == stored.get(name):
            continue
        shown = "/".join(p for p in name.split("/") if p != "vars")
        if name not in own:
            lines.append(f"  only in the file: {shown} {stored[name]}")
        elif name not in stored:
            lines.append(f"  not in the file: {shown} {own[name]}")
        else:
            lines.append(
                f"  {shown}: {own[name]} in the model, {stored[name]} in the "
                "file"
            )
    if not lines:
        return
    more = len(lines) - 20
    lines = [*lines[:20], *([f"  ... and {more} more"] if more > 0 else [])]
    raise ValueError(
        f"'{filepath}' does not fit the model; nothing was loaded:\n"
        + "\n".join(lines)
        + "\nBuild the model as it was when the file was saved (objectives, "
        "heads, names), or pass `skip_mismatch=True` to load what fits."
    )


def _check_finite(variables, filepath):
    bad = []
    for variable in variables:
        if "float" not in keras.backend.standardize_dtype(variable.dtype):
            continue
        value = keras.ops.convert_to_numpy(variable).astype("float32")
        if np.isnan(value).any() or (
            variable.trainable and np.isinf(value).any()
        ):
            bad.append(variable.path)
    if bad:
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise ValueError(
            f"'{filepath}' holds weights that are not finite: "
            f"{', '.join(bad[:3])}{more}. The run that saved it had diverged; "
            "nothing was loaded. Use a file from before."
        )
