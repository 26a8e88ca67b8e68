"""Rotary positions: tables for a forward pass, and a rotation in each block."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.typing import Tensor


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotates pairs of features by the angle of their position.

    Feature `i` and feature `i + dim / 2` form a pair, so that scores between
    two rotated vectors depend on the distance of their positions alone.

    Args:
        x: float tensor `[..., dim]`.
        cos: float tensor that broadcasts to `[..., dim / 2]`.
        sin: as `cos`.

    Returns:
        A tensor like `x`.
    """
    first, second = ops.split(x, 2, axis=-1)
    return ops.concatenate(
        [first * cos - second * sin, second * cos + first * sin], axis=-1
    )


@keras.saving.register_keras_serializable(package="keras_dinolm")
class RotaryTables(keras.layers.Layer):
    """Cosines and sines of rotary position embedding for a sequence.

    The tables depend only on the length. All blocks of an encoder share
    them, so they are a layer of their own, called once. Prefix tokens
    (registers) have no place in the text: their angle is 0, and the first
    token of the text has position 0 as well.

    Args:
        dim: int. Size of an attention head, even.
        num_prefix_tokens: int. Leading tokens that are not rotated.
        max_wavelength: float. Longest period, in tokens over 2 pi.
        scaling_factor: float. Positions are divided by it (position
            interpolation): with 4, a text of 512 tokens spans the angles
            that one of 128 spanned.
        position_jitter: float, at least 1. In training, the positions of a
            batch are multiplied by one random number, log-uniform between
            `1 / position_jitter` and `position_jitter`, so that what is
            learned holds at other lengths. DINOv3 scales the coordinates of
            its patches by up to 2. The default of 1 means no jitter.
        seed: int or `None`. Seed of the jitter.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        tokens: tensor `[batch, num_prefix_tokens + length, ...]`; only its
            length matters.
        training: boolean. There is no jitter outside training.

    Returns:
        Two tensors `[num_prefix_tokens + length, dim / 2]`.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    cos, sin = kd.layers.RotaryTables(dim=64)(np.zeros((2, 10, 128)))
    cos.shape  # (10, 32)
    ```

    References:
        - [RoFormer](https://arxiv.org/abs/2104.09864)
        - [Position Interpolation](https://arxiv.org/abs/2306.15595)
        - [DINOv3](https://arxiv.org/abs/2508.10104) (jitter)
    """

    def __init__(
        self,
        dim: int,
        num_prefix_tokens: int = 0,
        max_wavelength: float = 10_000.0,
        scaling_factor: float = 1.0,
        position_jitter: float = 1.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dim = arguments.count("dim", dim)
        if self.dim % 2:
            raise ValueError(
                "Argument `dim` must be even: rotary embedding rotates pairs "
                "of features of a head. Choose `hidden_dim` and `num_heads` "
                f"so that hidden_dim / num_heads is even. Received: dim={dim}"
            )
        self.num_prefix_tokens = arguments.count(
            "num_prefix_tokens", num_prefix_tokens, 0
        )
        self.max_wavelength = arguments.number(
            "max_wavelength",
            max_wavelength,
            above=0,
            meaning="the longest period of the rotary positions",
        )
        self.scaling_factor = arguments.number(
            "scaling_factor",
            scaling_factor,
            above=0,
            meaning="positions are divided by it, and 1 leaves them as they "
            "are",
        )
        self.position_jitter = arguments.number(
            "position_jitter",
            position_jitter,
            1,
            meaning="positions are multiplied by up to this number, and 1 is "
            "no jitter",
        )
        if seed is not None:
            seed = arguments.count("seed", seed, 0)
        self.seed = seed
        if self.position_jitter > 1:
            self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(
        self, tokens: Tensor, training: bool | None = None
    ) -> tuple[Tensor, Tensor]:
        frequency = self.max_wavelength ** (
            -np.arange(0, self.dim, 2, dtype="float64") / self.dim
        )
        frequency = frequency / self.scaling_factor
        length = ops.shape(tokens)[1]
        position = ops.arange(length, dtype="float32") - self.num_prefix_tokens
        if training and self.position_jitter > 1:
            position = position * self._draw()
        # Float32 under any policy: half precision cannot count to 512.
        angle = ops.maximum(position, 0.0)[:, None] * ops.convert_to_tensor(
            frequency[None, :], dtype="float32"
        )
        return (
            ops.cast(ops.cos(angle), self.compute_dtype),
            ops.cast(ops.sin(angle), self.compute_dtype),
        )

    def _draw(self):
        widest = math.log(self.position_jitter)
        exponent = keras.random.uniform(
            (), -widest, widest, dtype="float32", seed=self.seed_generator
        )
        return ops.exp(exponent)

    def compute_output_spec(
        self, tokens: Tensor, training: bool | None = None
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        shape = (tokens.shape[1], self.dim // 2)
        return (
            keras.KerasTensor(shape, dtype=self.compute_dtype),
            keras.KerasTensor(shape, dtype=self.compute_dtype),
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "dim": self.dim,
            "num_prefix_tokens": self.num_prefix_tokens,
            "max_wavelength": self.max_wavelength,
            "scaling_factor": self.scaling_factor,
            "position_jitter": self.position_jitter,
            "seed": self.seed,
        }
