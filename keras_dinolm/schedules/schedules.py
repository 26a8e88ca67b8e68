"""Values as functions of the optimizer update.

Momentum, temperatures, weight decay, learning rate and objective weights all
take a number or one of these. They are `keras.optimizers.schedules` objects,
so Keras' own schedules work in the same places.
"""

import math

import keras
from keras import ops

Schedule = keras.optimizers.schedules.LearningRateSchedule


class _Ramp(Schedule):
    """From `start` to `end` in `steps` updates, then constant."""

    def __init__(self, start, end, steps, name=None):
        super().__init__()
        if not steps > 0:
            raise ValueError(
                "Argument `steps` must be positive: the number of optimizer "
                f"updates from `start` to `end`. Received: steps={steps}"
            )
        self.start = float(start)
        self.end = float(end)
        self.steps = int(steps)
        self.name = name

    def progress(self, step):
        step = ops.cast(step, "float32")
        return ops.clip(step / self.steps, 0.0, 1.0)

    def get_config(self):
        return {
            "start": self.start,
            "end": self.end,
            "steps": self.steps,
            "name": self.name,
        }


@keras.saving.register_keras_serializable(package="keras_dinolm")
class Linear(_Ramp):
    """A straight line from `start` to `end`, then constant.

    The usual shape of a teacher-temperature warm-up (DINO: 0.04 to 0.07).

    Args:
        start: float. Value at update 0.
        end: float. Value from update `steps` on.
        steps: int. Length of the ramp in optimizer updates.
        name: optional string.

    Example:

    ```python
    import keras_dinolm as kd

    temperature = kd.schedules.Linear(0.04, 0.07, steps=1_000)
    float(temperature(500))  # 0.055
    ```
    """

    def __call__(self, step):
        return self.start + (self.end - self.start) * self.progress(step)


@keras.saving.register_keras_serializable(package="keras_dinolm")
class Cosine(_Ramp):
    """Half a cosine wave from `start` to `end`, then constant.

    The usual shape of the teacher's momentum (rising) and of weight decay.

    Args:
        start: float. Value at update 0.
        end: float. Value from update `steps` on.
        steps: int. Length of the half wave in optimizer updates.
        name: optional string.

    Example:

    ```python
    import keras_dinolm as kd

    momentum = kd.schedules.Cosine(0.99, 0.9995, steps=20_000)
    float(momentum(0))  # 0.99
    ```
    """

    def __call__(self, step):
        wave = 0.5 - 0.5 * ops.cos(math.pi * self.progress(step))
        return self.start + (self.end - self.start) * wave


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

    Example:

    ```python
    import keras_dinolm as kd

    rate = kd.schedules.Warmup(
        100, then=kd.schedules.Cosine(1e-3, 1e-6, steps=900)
    )
    float(rate(99))  # 1e-3
    ```
    """

    def __init__(self, steps, then, name=None):
        super().__init__()
        if steps < 0:
            raise ValueError(
                "Argument `steps` must not be negative: the number of "
                f"optimizer updates of the warm-up. Received: steps={steps}"
            )
        self.steps = int(steps)
        self.then = then
        self.name = name

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rise = ops.minimum((step + 1.0) / max(self.steps, 1), 1.0)
        return rise * value_at(self.then, ops.maximum(step - self.steps, 0.0))

    def get_config(self):
        return {
            "steps": self.steps,
            "then": keras.saving.serialize_keras_object(self.then),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["then"] = keras.saving.deserialize_keras_object(config["then"])
        return cls(**config)


@keras.saving.register_keras_serializable(package="keras_dinolm")
class Delayed(Schedule):
    """0 at first, then another value or schedule, which counts from there.

    What it multiplies stands still for the first updates: the prototypes
    while their head is still random, or a trained encoder under new heads.

    Args:
        steps: int. Optimizer updates with the value 0.
        then: float or schedule. What follows.
        name: optional string.

    Example:

    ```python
    import keras_dinolm as kd

    share = kd.schedules.Delayed(200, then=kd.schedules.Warmup(100, 1.0))
    [float(share(step)) for step in (199, 200, 299)]  # [0.0, 0.01, 1.0]
    ```
    """

    def __init__(self, steps, then=1.0, name=None):
        super().__init__()
        if steps < 0:
            raise ValueError(
                "Argument `steps` must not be negative: the number of "
                f"optimizer updates with the value 0. Received: steps={steps}"
            )
        self.steps = int(steps)
        self.then = then
        self.name = name

    def __call__(self, step):
        step = ops.cast(step, "float32")
        then = value_at(self.then, ops.maximum(step - self.steps, 0.0))
        return ops.where(step < self.steps, 0.0, then)

    def get_config(self):
        return {
            "steps": self.steps,
            "then": keras.saving.serialize_keras_object(self.then),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["then"] = keras.saving.deserialize_keras_object(config["then"])
        return cls(**config)


def value_at(value, step):
    """The value of a number or schedule at optimizer update `step`."""
    if callable(value):
        return ops.cast(value(step), "float32")
    return ops.convert_to_tensor(float(value), "float32")
