"""A `DinoLMBackbone` and a head in float64 NumPy, from their formulas."""

import keras
import numpy as np
from scipy.special import erf


def weight(variable):
    return keras.ops.convert_to_numpy(variable).astype("float64")


def dense(layer, x):
    return x @ weight(layer.kernel) + weight(layer.bias)


def gelu(x):
    return 0.5 * x * (1.0 + erf(x / np.sqrt(2.0)))


def layer_norm(layer, x):
    x = x - x.mean(axis=-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6)
    return x * weight(layer.gamma) + weight(layer.beta)


def softmax(scores):
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def unit(x, axis=-1):
    return x / np.linalg.norm(x, axis=axis, keepdims=True)


def rotated(x, position):
    """RoFormer's rotation, pair by pair, as complex numbers."""
    half = x.shape[-1] // 2
    z = x[..., :half] + 1j * x[..., half:]
    angle = position[:, None] * 10_000.0 ** (-np.arange(half) / half)
    z = z * np.exp(1j * angle)
    return np.concatenate([z.real, z.imag], axis=-1)


def attention(backbone, ids, mask):
    """Probabilities `[layers, batch, heads, L, L]`, registers first."""
    count, num_heads = backbone.num_registers, backbone.num_heads
    batch, length = np.shape(ids)
    x = weight(backbone.token_embedding.embeddings)[ids]
    registers = weight(backbone.registers.register_tokens)
    x = np.concatenate([np.tile(registers, (batch, 1, 1)), x], axis=1)
    visible = np.concatenate([np.ones((batch, count), bool), mask], axis=1)
    position = np.maximum(np.arange(count + length) - count, 0)
    layers = []
    for block in backbone.blocks:
        qkv = dense(
            block.attention.query_key_value, layer_norm(block.attention_norm, x)
        )
        q, k, v = (
            part.reshape(batch, count + length, num_heads, -1).swapaxes(1, 2)
            for part in np.split(qkv, 3, axis=-1)
        )
        scores = rotated(q, position) @ rotated(k, position).swapaxes(2, 3)
        scores = scores / np.sqrt(q.shape[-1])
        p = softmax(np.where(visible[:, None, None], scores, -np.inf))
        layers.append(p)
        out = (p @ v).swapaxes(1, 2).reshape(x.shape)
        out = dense(block.attention.output_projection, out)
        x = x + out * weight(block.attention_scale.gain)
        first, second = block.mlp.up, block.mlp.down
        out = dense(second, gelu(dense(first, layer_norm(block.mlp_norm, x))))
        x = x + out * weight(block.mlp_scale.gain)
    return np.stack(layers)


def cosines(tower, head, features):
    """Of projected features with the prototypes, `[..., K]`."""
    *hidden, last = tower.projection(head).dense_layers
    x = features.astype("float64")
    for layer in hidden:
        x = gelu(dense(layer, x))
    return unit(dense(last, x)) @ unit(weight(tower.prototypes(head).kernel), 0)
