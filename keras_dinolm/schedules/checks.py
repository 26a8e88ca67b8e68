"""Checks of the arguments that schedules have in common."""

import math
import numbers

# Updates are int32 where views and compiled steps read them.
MAX_UPDATE = 2**31 - 1


def checked_number(argument: str, value: float) -> float:
    """A finite number as a float, or an error that names the argument."""
    if (
        not isinstance(value, numbers.Real)
        or isinstance(value, bool)
        or not math.isfinite(value)
    ):
        raise ValueError(
            f"Argument `{argument}` must be a finite number. "
            f"Received: {argument}={value!r}"
        )
    return float(value)


def checked_updates(argument: str, value: int, low: int, meaning: str) -> int:
    """A number of updates as an int, or an error that names the argument."""
    if not is_update(value) or value < low:
        raise ValueError(
            f"Argument `{argument}` must be an integer in [{low}, 2^31): "
            f"{meaning}. Received: {argument}={value!r}"
        )
    return int(value)


def is_update(value: int) -> bool:
    """Whether a value is an integer in [0, 2^31)."""
    return (
        isinstance(value, numbers.Integral)
        and not isinstance(value, bool)
        and 0 <= value <= MAX_UPDATE
    )


def checked_ramp(
    start: float, end: float, steps: int, begin: int
) -> tuple[float, float, int, int]:
    """The arguments of a schedule from one value to another."""
    start = checked_number("start", start)
    end = checked_number("end", end)
    steps = checked_updates(
        "steps", steps, 1, "the optimizer updates from `start` to `end`"
    )
    begin = checked_updates(
        "begin", begin, 0, "the optimizer update where it begins"
    )
    if begin + steps > MAX_UPDATE:
        raise ValueError(
            "Arguments `begin` and `steps` must add up to less than 2^31. "
            f"Received: begin={begin}, steps={steps}"
        )
    return start, end, steps, begin


def checked_then(value):
    """A number or schedule that follows, or an error."""
    return value if callable(value) else checked_number("then", value)
