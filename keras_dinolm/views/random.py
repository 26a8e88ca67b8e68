"""Randomness as a pure function of counters.

A draw is `fold(fold(fold(key, row), view), purpose)`. There is no state and no
order of execution, so the same views come out for any parallelism, and a
resumed run starts at any step at no cost. Everything is wrapping int32
arithmetic, which has the same bits in every array library; floats need not,
and are not used.

Reference: C. Wellons, *Prospecting for hash functions* (the `lowbias32`
family; these constants are the improved ones of the same search).
"""

from typing import Any

import numpy as np

from keras_dinolm.typing import Tensor
from keras_dinolm.views.namespace import NUMPY


def _int32(word):
    """The signed value of the low 32 bits of `word`."""
    word &= 0xFFFFFFFF
    return word - (1 << 32) if word >= 1 << 31 else word


_MULTIPLIER_1 = _int32(0x21F0AAAD)
_MULTIPLIER_2 = _int32(0xD35A2D97)
# Odd, near 2^32 divided by the golden ratio: counters land far apart.
_STRIDE = _int32(0x9E3779B9)
_OFFSET = _int32(0x85EBCA6B)


def logical_right_shift(x: Tensor, n: int, xp: Any) -> Tensor:
    """`x >> n` with zeros shifted in, although int32 is signed."""
    return xp.right_shift(x, n) & ((1 << (32 - n)) - 1)


def mix(x: Tensor, xp: Any = NUMPY) -> Tensor:
    """Scrambles the 32 bits of every entry; a bijection.

    Args:
        x: int32 array of any shape.
        xp: namespace of `x`, see `keras_dinolm.views.namespace`.

    Returns:
        int32 array of the same shape.
    """
    x = x ^ logical_right_shift(x, 16, xp)
    x = x * _MULTIPLIER_1
    x = x ^ logical_right_shift(x, 15, xp)
    x = x * _MULTIPLIER_2
    return x ^ logical_right_shift(x, 15, xp)


def fold(key: Tensor, counter: int | Tensor, xp: Any = NUMPY) -> Tensor:
    """A new key from a key and a counter.

    For one key, distinct counters give distinct keys, and for one counter,
    distinct keys do.

    Args:
        key: int32 array, not of rank 0 (NumPy warns of wrapping scalars).
        counter: Python int or int32 array that broadcasts against `key`.
        xp: namespace of the arrays.

    Returns:
        int32 array of the broadcast shape.
    """
    if isinstance(counter, int):
        return mix(key + _int32(counter * _STRIDE + _OFFSET), xp)
    return mix(key + (counter * _STRIDE + _OFFSET), xp)


def stream(seed: int | Tensor, step: int | Tensor, xp: Any = NUMPY) -> Tensor:
    """The key that all draws of one step start from.

    Args:
        seed: int in [0, 2^63), or an integer tensor in [0, 2^31).
        step: int or integer tensor in [0, 2^31).
        xp: namespace of the tensors.

    Returns:
        int32 array of shape `[1]`.

    Raises:
        ValueError: if a Python `seed` or `step` is out of range.
    """
    key = xp.asarray(np.array([_OFFSET]))
    for name, value, bits in (("seed", seed, 63), ("step", step, 31)):
        if isinstance(value, (int, np.integer)):
            value = int(value)
            if not 0 <= value < 1 << bits:
                raise ValueError(
                    f"`{name}` must be an integer in [0, 2^{bits}). "
                    f"Received: {name}={value}"
                )
            high, low = value >> 32, _int32(value)
        else:
            high, low = 0, xp.reshape(xp.asarray(value), (1,))
        key = fold(key, low, xp)
        if name == "seed":
            key = fold(key, high, xp)
    return key


def below(bits: Tensor, bound: int | Tensor, xp: Any = NUMPY) -> Tensor:
    """Uniform integers in `[0, bound)`: the high word of `bits * bound`.

    The product is made of two 16-bit pieces, since int32 is all there is. The
    probability of a value is off by at most `bound / 2^31` of itself.

    Args:
        bits: int32 array of hash values.
        bound: int32 array or int, in [1, 2^15).
        xp: namespace of the arrays.

    Returns:
        int32 array of the broadcast shape.
    """
    high = logical_right_shift(bits, 17, xp)
    low = logical_right_shift(bits, 1, xp) & 0xFFFF
    return xp.right_shift(high * bound + xp.right_shift(low * bound, 16), 15)


def happens(bits: Tensor, probability: int | Tensor, xp: Any = NUMPY) -> Tensor:
    """True with a given probability.

    Args:
        bits: int32 array of hash values.
        probability: int, or int32 array. In units of 2^-16.
        xp: namespace of the array.

    Returns:
        Boolean array of the same shape.
    """
    return logical_right_shift(bits, 16, xp) < probability


def permutation(key: Tensor, n: int, xp: Any = NUMPY) -> Tensor:
    """A random order of `0 .. n - 1`.

    The sort keys are distinct by construction (`fold` is a bijection of the
    counter), so ties, on which array libraries disagree, do not occur.

    Args:
        key: int32 array of shape `[1]`.
        n: int.
        xp: namespace of the array.

    Returns:
        int32 array of shape `[n]`.
    """
    return xp.argsort(fold(key, xp.arange(n), xp))
