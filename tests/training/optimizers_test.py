import contextlib

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from tests import tiny


class Weights:
    """Named variables, as a model would hold them."""

    def __init__(self, **shapes):
        rng = np.random.default_rng(0)
        self.values = {k: rng.normal(size=s) for k, s in shapes.items()}
        self.variables = []
        for path, value in self.values.items():
            *scopes, name = path.split("__")
            with contextlib.ExitStack() as stack:
                for scope in scopes:
                    stack.enter_context(keras.name_scope(scope))
                self.variables.append(
                    keras.Variable(value.astype("float32"), name=name)
                )
        self.gradients = [
            rng.normal(size=(6, *v.shape)).astype("float32")
            for v in self.variables
        ]

    def train(self, optimizer, steps=6):
        optimizer.build(self.variables)
        for step in range(steps):
            optimizer.apply(
                [keras.ops.convert_to_tensor(g[step]) for g in self.gradients]
            )
        return tiny.values(self.variables)


def adamw_float64(weight, gradients, rates, decays, eps=1e-8):
    """Loshchilov and Hutter's algorithm 2, with rate and decay per step."""
    w = weight.astype("float64")
    m = np.zeros_like(w)
    v = np.zeros_like(w)
    for t, (g, rate, decay) in enumerate(zip(gradients, rates, decays), 1):
        g = g.astype("float64")
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        step = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + eps)
        w = w - rate * (step + decay * w)
    return w


def test_decays_matrices_but_neither_biases_norms_nor_prototypes():
    weights = Weights(
        block_0__dense__kernel=(4, 3),
        block_0__dense__bias=(3,),
        final_norm__gamma=(3,),
        block_0__layer_scale__layer_scale=(3,),
        sequence_prototypes__prototypes=(5, 3),
        register_tokens__register_tokens=(2, 3),
    )
    after = weights.train(kd.optimizers.AdamW(1e-2, weight_decay=0.1))
    for i, (value, gradients) in enumerate(
        zip(weights.values.values(), weights.gradients)
    ):
        decay = 0.1 if i == 0 else 0.0
        expected = adamw_float64(value, gradients, [1e-2] * 6, [decay] * 6)
        # Keras adds epsilon before the bias correction; 1e-8 either way.
        np.testing.assert_allclose(after[i], expected, rtol=2e-5, atol=1e-6)


def test_schedules_rate_and_decay_by_update():
    weights = Weights(dense__kernel=(4, 3))
    optimizer = kd.optimizers.adamw(
        1e-2,
        warmup_steps=2,
        total_steps=6,
        final_learning_rate=0.0,
        weight_decay=kd.schedules.Linear(0.0, 0.4, steps=4),
        global_clipnorm=None,
    )
    (after,) = weights.train(optimizer)
    rates = [0.005, 0.01] + [
        0.01 * (1 + np.cos(np.pi * k / 4)) / 2 for k in range(4)
    ]
    decays = [0.0, 0.1, 0.2, 0.3, 0.4, 0.4]
    (value,) = weights.values.values()
    expected = adamw_float64(value, weights.gradients[0], rates, decays)
    np.testing.assert_allclose(after, expected, rtol=2e-5, atol=1e-6)


def test_earlier_layers_learn_slower():
    weights = Weights(
        token_embedding__embeddings=(7, 3),
        block_0__dense__kernel=(3, 3),
        block_1__dense__kernel=(3, 3),
        head__dense__kernel=(3, 3),
    )
    after = weights.train(
        kd.optimizers.AdamW(1e-2, weight_decay=0.1, layer_decay=0.5)
    )
    for i, scale in enumerate([1 / 8, 1 / 4, 1 / 2, 1.0]):
        expected = adamw_float64(
            list(weights.values.values())[i],
            weights.gradients[i],
            [1e-2 * scale] * 6,
            [0.1] * 6,
        )
        np.testing.assert_allclose(after[i], expected, rtol=2e-5, atol=1e-6)


def test_accumulation_is_one_update_of_the_mean_gradient():
    """Six micro-batches, two updates; the schedule counts updates."""
    weights = Weights(dense__kernel=(4, 3))
    schedule = kd.schedules.Linear(1e-2, 3e-2, steps=2)
    optimizer = kd.optimizers.AdamW(
        schedule, weight_decay=0.1, gradient_accumulation_steps=3
    )
    (after,) = weights.train(optimizer)
    means = weights.gradients[0].reshape(2, 3, 4, 3).mean(axis=1)
    (value,) = weights.values.values()
    expected = adamw_float64(value, means, [1e-2, 2e-2], [0.1, 0.1])
    np.testing.assert_allclose(after, expected, rtol=2e-5, atol=1e-6)


def test_clips_the_whole_gradient():
    weights = Weights(a__kernel=(4, 3), b__kernel=(2, 2))
    for gradients in weights.gradients:
        gradients *= 1_000.0
    optimizer = keras.optimizers.SGD(1.0, global_clipnorm=3.0)
    before = tiny.values(weights.variables)
    after = weights.train(optimizer, steps=1)
    moved = sum(np.sum((a - b) ** 2) for a, b in zip(after, before))
    assert np.sqrt(moved) == pytest.approx(3.0, rel=1e-5)
    assert kd.optimizers.adamw(1e-3, schedule="constant").global_clipnorm == 3.0


def test_survives_serialization():
    optimizer = kd.optimizers.adamw(
        1e-3, 5, 50, weight_decay=kd.schedules.Cosine(0.04, 0.4, steps=9)
    )
    config = keras.saving.serialize_keras_object(optimizer)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == optimizer.get_config()
    one, two = (Weights(dense__kernel=(4, 3)) for _ in range(2))
    np.testing.assert_array_equal(one.train(optimizer), two.train(again))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schedule": "step"}, "schedule='step'"),
        ({"warmup_steps": 5}, "total_steps=None"),
        ({"warmup_steps": 5, "total_steps": 5}, "total_steps=5"),
        ({"schedule": "constant", "layer_decay": 0.0}, "layer_decay=0.0"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        kd.optimizers.adamw(1e-3, **arguments)
