"""Nothing at first, then something else."""

import keras
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.schedules.checks import checked_name
from keras_dinolm.schedules.schedule import Schedule
from keras_dinolm.schedules.schedule import value_at
from keras_dinolm.schedules.values import checked_value
from keras_dinolm.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_dinolm")
class Delayed(Schedule):
    """0 at first, then another value or schedule, which counts from there.

    What it multiplies stands still for the first updates: the prototypes
    while their head is still random, or a trained encoder under new heads.

    Args:
        steps: int. Optimizer updates with the value 0.
        then: float or schedule. What follows. Defaults to `1.0`.
        name: optional string.

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    ```python
    import keras_dinolm as kd

    share = kd.schedules.Delayed(200, then=kd.schedules.Warmup(100, 1.0))
    [float(share(step)) for step in (199, 200, 299)]  # [0.0, 0.01, 1.0]
    ```
    """

    def __init__(
        self, steps: int, then: float | Schedule = 1.0, name: str | None = None
    ):
        super().__init__()
        self.steps = arguments.count(
            "steps", steps, 0, meaning="the optimizer updates with the value 0"
        )
        self.then = checked_value("then", then)
        self.name = checked_name(name)

    def __call__(self, step: int | Tensor) -> Tensor:
        step = ops.cast(step, "float32")
        then = value_at(self.then, ops.maximum(step - self.steps, 0.0))
        return ops.where(step < self.steps, 0.0, then)

    def get_config(self) -> dict:
        """A JSON-serialisable dictionary of all arguments."""
        return {
            "steps": self.steps,
            "then": keras.saving.serialize_keras_object(self.then),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict) -> "Delayed":
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
