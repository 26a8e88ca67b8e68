"""A learned gain per feature on a residual branch."""

from typing import Any

import keras
from keras import initializers
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_dinolm")
class LayerScale(keras.layers.Layer):
    """Multiplies each feature by a learned gain that starts small.

    Residual branches that start near zero keep a deep pre-norm encoder close
    to the identity at first, which keeps training stable. Very deep vision
    encoders start at 1e-5; shallow text encoders trained for minutes want 0.1.

    Args:
        initial_value: float. Gain at the start.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        inputs: float tensor `[..., dim]`.

    Returns:
        A tensor like `inputs`.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    kd.layers.LayerScale(0.1)(np.ones((2, 3)))  # all 0.1
    ```

    References:
        - [CaiT](https://arxiv.org/abs/2103.17239)
    """

    def __init__(self, initial_value: float = 0.1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.initial_value = arguments.number("initial_value", initial_value)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        # By this name, the optimizer leaves it out of weight decay.
        self.gain = self.add_weight(
            shape=(input_shape[-1],),
            initializer=initializers.Constant(self.initial_value),
            name="layer_scale",
        )

    def call(self, inputs: Tensor) -> Tensor:
        return ops.multiply(inputs, self.gain)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "initial_value": self.initial_value}
