"""Attention, rotary positions and registers against their definitions."""

import keras
import numpy as np
import pytest

from keras_dinolm import layers
from keras_dinolm.layers.rotary import rotate
from tests.layers.arrays import to_numpy

RNG = np.random.default_rng(0)


def rotated(x, position, wavelength=10_000.0):
    """RoFormer's rotation, pair by pair, as complex numbers."""
    half = x.shape[-1] // 2
    frequency = wavelength ** (-np.arange(half) / half)
    z = x[..., :half] + 1j * x[..., half:]
    z = z * np.exp(1j * position[:, None] * frequency)
    return np.concatenate([z.real, z.imag], axis=-1)


def test_attention_is_softmax_of_scaled_rotated_products():
    x = RNG.normal(size=(2, 6, 8))
    mask = np.array([[1] * 6, [1, 1, 1, 1, 0, 0]], "bool")
    layer = layers.SelfAttention(2)
    cos, sin = layers.RotaryTables(4)(x)
    found = to_numpy(layer(x, mask[:, None, None], cos, sin))

    kernel, bias, out_kernel, out_bias = (
        w.astype("float64") for w in layer.get_weights()
    )
    q, k, v = np.split(x @ kernel + bias, 3, axis=-1)
    heads = []
    for head in (slice(0, 4), slice(4, 8)):
        a = rotated(q[..., head], np.arange(6))
        b = rotated(k[..., head], np.arange(6))
        scores = a @ b.transpose(0, 2, 1) / np.sqrt(4)
        scores = np.where(mask[:, None], scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        heads.append(weights @ v[..., head])
    expected = np.concatenate(heads, axis=-1) @ out_kernel + out_bias
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_each_third_of_the_fused_kernel_is_drawn_as_a_square_one():
    layer = layers.SelfAttention(2)
    layer.build((1, 4, 64))
    kernel = layer.get_weights()[0]
    limit = np.sqrt(6 / 128)  # Glorot's for 64 by 64
    assert limit * 0.95 < np.abs(kernel).max() <= limit
    q, k, v = np.split(kernel, 3, axis=1)
    assert not np.allclose(q, k) and not np.allclose(k, v)


def test_scores_depend_on_distance_alone():
    query, key = RNG.normal(size=(2, 8)).astype("float32")
    cos, sin = layers.RotaryTables(8)(np.zeros((1, 40, 1)))
    q, k = (
        to_numpy(rotate(np.tile(x, (40, 1)), cos, sin)) for x in (query, key)
    )
    scores = q @ k.T
    for distance in (0, 3, 11):
        diagonal = np.diagonal(scores, distance)
        np.testing.assert_allclose(diagonal, diagonal[0], atol=1e-4)
    assert np.std(scores[0]) > 0.1


def test_prefix_tokens_are_not_rotated_and_text_starts_at_zero():
    cos, sin = layers.RotaryTables(4, num_prefix_tokens=3)(np.zeros((1, 6, 1)))
    plain_cos, plain_sin = layers.RotaryTables(4)(np.zeros((1, 3, 1)))
    np.testing.assert_array_equal(to_numpy(cos)[:3], 1.0)
    np.testing.assert_array_equal(to_numpy(sin)[:3], 0.0)
    np.testing.assert_array_equal(to_numpy(cos)[3:], to_numpy(plain_cos))
    np.testing.assert_array_equal(to_numpy(sin)[3:], to_numpy(plain_sin))


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_row_of_padding_alone_is_finite(policy):
    x = RNG.normal(size=(2, 6, 8)).astype("float32")
    mask = np.zeros((2, 1, 1, 6), "bool")
    found = layers.EncoderBlock(2, 16, dtype=policy)(x, attention_mask=mask)
    assert np.isfinite(to_numpy(found)).all()


def test_registers_come_first_are_equal_in_all_rows_and_always_visible():
    tokens = RNG.normal(size=(2, 5, 8)).astype("float32")
    mask = np.array([[1, 1, 1, 0, 0], [0] * 5], "bool")
    layer = layers.Registers(3)
    extended, visible = layer(tokens, mask)
    extended = to_numpy(extended)
    np.testing.assert_allclose(extended[:, 3:], tokens)
    np.testing.assert_array_equal(extended[0, :3], extended[1, :3])
    visible = keras.ops.convert_to_numpy(visible)
    assert visible[:, 0, 0, :3].all()
    np.testing.assert_array_equal(visible[:, 0, 0, 3:], mask)
