"""Several straight lines, and other schedules as such."""

from collections.abc import Callable
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.schedules.checks import checked_name
from keras_dinolm.schedules.checks import is_update
from keras_dinolm.schedules.lines import Lines
from keras_dinolm.schedules.values import check_values
from keras_dinolm.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_dinolm")
class PiecewiseLinear(Lines):
    """A value that moves along straight lines from knot to knot.

    Args:
        knots: ascending sequence of int in [0, 2^31). Optimizer updates.
        values: sequence of float, as long as `knots`. Value at each knot;
            constant before the first and after the last one.
        name: optional string.

    Raises:
        ValueError: if `knots` do not ascend, or the two differ in length.

    Example:

    ```python
    import keras_dinolm as kd

    # No masks for 1,000 updates, then ever more, up to half of the views.
    masks = kd.schedules.PiecewiseLinear([1_000, 5_000], [0.0, 0.5])
    float(masks(3_000))  # 0.25
    group = kd.views.ViewGroup("global", 2, mask_probability=masks)
    ```

    Reference:
        [Bengio et al., 2009](https://dl.acm.org/doi/10.1145/1553374.1553380)
    """

    def __init__(
        self,
        knots: Sequence[int],
        values: Sequence[float],
        name: str | None = None,
    ):
        super().__init__()
        for argument, given in (("knots", knots), ("values", values)):
            if not isinstance(given, Sequence | np.ndarray) or isinstance(
                given, str | bytes
            ):
                arguments.refuse(argument, given, "a list of numbers")
        knots, values = tuple(knots), tuple(values)
        if (
            not knots
            or not all(map(is_update, knots))
            or any(a >= b for a, b in zip(knots, knots[1:]))
        ):
            raise ValueError(
                "Argument `knots` must hold ascending integers in [0, 2^31), "
                "at least one, and each of them once. "
                f"Received: knots={knots!r}"
            )
        if len(values) != len(knots):
            raise ValueError(
                "Argument `values` must hold one number for each of the "
                f"{len(knots)} `knots`. Received: values={values!r}"
            )
        self._knots = tuple(map(int, knots))
        self._values = tuple(arguments.number("values", v) for v in values)
        self.name = checked_name(name)

    @classmethod
    def of(
        cls, schedule: Callable, steps: int, points: int = 65
    ) -> "PiecewiseLinear":
        """Any schedule as straight lines between sampled points.

        Views cannot call a schedule such as `Cosine`: an input pipeline has
        no access to the backend's functions, and their floats need not have
        the same bits everywhere. So the schedule is evaluated once, here, and
        the views interpolate.

        Args:
            schedule: callable from int to float, such as
                `kd.schedules.Cosine(...)`.
            steps: int, at least 1. Where the schedule ends; constant from
                there.
            points: int, at least 2. Points to sample, evenly from 0 to
                `steps`. Defaults to `65`.

        Returns:
            `PiecewiseLinear`, with values rounded to six decimals (so that
            the last digits of a backend's floats do not matter).

        Raises:
            ValueError: if an argument is out of its range.

        Example:

        ```python
        import keras_dinolm as kd

        schedule = kd.schedules.Cosine(0.0, 0.5, steps=2_000)
        masks = kd.schedules.PiecewiseLinear.of(schedule, steps=2_000)
        float(masks(1_000))  # 0.25
        ```
        """
        if not callable(schedule):
            arguments.refuse(
                "schedule",
                schedule,
                "a callable from int to float, such as `kd.schedules.Cosine`",
            )
        steps = arguments.count(
            "steps", steps, meaning="where the schedule ends"
        )
        points = arguments.count(
            "points", points, 2, meaning="the points to sample"
        )
        check_values("schedule", schedule, [0, steps])
        parts = min(points - 1, steps)
        knots = [steps * part // parts for part in range(parts + 1)]
        return cls(knots, [round(float(schedule(k)), 6) for k in knots])

    @property
    def knots(self) -> tuple[int, ...]:
        return self._knots

    @property
    def values(self) -> tuple[float, ...]:
        return self._values

    def __call__(self, step: int | Tensor) -> Tensor:
        # Differences as integers: they are exact, however late the update.
        step = ops.cast(step, "int32")
        if len(self.knots) == 1:
            return ops.cast(step * 0, "float32") + self.values[0]
        begins = ops.convert_to_tensor(self.knots[:-1], "int32")
        widths = ops.convert_to_tensor(np.diff(self.knots), "float32")
        moves = ops.convert_to_tensor(np.diff(self.values), "float32")
        gone = ops.cast(ops.expand_dims(step, -1) - begins, "float32")
        share = ops.clip(gone / widths, 0.0, 1.0)
        return self.values[0] + ops.sum(moves * share, axis=-1)

    def get_config(self) -> dict:
        """A JSON-serialisable dictionary of all arguments."""
        return {
            "knots": list(self.knots),
            "values": list(self.values),
            "name": self.name,
        }
