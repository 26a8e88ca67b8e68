"""Checks of the arguments of a view group.

Each takes the group's name, the argument's name and its value, and returns
the value in the form that the group keeps.
"""

import math
import numbers
from typing import Any
from typing import NoReturn

import numpy as np

from keras_dinolm.schedules.lines import Lines
from keras_dinolm.views.settings import Setting
from keras_dinolm.views.spans import UNIT

# The networks that every batch needs views for, and all that may read some.
ROLES = ("student", "teacher")
READERS = (*ROLES, "gram")


def refuse(
    group: str, argument: str, value: Any, allowed: str, fix: str
) -> NoReturn:
    """Raises a `ValueError` with all that its reader needs to know."""
    raise ValueError(
        f"`{argument}` of view group '{group}' must be {allowed}; {fix}. "
        f"Received: {argument}={value!r}"
    )


def checked_integer(
    group: str, argument: str, value: int, low: int, high: float, fix: str
) -> int:
    """An int in a range."""
    if (
        not isinstance(value, numbers.Integral)
        or isinstance(value, bool)
        or not low <= value <= high
        or value >= 2**31
    ):
        allowed = f"an integer, at least {low}"
        if high < math.inf:
            allowed += f" and at most {high}"
        if callable(value):
            allowed += " (not a schedule, since shapes do not change)"
        refuse(group, argument, value, allowed, fix)
    return int(value)


def checked_setting(
    group: str,
    argument: str,
    value: Setting,
    low: float,
    high: float,
    allowed: str,
    fix: str,
) -> Setting:
    """A float or a schedule of straight lines, in a range."""
    _refuse_other_schedules(group, argument, value)
    if not _lies_between(value, low, high):
        refuse(group, argument, value, allowed, fix)
    return value if isinstance(value, Lines) else float(value)


def checked_range(group: str, argument: str, value: Any) -> tuple[Setting, ...]:
    """A fraction, or a smallest and a largest one, as a pair."""
    single = isinstance(value, numbers.Real) or callable(value)
    try:
        low, high = (value, value) if single else value
    except (TypeError, ValueError):
        low = high = None
    _refuse_other_schedules(group, argument, low, high)
    if (
        not _lies_between(low, 1 / UNIT, 1)
        or not _lies_between(high, 1 / UNIT, 1)
        or not _never_above(low, high)
    ):
        refuse(
            group,
            argument,
            value,
            f"a fraction or a pair (low, high) with {1 / UNIT} <= low <= "
            "high <= 1",
            "0.5 means half of the tokens",
        )
    return tuple(
        end if isinstance(end, Lines) else float(end) for end in (low, high)
    )


def checked_roles(
    group: str, argument: str, value: str | tuple[str, ...]
) -> tuple[str, ...]:
    """Readers of a group, each once, in one order."""
    given = (value,) if isinstance(value, str) else value
    if (
        not isinstance(given, tuple | list | set | frozenset)
        or not given
        or not all(isinstance(role, str) for role in given)
        or len(set(given)) != len(given)
        or not set(given) <= set(READERS)
    ):
        refuse(
            group,
            argument,
            value,
            "'student', 'teacher', 'gram' or several of them",
            "name each once",
        )
    return tuple(role for role in READERS if role in given)


def _refuse_other_schedules(group, argument, *values):
    for value in values:
        if callable(value) and not isinstance(value, Lines):
            refuse(
                group,
                argument,
                value,
                "a number or a schedule that has the same bits everywhere, "
                "`kd.schedules.Linear` or `kd.schedules.PiecewiseLinear`",
                "turn another one into lines by "
                "`kd.schedules.PiecewiseLinear.of(schedule, steps)`",
            )


def _lies_between(value, low, high):
    if isinstance(value, Lines):
        return all(low <= knot <= high for knot in value.values)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return False
    try:
        return low <= float(value) <= high
    except OverflowError:  # an int beyond all floats
        return False


def _never_above(low, high):
    """Whether one end of a range is at most the other, at all steps."""
    # Lines cross at a knot of either, or nowhere.
    knots = [0]
    for end in (low, high):
        knots += end.knots if isinstance(end, Lines) else ()
    lows, highs = (
        np.interp(knots, end.knots, end.values)
        if isinstance(end, Lines)
        else np.full(len(knots), end, "float64")
        for end in (low, high)
    )
    # Where lines touch, the last digit of a float may differ.
    return bool((lows <= highs + 1e-9).all())
