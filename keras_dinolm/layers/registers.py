"""Learned tokens that give attention a place to work in."""

from typing import Any

import keras
from keras import initializers
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_dinolm")
class Registers(keras.layers.Layer):
    """Puts learned tokens before the sequence, and widens its mask.

    Encoders use tokens of little meaning as scratch space, which spoils their
    token features. Registers are tokens meant for that: everything may attend
    to them, and the encoder drops them from its output. The attention mask is
    made here, once for all blocks.

    Args:
        num_registers: int. How many, 0 for none.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        tokens: float tensor `[batch, length, dim]`.
        padding_mask: bool tensor `[batch, length]`, `True` at real tokens.

    Returns:
        A tuple: tokens `[batch, num_registers + length, dim]`, and a bool
        attention mask `[batch, 1, 1, num_registers + length]`.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    tokens, mask = kd.layers.Registers(4)(
        np.zeros((2, 5, 8)), np.ones((2, 5), "bool")
    )
    tokens.shape, mask.shape  # (2, 9, 8), (2, 1, 1, 9)
    ```

    References:
        - [Vision Transformers Need Registers](https://arxiv.org/abs/2309.16588)
    """

    def __init__(self, num_registers: int = 4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_registers = arguments.count(
            "num_registers", num_registers, 0, meaning="0 means none"
        )

    def build(
        self,
        tokens_shape: tuple[int | None, ...],
        padding_mask_shape: tuple[int | None, ...] | None = None,
    ) -> None:
        self.register_tokens = None
        if self.num_registers:
            self.register_tokens = self.add_weight(
                shape=(self.num_registers, tokens_shape[-1]),
                initializer=initializers.RandomNormal(stddev=0.02),
                name="register_tokens",
            )

    def call(
        self, tokens: Tensor, padding_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        mask = ops.cast(padding_mask, "bool")
        if self.num_registers:
            batch, _, dim = ops.shape(tokens)
            shape = (batch, self.num_registers, dim)
            registers = ops.broadcast_to(self.register_tokens, shape)
            tokens = ops.concatenate(
                [ops.cast(registers, tokens.dtype), tokens], axis=1
            )
            visible = ops.ones(shape[:2], dtype="bool")
            mask = ops.concatenate([visible, mask], axis=1)
        return tokens, mask[:, None, None, :]

    def compute_output_spec(
        self, tokens: Tensor, padding_mask: Tensor
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        batch, length, dim = tokens.shape
        if length is not None:
            length = length + self.num_registers
        return (
            keras.KerasTensor((batch, length, dim), dtype=self.compute_dtype),
            keras.KerasTensor((batch, 1, 1, length), dtype="bool"),
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_registers": self.num_registers}
