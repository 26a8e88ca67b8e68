"""Checks of the arguments that schedules have in common."""

import numbers

from keras_dinolm import arguments

# Updates are int32 where views and compiled steps read them.
MAX_UPDATE = 2**31 - 1


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
    start = arguments.number("start", start)
    end = arguments.number("end", end)
    steps = arguments.count(
        "steps", steps, meaning="the optimizer updates from `start` to `end`"
    )
    begin = arguments.count(
        "begin", begin, 0, meaning="the optimizer update where it begins"
    )
    if begin + steps > MAX_UPDATE:
        raise ValueError(
            "Arguments `begin` and `steps` must add up to less than 2^31. "
            f"Received: begin={begin}, steps={steps}"
        )
    return start, end, steps, begin


def checked_name(name: str | None) -> str | None:
    """The name of a schedule, or an error."""
    return None if name is None else arguments.string("name", name)
