"""Schedules of straight lines, which have the same bits everywhere."""

import abc
from typing import Any

import numpy as np

from keras_dinolm.schedules.schedule import Schedule
from keras_dinolm.typing import Tensor


class Lines(Schedule, abc.ABC):
    """A value that moves along straight lines from knot to knot.

    Base class of `Linear` and `PiecewiseLinear`. Optimizers and objectives
    call them, as any schedule, for a float. View groups read them by
    `units_at`, in integer arithmetic: the bits are the same on every backend,
    in an input pipeline and in a compiled function, nothing is compiled again
    when the value moves, and a resumed run continues exactly where it was.

    Two of them are equal if they have the same configuration.
    """

    @property
    @abc.abstractmethod
    def knots(self) -> tuple[int, ...]:
        """Ascending optimizer updates between which the value moves."""

    @property
    @abc.abstractmethod
    def values(self) -> tuple[float, ...]:
        """The value at each knot; constant before the first, after the last."""

    def units_at(self, step: int | Tensor, scale: int, xp: Any) -> Tensor:
        """The value at an update in integer units, with the same bits anywhere.

        At knots it is the rounded value. Between them it is the line, to one
        unit. Lines so long that products would not fit into an int32 are
        climbed in stairs, some thousands of them.

        Args:
            step: int, or integer tensor of rank 0, in [0, 2^31).
            scale: int. Units in 1.
            xp: namespace of array functions, see
                `keras_dinolm.views.namespace`.

        Returns:
            int32 `[1]`.
        """
        values = [round(value * scale) for value in self.values]
        step = xp.reshape(xp.asarray(step), (1,))
        if len(values) == 1:
            return step * 0 + values[0]
        widths = np.diff(self.knots)
        moves = np.diff(values)
        rises = np.abs(moves)
        # Coarser steps where the products would not fit into an int32.
        room = 30 - int(rises.max()).bit_length()
        stairs = [1 << max(int(w).bit_length() - room, 0) for w in widths]
        ends = widths // stairs
        begins, widths, rises, signs, stairs, ends = (
            xp.asarray(np.asarray(array))
            for array in (
                self.knots[:-1],
                widths,
                rises,
                np.sign(moves),
                stairs,
                ends,
            )
        )
        gone = xp.minimum(xp.maximum(step - begins, 0), widths) // stairs
        moved = (rises * gone + ends // 2) // ends * signs
        return xp.cumsum(moved)[-1:] + values[0]

    def __eq__(self, other):
        if type(self) is not type(other):
            return NotImplemented
        return self.get_config() == other.get_config()

    def __hash__(self):
        return hash((self.knots, self.values))

    def __repr__(self):
        arguments = ", ".join(
            f"{name}={value!r}"
            for name, value in self.get_config().items()
            if value is not None
        )
        return f"{type(self).__name__}({arguments})"
