"""One straight line."""

import keras
from keras import ops

from keras_dinolm.schedules.checks import checked_name
from keras_dinolm.schedules.checks import checked_ramp
from keras_dinolm.schedules.lines import Lines
from keras_dinolm.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_dinolm")
class Linear(Lines):
    """A straight line from `start` to `end`, constant before and after.

    The usual shape of a teacher-temperature warm-up (DINO: 0.04 to 0.07), and
    of a curriculum of views.

    Args:
        start: float. Value up to update `begin`.
        end: float. Value from update `begin + steps` on.
        steps: int, at least 1. Length of the line in optimizer updates.
        begin: int. Where the line begins. Defaults to `0`.
        name: optional string.

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    ```python
    import keras_dinolm as kd

    temperature = kd.schedules.Linear(0.04, 0.07, steps=1_000)
    float(temperature(500))  # 0.055
    ```

    In a group of views:

    ```python
    group = kd.views.ViewGroup(
        "part",
        count=4,
        word_deletion=kd.schedules.Linear(0.0, 0.1, steps=1_000, begin=10_000),
    )
    ```
    """

    def __init__(
        self,
        start: float,
        end: float,
        steps: int,
        begin: int = 0,
        name: str | None = None,
    ):
        super().__init__()
        self.start, self.end, self.steps, self.begin = checked_ramp(
            start, end, steps, begin
        )
        self.name = checked_name(name)

    @property
    def knots(self) -> tuple[int, ...]:
        return self.begin, self.begin + self.steps

    @property
    def values(self) -> tuple[float, ...]:
        return self.start, self.end

    def __call__(self, step: int | Tensor) -> Tensor:
        gone = ops.cast(step, "float32") - self.begin
        share = ops.clip(gone / self.steps, 0.0, 1.0)
        return self.start + (self.end - self.start) * share

    def get_config(self) -> dict:
        """A JSON-serialisable dictionary of all arguments."""
        return {
            "start": self.start,
            "end": self.end,
            "steps": self.steps,
            "begin": self.begin,
            "name": self.name,
        }
