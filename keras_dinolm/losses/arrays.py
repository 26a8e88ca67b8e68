"""What every loss does to its arguments before the formula starts."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.typing import Tensor

_REAL = "an array of real numbers"


def as_float32(name: str, x: Tensor) -> Tensor:
    """Converts an array of any real dtype to a float32 backend tensor.

    Args:
        name: String. The argument's name, for the message.
        x: Array, tensor or list of numbers.

    Returns:
        Float32 tensor.

    Raises:
        ValueError: If it is no array of real numbers.
    """
    return ops.cast(as_tensor(name, x), "float32")


def as_tensor(name: str, x: Tensor) -> Tensor:
    """Converts an array of any real dtype to a backend tensor.

    Args:
        name: String. The argument's name, for the message.
        x: Array, tensor or list of numbers.

    Returns:
        Tensor of the same dtype.

    Raises:
        ValueError: If it is no array of real numbers.
    """
    if isinstance(x, keras.KerasTensor):
        return x
    try:
        x = ops.convert_to_tensor(x)
    except Exception:
        # Each backend has errors of its own for what is no array.
        arguments.refuse(name, x, _REAL)
    dtype = keras.backend.standardize_dtype(x.dtype)
    if dtype == "string" or dtype.startswith("complex"):
        arguments.refuse(name, x, _REAL)
    return x


def check_shape(
    name: str, x: Tensor, axes: str, sizes: dict[str, int] | None = None
) -> dict[str, int]:
    """Checks the shape of an argument against names of axes.

    Args:
        name: String. The argument's name, for the message.
        x: Tensor.
        axes: String of one letter per axis, for example `"NK"`. A leading
            `"."` stands for any number of further axes.
        sizes: Optional dict from letters to sizes found so far. It is
            extended, so that a second argument is checked against the first.
            Sizes unknown while a graph is traced (`None`) match anything.

    Returns:
        The dict of sizes.

    Raises:
        ValueError: If the rank or a size differs.
    """
    sizes = {} if sizes is None else sizes
    free = axes.startswith(".")
    letters = axes.lstrip(".")
    shape = tuple(x.shape)
    wanted = ", ".join((["..."] if free else []) + list(letters))
    if len(shape) < len(letters) or (len(shape) > len(letters) and not free):
        raise ValueError(
            f"`{name}` must have shape [{wanted}]. "
            f"Received: {name} of shape {shape}."
        )
    named = shape[len(shape) - len(letters) :]
    for letter, size in zip(letters, named, strict=True):
        known = sizes.get(letter)
        if size is None:
            continue
        if known is not None and known != size:
            raise ValueError(
                f"`{name}` must have shape [{wanted}] with {letter}={known}, "
                "as in the arguments before it. "
                f"Received: {name} of shape {shape}."
            )
        sizes[letter] = size
    return sizes


def check_scalar(
    name: str, value: float | Tensor, **limits: Any
) -> float | Tensor:
    """Returns a number of a range as a float, or a scalar tensor as it is.

    A number may be a tensor (a schedule's value inside a compiled step), whose
    value cannot be checked.

    Args:
        name: String. The argument's name, for the message.
        value: Number or scalar tensor.
        **limits: As for `arguments.number`.

    Returns:
        Float or tensor.

    Raises:
        ValueError: If it is a number out of its range, or is no scalar.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, keras.KerasTensor | keras.Variable) or ops.is_tensor(
        value
    ):
        if len(ops.shape(value)):
            arguments.refuse(name, value, "a number or a scalar tensor")
        return value
    return arguments.number(name, value, **limits)


def check_temperature(name: str, value: float | Tensor) -> Tensor:
    """Returns a temperature, a number above 0, as a float32 tensor."""
    return as_float32(name, check_scalar(name, value, above=0))


def check_num_iterations(value: int) -> int:
    """Returns the rounds of Sinkhorn-Knopp, which are a few, or raises."""
    return arguments.integer("num_iterations", value, 1, 1_000)


def l2_normalize(x: Tensor) -> Tensor:
    """Scales the last axis to unit length; zero rows stay zero.

    `keras.ops.normalize` has NaN gradients at zero rows. Here these have a
    zero gradient, and rows are scaled by their largest entry first, so that
    no square overflows or vanishes. (The quotient does not depend on that
    scale, so no gradient needs to flow through it.)
    """
    largest = ops.stop_gradient(ops.max(ops.abs(x), axis=-1, keepdims=True))
    # With `>` in place of `<=`, a row of NaN would turn into zeros.
    zero = largest <= 1e-30
    x = ops.where(zero, 0.0, x / ops.where(zero, 1.0, largest))
    square = ops.sum(ops.square(x), axis=-1, keepdims=True)
    return x / ops.sqrt(ops.where(zero, 1.0, square))
