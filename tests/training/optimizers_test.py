import contextlib
import math

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.objectives import MaskedLM
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


def clipped(gradient, others, limit):
    """A gradient scaled as if its module were all there is."""
    norm = np.sqrt(
        sum(np.sum(g.astype("float64") ** 2) for g in (gradient, *others))
    )
    return gradient * min(1.0, limit / norm)


def test_clips_each_module_by_its_own_norm():
    """AdamW forgets the size of gradients, SGD does not; so the moments."""
    names = {
        "block_0__dense__kernel": (4, 3),
        "block_1__dense__bias": (3,),
        "student__sequence_head__dense_0__kernel": (3, 2),
        "student__sequence_prototypes__prototypes": (2, 5),
        "student__token_head__dense_0__kernel": (3, 2),
        "objectives__masked_lm__norm__gamma": (3,),
    }
    modules = ["encoder"] * 2 + ["sequence"] * 2 + ["token", "masked_lm"]
    weights = Weights(**names)
    # The encoder and one head far above the limit, the rest below it.
    for gradients, size in zip(weights.gradients, (9, 9, 1e3, 1e2, 0.1, 0.1)):
        gradients *= size
    optimizer = kd.optimizers.AdamW(module_clipnorm=3.0)
    weights.train(optimizer, steps=1)
    first = [g[0] for g in weights.gradients]
    for i, module in enumerate(modules):
        rest = [
            g for j, g in enumerate(first) if j != i and modules[j] == module
        ]
        moment = keras.ops.convert_to_numpy(optimizer._momentums[i])
        expected = 0.1 * clipped(first[i], rest, 3.0)
        np.testing.assert_allclose(moment, expected, rtol=2e-5)


def test_clips_the_mean_of_accumulated_gradients():
    weights = Weights(dense__kernel=(4, 3))
    weights.gradients[0] *= 100.0
    optimizer = kd.optimizers.AdamW(
        module_clipnorm=2.0, gradient_accumulation_steps=3
    )
    weights.train(optimizer, steps=3)
    mean = weights.gradients[0][:3].astype("float64").mean(axis=0)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(optimizer._momentums[0]),
        0.1 * clipped(mean, [], 2.0),
        rtol=2e-5,
    )


def test_multipliers_freeze_and_release_by_update():
    """Frozen is still; its moments are those of all gradients, as in DINOv2."""
    weights = Weights(
        token_embedding__embeddings=(7, 3),
        student__token_head__dense_0__kernel=(3, 3),
        student__token_prototypes__prototypes=(5, 3),
        objectives__masked_lm__transform__kernel=(3, 3),
    )
    optimizer = kd.optimizers.adamw(
        1e-2,
        warmup_steps=2,
        schedule="constant",
        weight_decay=0.1,
        frozen_prototype_steps=4,
        frozen_encoder_steps=3,
        multipliers={"masked_lm": 0.5},
        global_clipnorm=None,
    )
    after = weights.train(optimizer)
    warm = np.array([0.5, 1, 1, 1, 1, 1]) * 1e-2
    shares = [
        np.array([0, 0, 0, 0.5, 1, 1]),
        np.ones(6),
        np.array([0, 0, 0, 0, 1, 1]),
        np.full(6, 0.5),
    ]
    for i, share in enumerate(shares):
        decay = 0.0 if i == 2 else 0.1
        expected = adamw_float64(
            list(weights.values.values())[i],
            weights.gradients[i],
            warm * share,
            [decay] * 6,
        )
        np.testing.assert_allclose(after[i], expected, rtol=2e-5, atol=1e-6)


def test_frozen_is_frozen_to_the_bit_by_updates_not_by_micro_batches():
    weights = Weights(student__token_prototypes__prototypes=(5, 3))
    optimizer = kd.optimizers.adamw(
        1e-2,
        schedule="constant",
        frozen_prototype_steps=2,
        gradient_accumulation_steps=2,
    )
    before = tiny.values(weights.variables)
    np.testing.assert_array_equal(weights.train(optimizer, 5), before)
    assert np.any(weights.train(optimizer, 1)[0] != before[0])


def test_learning_rates_of_the_papers():
    scale = kd.optimizers.scale_learning_rate
    # DINO on 1,024 images, DINOv2 on 3,072 (0.004 * sqrt(3)).
    assert scale(5e-4, 1024, rule="linear") == pytest.approx(2e-3)
    assert scale(4e-3, 3072) == pytest.approx(4e-3 * np.sqrt(3.0))
    assert scale(4e-3, 1024) == 4e-3 and scale(5e-4, 256, "linear") == 5e-4


def test_the_parts_of_a_model_are_known_by_their_paths():
    model = tiny.model([kd.objectives.TokenDistillation(), MaskedLM()])
    optimizer = kd.optimizers.adamw(
        1e-3,
        schedule="constant",
        module_clipnorm=3.0,
        frozen_encoder_steps=1,
        frozen_prototype_steps=1,
    )
    model.compile(optimizer)
    parts = {
        "token": model.student.projection("token").weights
        + model.student.prototypes("token").weights,
        "masked_lm": model.objectives[1].trainable_variables,
        "": model.student.encoder.trainable_variables,
    }
    for module, variables in parts.items():
        assert variables
        for variable in variables:
            index = optimizer._get_variable_index(variable)
            assert optimizer._module_of[index] == module
            still = module == "" or "prototypes" in variable.path
            assert len(optimizer._scheduled[index]) == still


def test_survives_serialization():
    optimizer = kd.optimizers.adamw(
        1e-3,
        5,
        50,
        weight_decay=kd.schedules.Cosine(0.04, 0.4, steps=9),
        module_clipnorm=0.5,
        frozen_encoder_steps=2,
        multipliers={"kernel": 0.5},
    )
    assert optimizer.global_clipnorm is None
    config = keras.saving.serialize_keras_object(optimizer)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == optimizer.get_config()
    one, two = (Weights(dense__kernel=(4, 3)) for _ in range(2))
    np.testing.assert_array_equal(one.train(optimizer), two.train(again))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schedule": "step"}, "schedule='step'"),
        ({"schedule": "cosine", "warmup_steps": 5}, "total_steps=None"),
        (
            {"schedule": "cosine", "warmup_steps": 5, "total_steps": 5},
            "total_steps=5",
        ),
        ({"schedule": "cosine", "total_steps": 9.5}, "total_steps=9.5"),
        ({"total_steps": 9}, "does nothing.*total_steps=9"),
        ({"final_learning_rate": 0.1}, "does nothing.*rate=0.1"),
        ({"warmup_steps": -1}, "warmup_steps=-1"),
        ({"frozen_encoder_steps": 1.5}, "frozen_encoder_steps=1.5"),
        ({"frozen_prototype_steps": "9"}, "frozen_prototype_steps='9'"),
        ({"layer_decay": 0.0}, "layer_decay=0.0"),
        ({"layer_decay": "x"}, "layer_decay='x'"),
        ({"learning_rate": math.nan}, "learning_rate=nan"),
        ({"learning_rate": -1.0}, "learning_rate=-1.0"),
        ({"learning_rate": kd.schedules.Linear(0, 1, 9)}, "also takes a"),
        ({"weight_decay": math.inf}, "weight_decay=inf"),
        ({"weight_decay": None}, "weight_decay=None"),
        ({"beta_1": 1.0}, "beta_1=1.0"),
        ({"beta_2": -0.1}, "beta_2=-0.1"),
        ({"epsilon": math.nan}, "epsilon=nan"),
        ({"multipliers": {"kernel": "x"}}, "multipliers='x'"),
        ({"module_clipnorm": 0.0}, "module_clipnorm=0.0"),
        ({"global_clipnorm": -1.0}, "global_clipnorm=-1.0"),
        (
            {"module_clipnorm": 1.0, "clipnorm": 1.0},
            "module_clipnorm=1.0, clipnorm=1.0",
        ),
        (
            {"module_clipnorm": 1.0, "global_clipnorm": 1.0},
            "module_clipnorm=1.0, global_clipnorm=1.0",
        ),
    ],
)
def test_refuses(arguments, message):
    arguments = {"learning_rate": 1e-3, "schedule": "constant", **arguments}
    with pytest.raises(ValueError, match=message):
        kd.optimizers.adamw(**arguments)


def test_refuses_multipliers_that_nothing_has():
    weights = Weights(block_0__dense__kernel=(4, 3))
    for arguments, message in (
        ({"multipliers": {"kernel": 0.5, "heads": 0.1}}, "'heads' of `mult"),
        ({"frozen_prototype_steps": 9}, "_prototypes.* `frozen_prototype_"),
    ):
        optimizer = kd.optimizers.adamw(1e-3, schedule="constant", **arguments)
        with pytest.raises(ValueError, match=message) as error:
            optimizer.build(weights.variables)
        assert "block_0/dense/kernel" in str(error.value)


def test_refuses_to_scale_and_to_clip_what_it_does_not_know():
    with pytest.raises(ValueError, match="batch_size=0"):
        kd.optimizers.scale_learning_rate(1e-3, 0)
    with pytest.raises(ValueError, match="rule='cubic'"):
        kd.optimizers.scale_learning_rate(1e-3, 8, rule="cubic")
    weights = Weights(a__kernel=(4, 3), b__kernel=(2, 2))
    optimizer = kd.optimizers.AdamW(module_clipnorm=1.0)
    optimizer.build(weights.variables)
    gradients = [keras.ops.convert_to_tensor(weights.gradients[0][0]), None]
    with pytest.raises(ValueError, match="1 gradients for 2 variables"):
        optimizer.apply(gradients, weights.variables)
