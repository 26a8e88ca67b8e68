"""Arguments that are a number or a schedule, checked."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

from keras import ops

from keras_dinolm import arguments
from keras_dinolm.schedules.schedule import Schedule
from keras_dinolm.schedules.schedule import value_at


def checked_value(name: str, value: Any, **limits: Any) -> float | Schedule:
    """Returns a number of a range, or a schedule that begins in it.

    A schedule is called at update 0, and those of this package also where
    they turn and where they end. So one that returns NaN, or leaves the
    range, is refused before the run and not in the middle of it.

    Args:
        name: string. The argument, as the user wrote it.
        value: number, or callable from an update to a number.
        **limits: as for `arguments.number`.

    Returns:
        A float, or the schedule.

    Raises:
        ValueError: if it is neither, or is out of range.
    """
    if not callable(value):
        return arguments.number(
            name, value, **limits, meaning="a schedule is allowed, too"
        )
    if isinstance(value, type):
        arguments.refuse(name, value, "a number or a schedule, not a class")
    check_values(name, value, turning_points(value), **limits)
    return value


def check_values(
    name: str, schedule: Any, updates: Iterable[int], **limits: Any
) -> None:
    """Raises unless the values of a schedule are numbers of a range.

    Args:
        name: string. The argument that is the schedule.
        schedule: callable from an update to a number.
        updates: ints. Where it is called.
        **limits: as for `arguments.number`.

    Raises:
        ValueError: if a value is no such number.
    """
    for update in updates:
        try:
            step = ops.convert_to_tensor(update, dtype="int32")
            found = ops.convert_to_numpy(value_at(schedule, step)).item()
        except Exception as error:
            raise ValueError(
                f"Argument `{name}` must be a number or a schedule, which "
                "returns a number for each optimizer update. Received: "
                f"{name}={arguments.shorten(schedule)}, which failed at "
                f"update {update}: {type(error).__name__}: {error}"
            ) from error
        # A float32 at the end of a range may lie one digit beyond it.
        rounded = float(f"{found:.6g}")
        arguments.number(
            name,
            rounded,
            **limits,
            meaning=f"the value of the schedule at update {update}",
        )


def turning_points(schedule: Callable) -> Iterator[int]:
    """Updates at which a schedule begins, turns or ends, as far as is known.

    Args:
        schedule: callable from an update to a number.

    Returns:
        An iterator of ints. Of a schedule of another package, only 0 is known.
    """
    yield 0
    yield from getattr(schedule, "knots", ())
    steps, inner, begin = (
        getattr(schedule, name, None) for name in ("steps", "then", "begin")
    )
    if inner is not None and steps is not None:
        for point in turning_points(inner) if callable(inner) else (0,):
            yield min(steps + point, 2**31 - 1)
    elif begin is not None and steps is not None:
        yield begin
        yield begin + steps


def is_known(schedule: Callable) -> bool:
    """Whether `turning_points` are all places where a schedule may turn.

    Between them it moves one way, so that its values there bound all others.
    """
    inner = getattr(schedule, "then", None)
    room = __name__.rpartition(".")[0]
    return type(schedule).__module__.startswith(f"{room}.") and (
        not callable(inner) or is_known(inner)
    )
