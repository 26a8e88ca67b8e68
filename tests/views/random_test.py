"""The hash behaves like a random function, on the counters that we feed it."""

import numpy as np
import pytest

from keras_dinolm.views.namespace import NUMPY
from keras_dinolm.views.random import below
from keras_dinolm.views.random import fold
from keras_dinolm.views.random import happens
from keras_dinolm.views.random import logical_right_shift
from keras_dinolm.views.random import mix
from keras_dinolm.views.random import permutation
from keras_dinolm.views.random import stream

# Everything here is NumPy; `agreement_test.py` compares the backends with it.
pytestmark = pytest.mark.once

N = 1 << 16


def one(value):
    return np.array([value], np.int32)


def bits_of(x):
    """`[N, 32]` of 0 and 1."""
    return (x.view(np.uint32)[:, None] >> np.arange(32, dtype=np.uint32)) & 1


def chi_square(counts):
    """Standardised chi-square against equal counts: about N(0, 1)."""
    expected = counts.sum() / counts.size
    freedom = counts.size - 1
    statistic = ((counts - expected) ** 2 / expected).sum()
    return (statistic - freedom) / np.sqrt(2 * freedom)


def draws_along(axis):
    """Hash values where one of seed, step, row, view and draw counts up."""
    n = np.arange(N, dtype=np.int32)
    if axis in ("seed", "step"):
        n = n[: 1 << 13]
        make = (
            (lambda i: stream(i, 5))
            if axis == "seed"
            else (lambda i: stream(5, i))
        )
        return np.concatenate([make(int(i)) for i in n])
    key = stream(3, 4)
    if axis == "row":
        return fold(fold(fold(key, n), 1), 2)
    return fold(fold(fold(key, 7), 1), n)


AXES = ("seed", "step", "row", "draw")


@pytest.mark.parametrize("axis", AXES)
def test_every_bit_is_balanced(axis):
    bits = bits_of(draws_along(axis))
    error = np.sqrt(0.25 / len(bits))
    assert np.abs(bits.mean(0) - 0.5).max() < 5 * error


@pytest.mark.parametrize("axis", AXES)
def test_neighbouring_counters_are_uncorrelated(axis):
    bits = bits_of(draws_along(axis)[: 1 << 14]).astype("float32") * 2 - 1
    for lag in (1, 2, 128):
        # All pairs of a bit here and a bit there: 1,024 correlations.
        product = bits[:-lag].T @ bits[lag:] / (len(bits) - lag)
        assert np.abs(product).max() < 6 / np.sqrt(len(bits) - lag)


@pytest.mark.parametrize("axis", AXES)
def test_values_and_pairs_are_uniform(axis):
    values = below(draws_along(axis), 37)
    assert abs(chi_square(np.bincount(values, minlength=37))) < 5
    pairs = values[:-1] * 37 + values[1:]
    assert abs(chi_square(np.bincount(pairs, minlength=37 * 37))) < 5


def test_one_input_bit_flips_half_of_the_output_bits():
    x = mix(np.arange(N, dtype=np.int32))
    for bit in range(32):
        flipped = mix(x) ^ mix(x ^ np.int32((1 << bit) - (bit == 31) * 2**32))
        share = bits_of(flipped).mean(0)
        assert np.abs(share - 0.5).max() < 0.02


def test_mix_is_a_bijection_with_values_computed_by_hand():
    x = np.arange(N, dtype=np.int32) * np.int32(65521)
    assert len(np.unique(mix(x))) == N

    def by_hand(value):
        value ^= value >> 16
        value = value * 0x21F0AAAD % 2**32
        value ^= value >> 15
        value = value * 0xD35A2D97 % 2**32
        return value ^ value >> 15

    some = x[:: N // 50]
    expected = [by_hand(int(value)) for value in some.view(np.uint32)]
    assert mix(some).view(np.uint32).tolist() == expected


def test_logical_shift_moves_zeros_in():
    x = np.array([-1, -(2**31), 5], np.int32)
    for n in (1, 15, 31):
        shifted = logical_right_shift(x, n, NUMPY)
        expected = [(int(value) % 2**32) >> n for value in x]
        assert shifted.tolist() == expected


@pytest.mark.parametrize("bound", [1, 2, 37, 128, 32767])
def test_below_is_the_exact_high_word(bound):
    bits = mix(np.arange(4096, dtype=np.int32))
    bits[:2] = -1, 0
    expected = [((int(value) % 2**32) >> 1) * bound >> 31 for value in bits]
    assert below(bits, bound).tolist() == expected
    assert below(bits[:1], bound) == bound - 1


def test_happens_has_the_probability_asked_for():
    bits = mix(np.arange(N, dtype=np.int32))
    assert not happens(bits, 0).any()
    assert happens(bits, 65536).all()
    error = np.sqrt(0.3 * 0.7 / N)
    assert abs(happens(bits, round(0.3 * 65536)).mean() - 0.3) < 5 * error


def test_permutations_are_permutations_and_uniform():
    places = np.zeros((8, 8), int)
    for step in range(4000):
        order = permutation(stream(1, step), 8)
        assert sorted(order) == list(range(8))
        places[np.arange(8), order] += 1
    assert abs(chi_square(places)) < 5


def test_large_seeds_differ_and_small_ones_agree_with_tensors():
    keys = [stream(seed, 0)[0] for seed in (0, 1, 2**31, 2**32, 2**62)]
    assert len(set(keys)) == 5
    assert stream(7, 9) == stream(np.array(7), np.array([9], np.int64))


@pytest.mark.parametrize(
    "name, value",
    [("seed", -1), ("seed", 2**63), ("step", -1), ("step", 2**31)],
)
def test_counters_out_of_range_are_named(name, value):
    with pytest.raises(ValueError, match=rf"`{name}` .*Received: {name}="):
        stream(**{"seed": 0, "step": 0, name: value})
