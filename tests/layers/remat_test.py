"""Rematerialised blocks learn what plain blocks learn, dropout included."""

import keras
import numpy as np
import pytest

from keras_dinolm import layers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 5, 16)).astype("float32")
Y = RNG.normal(size=(4, 5, 16)).astype("float32")


def trained(remat, policy):
    """Weights and losses after two steps, from the same start."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((5, 16))
    cos, sin = layers.RotaryTables(8)(inputs)
    block = layers.EncoderBlock(
        num_heads=2,
        intermediate_dim=32,
        dropout=0.2,
        drop_path_rate=0.3,
        layer_scale=None,
        remat=remat,
        dtype=policy,
    )
    model = keras.Model(inputs, block(inputs, cos=cos, sin=sin))
    model.compile(optimizer=keras.optimizers.SGD(0.5), loss="mse")
    losses = [model.train_on_batch(X, Y) for _ in range(2)]
    return losses, model.get_weights()


@pytest.mark.parametrize(
    "policy",
    ["float32", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)],
)
def test_training_steps_are_the_same(policy):
    plain_losses, plain = trained(False, policy)
    losses, weights = trained(True, policy)
    tolerance = 1e-5 if policy == "float32" else 2e-2
    np.testing.assert_allclose(losses, plain_losses, rtol=tolerance)
    for found, expected in zip(weights, plain, strict=True):
        np.testing.assert_allclose(found, expected, atol=tolerance)
    assert plain_losses[0] != plain_losses[1]
