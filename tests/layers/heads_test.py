"""Projection head and prototypes: unit length, float32, safe gradients."""

import keras
import numpy as np
import pytest

from keras_dinolm import layers
from tests.gradients import value_and_grad
from tests.layers.arrays import to_numpy

RNG = np.random.default_rng(0)


def test_projections_have_unit_length():
    head = layers.ProjectionHead(hidden_dim=16, bottleneck_dim=4)
    found = to_numpy(head(RNG.normal(size=(5, 8))))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert [w.shape for w in head.weights] == [
        (8, 16), (16,), (16, 16), (16,), (16, 4), (4,),
    ]  # fmt: skip


@pytest.mark.parametrize("scale", [0.0, 1e-20, 1.0, 1e6])
def test_normalization_is_finite_with_its_gradient(scale):
    direction = np.array([3.0, 4.0])
    target = keras.ops.convert_to_tensor([1.0, -1.0])
    value, (gradient,) = value_and_grad(
        lambda x: keras.ops.sum(layers.l2_normalize(x) * target),
        (direction * scale).astype("float32"),
    )
    assert np.isfinite(gradient).all()
    if scale >= 1:
        np.testing.assert_allclose(value, -0.2, atol=1e-6)
        # Along the sphere only: no gradient along the vector itself.
        np.testing.assert_allclose(gradient * scale, [0.224, -0.168], atol=1e-5)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_logits_are_cosines_whatever_the_length_of_prototypes(policy):
    x = RNG.normal(size=(5, 8))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    kernel = RNG.normal(size=(8, 6)) * 10.0 ** RNG.uniform(-3, 3, size=6)
    layer = layers.Prototypes(6, dtype=policy)
    layer.build((None, 8))
    layer.set_weights([kernel])
    logits = layer(x.astype("float32"))
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    expected = x @ (kernel / np.linalg.norm(kernel, axis=0))
    # Half precision may round the inputs on their way in, nothing else.
    tolerance = 1e-6 if policy == "float32" else 4e-3
    np.testing.assert_allclose(to_numpy(logits), expected, atol=tolerance)


def test_prototypes_can_be_told_apart_by_their_path():
    layer = layers.Prototypes(6, name="anything")
    layer.build((None, 8))
    assert "prototypes" in layer.weights[0].path
