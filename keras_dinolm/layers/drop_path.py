"""Dropout and stochastic depth of a residual branch, drawn before use."""

from typing import Any

import keras
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_dinolm")
class DropPath(keras.layers.Layer):
    """Drops a residual branch for whole samples, and single features of it.

    With probability `rate` a sample skips the branch (stochastic depth);
    what is kept is scaled by `1 / (1 - rate)`, so that the mean stays.
    `dropout` drops single features in the same way, and both become one
    factor. `draw` draws the factor without applying it: a rematerialised
    block computes its branch twice and must see the same factor both times,
    so it draws before it enters the part that is repeated.

    Args:
        rate: float in [0, 1). Probability that a sample skips the branch.
        dropout: float in [0, 1). Probability that a feature is dropped.
        seed: int, `keras.random.SeedGenerator` or `None`.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        inputs: float tensor `[batch, ...]`.
        training: bool. Nothing is dropped outside training.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    kd.layers.DropPath(0.5)(np.ones((4, 3)), training=True)  # rows of 0 or 2
    ```

    References:
        - [Deep Networks with Stochastic Depth](https://arxiv.org/abs/1603.09382)
    """

    def __init__(
        self,
        rate: float = 0.0,
        dropout: float = 0.0,
        seed: int | keras.random.SeedGenerator | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.rate = arguments.number("rate", rate, 0, below=1)
        self.dropout = arguments.number("dropout", dropout, 0, below=1)
        if not isinstance(seed, keras.random.SeedGenerator | None):
            seed = arguments.count("seed", seed, 0)
        self.seed = seed
        if self.rate > 0 or self.dropout > 0:
            self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def draw(
        self, inputs: Tensor, training: bool | None = None
    ) -> Tensor | None:
        """Draws the factor for a branch with the shape of `inputs`.

        Args:
            inputs: float tensor `[batch, ...]`; only its shape matters.
            training: bool.

        Returns:
            A tensor that broadcasts against `inputs`, or `None` where nothing
            can be dropped.
        """
        if not training or (self.rate == 0 and self.dropout == 0):
            return None
        shape = ops.shape(inputs)
        factor = None
        if self.rate > 0:
            per_sample = (shape[0],) + (1,) * (len(shape) - 1)
            factor = self._keep(per_sample, self.rate)
        if self.dropout > 0:
            keep = self._keep(shape, self.dropout)
            factor = keep if factor is None else factor * keep
        return factor

    def _keep(self, shape, rate):
        noise = keras.random.uniform(
            shape, dtype="float32", seed=self.seed_generator
        )
        return ops.cast(noise >= rate, self.compute_dtype) / (1.0 - rate)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        factor = self.draw(inputs, training=training)
        return inputs if factor is None else inputs * factor

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "rate": self.rate,
            "dropout": self.dropout,
            "seed": self.seed,
        }
