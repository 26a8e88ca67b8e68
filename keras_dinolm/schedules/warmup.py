"""A rise from zero, then something else."""

import keras
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.schedules.checks import checked_name
from keras_dinolm.schedules.schedule import Schedule
from keras_dinolm.schedules.schedule import value_at
from keras_dinolm.schedules.values import checked_value
from keras_dinolm.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_dinolm")
class Warmup(Schedule):
    """A linear warm-up from 0, then another value or schedule.

    The inner schedule counts from the end of the warm-up. Update 0 already
    moves: its value is `peak / steps`.

    Args:
        steps: int. Length of the warm-up in optimizer updates; 0 for none.
        then: float or schedule. What follows; its value at its own step 0 is
            the peak of the warm-up.
        name: optional string.

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    ```python
    import keras_dinolm as kd

    rate = kd.schedules.Warmup(
        100, then=kd.schedules.Cosine(1e-3, 1e-6, steps=900)
    )
    float(rate(99))  # 1e-3
    ```
    """

    def __init__(
        self, steps: int, then: float | Schedule, name: str | None = None
    ):
        super().__init__()
        self.steps = arguments.count(
            "steps", steps, 0, meaning="the optimizer updates of the warm-up"
        )
        self.then = checked_value("then", then)
        self.name = checked_name(name)

    def __call__(self, step: int | Tensor) -> Tensor:
        step = ops.cast(step, "float32")
        rise = ops.minimum((step + 1.0) / max(self.steps, 1), 1.0)
        return rise * value_at(self.then, ops.maximum(step - self.steps, 0.0))

    def get_config(self) -> dict:
        """A JSON-serialisable dictionary of all arguments."""
        return {
            "steps": self.steps,
            "then": keras.saving.serialize_keras_object(self.then),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict) -> "Warmup":
        """The inverse of `get_config`.

        Args:
            config: dict.

        Returns:
            The schedule.
        """
        config = dict(config)
        config["then"] = keras.saving.deserialize_keras_object(
            arguments.field(config, "then", cls)
        )
        return cls(**config)
