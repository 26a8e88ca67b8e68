"""Weights that are no numbers are found when written and when read."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np


def check_finite(variables: Iterable[Any], where: str, fix: str) -> None:
    """Raises if a weight is NaN or infinite, and names it.

    Args:
        variables: iterable of `keras.Variable`.
        where: string. What they belong to, for the message.
        fix: string. A sentence that says what to do.

    Raises:
        ValueError: names the first such weight.
    """
    for variable in variables:
        if not keras.backend.is_float_dtype(variable.dtype):
            continue
        value = keras.ops.convert_to_numpy(variable)
        check_finite_array(variable.path, value, where, fix)


def check_finite_array(
    name: str, value: np.ndarray, where: str, fix: str
) -> None:
    """The same for an array.

    Args:
        name: string.
        value: NumPy array.
        where: string. What it belongs to, for the message.
        fix: string. A sentence that says what to do.

    Raises:
        ValueError: if an element is NaN or infinite.
    """
    # The sum is of the same kind as the worst element, and needs no array.
    with np.errstate(all="ignore"):
        if np.isfinite(np.sum(value, dtype="float64")):
            return
        bad = np.size(value) - np.count_nonzero(
            np.isfinite(value.astype("float64"))
        )
    if bad:
        raise ValueError(
            f"{where} holds weights that are no numbers: '{name}' of shape "
            f"{value.shape} has {bad} of {value.size} values that are NaN or "
            f"infinite. {fix}"
        )
