"""Half a cosine wave."""

import math

import keras
from keras import ops

from keras_dinolm.schedules.checks import checked_name
from keras_dinolm.schedules.checks import checked_ramp
from keras_dinolm.schedules.schedule import Schedule
from keras_dinolm.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_dinolm")
class Cosine(Schedule):
    """Half a cosine wave from `start` to `end`, constant before and after.

    The usual shape of the teacher's momentum (rising) and of weight decay.
    View groups do not take it as it is; see `PiecewiseLinear.of`.

    Args:
        start: float. Value up to update `begin`.
        end: float. Value from update `begin + steps` on.
        steps: int, at least 1. Length of the half wave in optimizer updates.
        begin: int. Where the wave begins. Defaults to `0`.
        name: optional string.

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    ```python
    import keras_dinolm as kd

    momentum = kd.schedules.Cosine(0.99, 0.9995, steps=20_000)
    float(momentum(0))  # 0.99
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

    def __call__(self, step: int | Tensor) -> Tensor:
        gone = ops.cast(step, "float32") - self.begin
        share = ops.clip(gone / self.steps, 0.0, 1.0)
        wave = 0.5 - 0.5 * ops.cos(math.pi * share)
        return self.start + (self.end - self.start) * wave

    def get_config(self) -> dict:
        """A JSON-serialisable dictionary of all arguments."""
        return {
            "start": self.start,
            "end": self.end,
            "steps": self.steps,
            "begin": self.begin,
            "name": self.name,
        }
