"""Settings of a view group: numbers, or schedules of straight lines."""

from typing import Any
from typing import TypeAlias

from keras_dinolm.schedules.lines import Lines
from keras_dinolm.typing import Tensor

Setting: TypeAlias = float | Lines


def moves(value: Setting) -> bool:
    """Whether a setting depends on the step."""
    return isinstance(value, Lines)


def highest(value: Setting) -> float:
    """The largest value of a setting at any step."""
    return max(value.values) if isinstance(value, Lines) else value


def last(value: Setting) -> float:
    """The value of a setting at the end of its schedule."""
    return value.values[-1] if isinstance(value, Lines) else value


def units_at(
    value: Setting, scale: int, step: int | Tensor, xp: Any
) -> int | Tensor:
    """A setting at a step, in integer units.

    Args:
        value: float, `Linear` or `PiecewiseLinear`.
        scale: int. Units in 1.
        step: int, or integer tensor of rank 0.
        xp: namespace of the tensors.

    Returns:
        int, or int32 `[1]` for a schedule.
    """
    if isinstance(value, Lines):
        return value.units_at(step, scale, xp)
    return round(value * scale)
