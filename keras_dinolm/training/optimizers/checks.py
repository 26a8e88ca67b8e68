"""Checks of the arguments of optimizers."""

import re
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from keras_dinolm import arguments
from keras_dinolm.schedules.values import checked_value


def checked_clipping(**limits: float | None) -> dict[str, float | None]:
    """Ways to clip gradients, of which one may be given.

    Args:
        **limits: the argument of each way: a number above 0, or `None`.

    Returns:
        The same, with numbers as floats.

    Raises:
        ValueError: for another value, or several ways.
    """
    checked = {
        name: None
        if value is None
        else arguments.number(
            name, value, above=0, meaning="`None` is no clipping"
        )
        for name, value in limits.items()
    }
    given = {k: v for k, v in checked.items() if v is not None}
    if len(given) > 1:
        received = ", ".join(f"{k}={v}" for k, v in given.items())
        raise ValueError(
            "Gradients are clipped in one way: leave all but one of "
            f"{sorted(given)} at `None`. Received: {received}"
        )
    return checked


def checked_patterns(
    name: str, patterns: Sequence[str], num_groups: int = 0
) -> tuple[str, ...]:
    """Regular expressions, or an error.

    Args:
        name: string. The argument.
        patterns: what the user gave.
        num_groups: int. How many groups each must have, at least.

    Returns:
        Tuple of strings.

    Raises:
        ValueError: if one is no regular expression, or has fewer groups.
    """
    given = arguments.strings(name, patterns)
    for pattern in given:
        check_pattern(name, pattern, num_groups)
    return tuple(given)


def check_pattern(name: str, pattern: Any, num_groups: int = 0) -> None:
    """Raises unless this is a regular expression with so many groups."""
    try:
        groups = re.compile(pattern).groups
    except (re.error, TypeError) as error:
        raise ValueError(
            f"Argument `{name}` must hold regular expressions. Received: "
            f"{name} with {pattern!r}, which is none: {error}"
        ) from error
    if groups < num_groups:
        raise ValueError(
            f"Each expression of `{name}` must have a group that captures the "
            "name, as in '^student/(\\w+)_head/'. Received: "
            f"{name} with {pattern!r}"
        )


def checked_multipliers(multipliers: Mapping | None) -> dict:
    """Regular expressions and their numbers or schedules, or an error."""
    if multipliers is None:
        return {}
    arguments.instance(
        "multipliers",
        multipliers,
        Mapping,
        "a dict of regular expression to number or schedule",
    )
    for pattern in multipliers:
        if not isinstance(pattern, str):
            arguments.refuse("multipliers", multipliers, "a dict of strings")
        check_pattern("multipliers", pattern)
    return {
        pattern: checked_value("multipliers", value, low=0)
        for pattern, value in multipliers.items()
    }
