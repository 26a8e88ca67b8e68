"""What a schedule is, and its value at an optimizer update."""

from typing import TYPE_CHECKING

import keras
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.typing import Tensor

if TYPE_CHECKING:
    # Keras has no types, so a checker would see anything here.
    class Schedule:
        def __call__(self, step: Tensor) -> Tensor: ...

else:
    Schedule = keras.optimizers.schedules.LearningRateSchedule


def value_at(value: float | Schedule, step: int | Tensor) -> Tensor:
    """The value of a number or schedule at an optimizer update.

    Code that takes either calls this, so that it need not ask which it has.

    Args:
        value: float or schedule.
        step: int or integer tensor. The optimizer update.

    Returns:
        A float32 tensor of rank 0.

    Raises:
        ValueError: if `value` is neither, or `step` is no integer.

    Example:

    ```python
    import keras_dinolm as kd

    kd.schedules.value_at(0.1, step=7)  # 0.1
    kd.schedules.value_at(kd.schedules.Linear(0.0, 1.0, steps=10), 7)  # 0.7
    ```
    """
    if not isinstance(step, keras.Variable) and not ops.is_tensor(step):
        step = arguments.count("step", step, 0)
    if callable(value):
        return ops.cast(value(step), "float32")
    return ops.convert_to_tensor(arguments.number("value", value), "float32")
