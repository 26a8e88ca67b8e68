"""Learned directions that features are assigned to."""

from typing import Any

import keras
from keras import initializers
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.layers.normalize import l2_normalize
from keras_dinolm.typing import Tensor

FEW_PROTOTYPES = (
    "with a single prototype every input gets the same assignment, the loss is "
    "0 and nothing is learned; use a few hundred for small corpora"
)


@keras.saving.register_keras_serializable(package="keras_dinolm")
class Prototypes(keras.layers.Layer):
    """Scores unit vectors against prototypes of unit length.

    With inputs on the sphere, a logit is a cosine in [-1, 1], and the
    temperature of the loss alone sets its scale: no prototype can win by
    being long. The length is divided out in the forward pass, so that any
    optimizer works; it has no gain of its own. Everything here is float32,
    since the loss divides logits by temperatures of a few hundredths.

    Args:
        num_prototypes: int, at least 2.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        inputs: float tensor `[..., dim]`, of unit length.

    Returns:
        float32 tensor `[..., num_prototypes]`.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    prototypes = kd.layers.Prototypes(num_prototypes=8)
    prototypes(kd.layers.l2_normalize(np.ones((2, 16)))).shape  # (2, 8)
    ```

    References:
        - [DINO](https://arxiv.org/abs/2104.14294)
        - [Weight Normalization](https://arxiv.org/abs/1602.07868)
    """

    def __init__(self, num_prototypes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_prototypes = arguments.count(
            "num_prototypes", num_prototypes, 2, meaning=FEW_PROTOTYPES
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        dim: Any = input_shape[-1]
        # Columns of unit length on average: a step of the optimizer then
        # turns them by about as much as it moves the rest of the network.
        self.kernel = self.add_weight(
            shape=(dim, self.num_prototypes),
            initializer=initializers.RandomNormal(stddev=dim**-0.5),
            autocast=False,
            name="prototypes",
        )

    def directions(self) -> Tensor:
        """The prototypes, float32 `[dim, num_prototypes]`, of unit length."""
        return l2_normalize(self.kernel, axis=0)

    def call(self, inputs: Tensor) -> Tensor:
        return ops.matmul(ops.cast(inputs, "float32"), self.directions())

    def compute_output_spec(self, inputs: Tensor) -> keras.KerasTensor:
        shape = (*inputs.shape[:-1], self.num_prototypes)
        return keras.KerasTensor(shape, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_prototypes": self.num_prototypes}
