"""Settings of the views that change with the step: a curriculum."""

import bisect
import dataclasses
import math
import numbers

import numpy as np

_MAX_STEP = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class PiecewiseLinear:
    """A number that moves along straight lines from knot to knot.

    `ViewGroup` takes one of these wherever it takes a number that changes no
    shape. The views read it off at each step in integer arithmetic, also
    where the step is a tensor inside a pipeline or a compiled function.
    Hence nothing is compiled again, the bits are the same everywhere, and a
    resumed run goes on exactly where it was: the value is a function of the
    step alone.

    The step is the number of the batch, as `view_dataset` counts it. Under
    gradient accumulation there are several batches to an optimizer update,
    which the schedules of objectives and optimizers count: give
    `TextViews(gradient_accumulation_steps=...)` the same number as the
    optimizer, and these steps are updates, too.

    Args:
        steps: ascending sequence of int in [0, 2^31). The knots.
        values: sequence of float, as long as `steps`. Value at each knot;
            constant before the first and after the last one.

    Raises:
        ValueError: if `steps` do not ascend, or the two differ in length.

    Example:

    ```python
    import keras_dinolm as kd

    # No masks for 1,000 steps, then ever more, up to half of the views.
    mask_probability = kd.views.PiecewiseLinear([1_000, 5_000], [0.0, 0.5])
    mask_probability(3_000)  # 0.25
    group = kd.views.ViewGroup("global", 2, mask_probability=mask_probability)
    ```

    Reference:
        [Bengio et al., 2009](https://dl.acm.org/doi/10.1145/1553374.1553380)
    """

    steps: tuple
    values: tuple

    def __post_init__(self):
        steps, values = tuple(self.steps), tuple(self.values)
        integers = all(
            isinstance(step, numbers.Integral)
            and not isinstance(step, bool)
            and 0 <= step <= _MAX_STEP
            for step in steps
        )
        if not integers or any(a >= b for a, b in zip(steps, steps[1:])):
            raise ValueError(
                "`steps` must be ascending integers in [0, 2^31), each of "
                f"them once. Received: steps={self.steps!r}"
            )
        numeric = all(
            isinstance(value, numbers.Real) and math.isfinite(value)
            for value in values
        )
        if not steps or len(values) != len(steps) or not numeric:
            raise ValueError(
                "`values` must hold one finite number for each of the "
                f"{len(steps)} knots in `steps`, at least one. "
                f"Received: values={self.values!r}"
            )
        object.__setattr__(self, "steps", tuple(map(int, steps)))
        object.__setattr__(self, "values", tuple(map(float, values)))

    def __call__(self, step):
        """The value at a step.

        Args:
            step: int.

        Returns:
            float. The views use it rounded, as `at` gives it.
        """
        right = bisect.bisect_right(self.steps, step)
        if right in (0, len(self.steps)):
            return self.values[min(right, len(self.values) - 1)]
        start, end = self.steps[right - 1 : right + 1]
        low, high = self.values[right - 1 : right + 1]
        return low + (high - low) * (step - start) / (end - start)

    def at(self, step, scale, xp):
        """The value at a step in integer units, with the same bits anywhere.

        At knots it is the rounded value. Between them it is the line, to one
        unit; only lines so long that products would not fit into an int32
        are climbed in stairs, some thousands of them.

        Args:
            step: int, or integer tensor of rank 0, in [0, 2^31).
            scale: int. Units in 1.
            xp: namespace, see `keras_dinolm.views.namespace`.

        Returns:
            int32 `[1]`.
        """
        values = [round(value * scale) for value in self.values]
        step = xp.reshape(xp.asarray(step), (1,))
        if len(values) == 1:
            return step * 0 + values[0]
        widths = np.diff(self.steps)
        moves = np.diff(values)
        rises = np.abs(moves)
        # Coarser steps where the products would not fit into an int32.
        room = 30 - int(rises.max()).bit_length()
        stairs = [1 << max(int(w).bit_length() - room, 0) for w in widths]
        ends = widths // stairs
        begins, widths, rises, signs, stairs, ends = (
            xp.asarray(np.asarray(array))
            for array in (
                self.steps[:-1],
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


def ramp(start, end, steps, begin=0):
    """A straight line from `start` to `end`, constant before and after.

    Args:
        start: float. Value up to step `begin`.
        end: float. Value from step `begin + steps` on.
        steps: int, at least 1. Length of the line.
        begin: int. Where it begins. Defaults to `0`.

    Returns:
        `PiecewiseLinear`.

    Raises:
        ValueError: if `steps` or `begin` is out of its range.

    Example:

    ```python
    import keras_dinolm as kd

    word_deletion = kd.views.ramp(0.0, 0.1, steps=1_000, begin=10_000)
    word_deletion(10_500)  # 0.05
    ```
    """
    if not isinstance(steps, numbers.Integral) or steps < 1:
        raise ValueError(
            "`steps` must be an integer, at least 1: the number of steps from "
            f"`start` to `end`. Received: steps={steps!r}"
        )
    return PiecewiseLinear((begin, begin + steps), (start, end))


def sample_schedule(schedule, steps, points=65):
    """A schedule of any kind as straight lines between sampled points.

    A pipeline cannot call the backend's functions that a schedule is written
    in, and floats need not have the same bits everywhere. So the schedule is
    evaluated here and now, on the host, and the views interpolate.

    Args:
        schedule: callable from int to float, such as
            `kd.schedules.Cosine(...)`.
        steps: int, at least 1. Where the schedule ends; constant from there.
        points: int, at least 2. Points to sample, evenly from 0 to `steps`.
            Defaults to `65`.

    Returns:
        `PiecewiseLinear`, with values rounded to six decimals (so that the
        last digits of a backend's floats do not matter).

    Raises:
        ValueError: if `steps` or `points` is out of its range.

    Example:

    ```python
    import keras_dinolm as kd

    schedule = kd.schedules.Cosine(0.0, 0.5, steps=2_000)
    mask_probability = kd.views.sample_schedule(schedule, steps=2_000)
    mask_probability(1_000)  # 0.25
    ```
    """
    for name, value, low in (("steps", steps, 1), ("points", points, 2)):
        if not isinstance(value, numbers.Integral) or value < low:
            raise ValueError(
                f"`{name}` must be an integer, at least {low}. "
                f"Received: {name}={value!r}"
            )
    parts = min(points - 1, steps)
    knots = [steps * part // parts for part in range(parts + 1)]
    return PiecewiseLinear(
        knots, [round(float(schedule(step)), 6) for step in knots]
    )


def lowest(value):
    """The smallest value of a number or `PiecewiseLinear`."""
    return min(value.values) if isinstance(value, PiecewiseLinear) else value


def highest(value):
    """The largest value of a number or `PiecewiseLinear`."""
    return max(value.values) if isinstance(value, PiecewiseLinear) else value


def units_at(value, scale, step, xp):
    """A number or `PiecewiseLinear` at a step, in integer units.

    Args:
        value: float or `PiecewiseLinear`.
        scale: int. Units in 1.
        step: int, or integer tensor of rank 0.
        xp: namespace of the tensors.

    Returns:
        int, or int32 `[1]` for a `PiecewiseLinear`.
    """
    if isinstance(value, PiecewiseLinear):
        return value.at(step, scale, xp)
    return round(value * scale)
