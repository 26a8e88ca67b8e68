"""All that a model in training is made of, and putting it back."""

import collections
import math
import re
import warnings

import keras
import numpy as np

from keras_dinolm.runs.state_file import CheckpointError


def groups(model):
    """The variables of a model in training.

    Args:
        model: a built and compiled `keras.Model`.

    Returns:
        Dict of `"model"` (weights, teacher, centers, counters, random seeds),
        `"optimizer"` and `"metrics"` to lists of variables.
    """
    if not model.built or getattr(model, "optimizer", None) is None:
        raise ValueError(
            "A checkpoint needs a model that is built and compiled. Received: "
            f"{type(model).__name__} with built={model.built}, "
            f"optimizer={getattr(model, 'optimizer', None)}"
        )
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    metrics = {id(v) for v in model.metrics_variables}
    return {
        "model": [v for v in model.variables if id(v) not in metrics],
        "optimizer": list(model.optimizer.variables),
        "metrics": list(model.metrics_variables),
    }


def arrays(variables):
    """`(name, array)` of each variable, one at a time."""
    for variable in variables:
        yield variable.path, keras.ops.convert_to_numpy(variable.value)


def size(variables):
    """The bytes of all variables."""
    return sum(
        math.prod(variable.shape)
        * np.dtype(keras.backend.standardize_dtype(variable.dtype)).itemsize
        for variable in variables
    )


def pair(variables, stored, group):
    """Finds the stored array of each variable.

    Nothing may be missing, left over, or of another shape or dtype. Where the
    names are the same, they decide. Else they are compared without the
    numbers that Keras appends when a process builds a second model, first
    without those of the whole; among equal names, order decides.

    Args:
        variables: list of variables.
        stored: list of `(name, array)`. Of the array, `shape` and `dtype` are
            looked at.
        group: string, for the error.

    Returns:
        List of `(variable, array)`.

    Raises:
        CheckpointError: naming every variable that does not fit.
    """
    for plain in (_as_it_is, _without_first_number, _without_numbers):
        wanted = _keyed(((v.path, v) for v in variables), plain)
        known = _keyed(stored, plain)
        if set(wanted) == set(known):
            break
    problems = [
        f"  not in the checkpoint: {v.path} {tuple(v.shape)}"
        for key, v in wanted.items()
        if key not in known
    ]
    stored_names = _keyed(((name, name) for name, _ in stored), plain)
    problems += [
        f"  only in the checkpoint: {stored_names[key]} {array.shape}"
        for key, array in known.items()
        if key not in wanted
    ]
    pairs = []
    for key, variable in wanted.items():
        if key not in known:
            continue
        array = known[key]
        dtype = keras.backend.standardize_dtype(variable.dtype)
        if tuple(variable.shape) != array.shape or dtype != str(array.dtype):
            problems.append(
                f"  {variable.path}: {tuple(variable.shape)} {dtype} in the "
                f"model, {array.shape} {array.dtype} in the checkpoint"
            )
        pairs.append((variable, array))
    if problems:
        shown = problems[:20]
        if len(problems) > len(shown):
            shown.append(f"  ... and {len(problems) - len(shown)} more")
        raise CheckpointError(
            f"The checkpoint does not fit: {len(problems)} of "
            f"{len(variables)} {group} variables differ. Build and compile the "
            "model as in the run that wrote it, or use another folder.\n"
            + "\n".join(shown)
        )
    return pairs


def not_finite(pairs):
    """Names the variables whose values show that a run has diverged.

    Weights that train must be finite. Others may hold an infinity on purpose,
    but no NaN.

    Args:
        pairs: iterable of `(variable, array)`.

    Returns:
        List of strings.
    """
    names = []
    for variable, array in pairs:
        if array.dtype.kind not in "fcV":
            continue
        # numpy calls bfloat16 and other small floats void, "V".
        small = array.dtype.kind == "V"
        values = array.astype("float32") if small else array
        trains = getattr(variable, "trainable", False)
        if np.isnan(values).any() or trains and not np.isfinite(values).all():
            names.append(variable.path)
    return names


def assign(pairs):
    """Puts the arrays into the variables."""
    for variable, array in pairs:
        if variable.path.endswith("learning_rate"):
            _tell_of_learning_rate(variable, array)
        variable.assign(array)


def _tell_of_learning_rate(variable, array):
    now = keras.ops.convert_to_numpy(variable.value)
    if not np.array_equal(now, array):
        warnings.warn(
            "The run resumes with the learning rate of the checkpoint, "
            f"{float(array):g}, not with the {float(now):g} given to "
            "`compile`. To change it, assign `model.optimizer.learning_rate` "
            "in a callback, or give a schedule.",
            stacklevel=2,
        )


def _as_it_is(name):
    return name


def _without_first_number(name):
    """Without that of the optimizer or the model, which Keras numbers, too."""
    return re.sub(r"^([^/]*?)_\d+/", r"\1/", name)


def _without_numbers(name):
    return re.sub(r"_\d+(?=[/_]|$)", "", name)


def _keyed(named, plain):
    seen = collections.Counter()
    keyed = {}
    for name, value in named:
        name = plain(name)
        keyed[name, seen[name]] = value
        seen[name] += 1
    return keyed
