"""Checks of the arguments of optimizers."""

import math
import numbers
from collections.abc import Mapping
from typing import Any

from keras_dinolm.schedules import Schedule


def checked_number(
    argument: str, value: float, allowed: str, low: float, high: float
) -> float:
    """A finite number in [low, high], or an error that names the argument."""
    if (
        not isinstance(value, numbers.Real)
        or isinstance(value, bool)
        or not math.isfinite(value)
        or not low <= value <= high
    ):
        raise ValueError(
            f"Argument `{argument}` must be {allowed}. "
            f"Received: {argument}={value!r}"
        )
    return value


def checked_value(argument: str, value: float | Schedule) -> float | Schedule:
    """A number, at least 0, or a schedule, or an error."""
    if callable(value):
        return value
    allowed = "a finite number, at least 0, or a schedule"
    return checked_number(argument, value, allowed, 0, math.inf)


def checked_steps(argument: str, value: int) -> int:
    """A number of optimizer updates, or an error."""
    allowed = "an integer, at least 0: a number of optimizer updates"
    checked_number(argument, value, allowed, 0, math.inf)
    if not isinstance(value, numbers.Integral):
        raise ValueError(
            f"Argument `{argument}` must be {allowed}. "
            f"Received: {argument}={value!r}"
        )
    return int(value)


def check_clipping(
    module_clipnorm: float | None, keras_clipping: Mapping[str, Any]
) -> None:
    """Raises an error unless gradients are clipped in one way, or none.

    Args:
        module_clipnorm: float or `None`.
        keras_clipping: dict of Keras' own arguments to their values.
    """
    given = {k: v for k, v in keras_clipping.items() if v is not None}
    if module_clipnorm is not None:
        given = {"module_clipnorm": module_clipnorm, **given}
    for name, value in given.items():
        allowed = "positive, or `None` for no clipping"
        checked_number(name, value, allowed, math.nextafter(0, 1), math.inf)
    if len(given) > 1:
        received = ", ".join(f"{k}={v}" for k, v in given.items())
        raise ValueError(
            "Gradients are clipped in one way: leave all but one of "
            f"{sorted(given)} at `None`. Received: {received}"
        )
