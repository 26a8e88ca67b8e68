"""`FeatureRegression` against float64 NumPy, and the layers that it reads."""

import keras
import numpy as np
import pytest
from scipy.special import erf

import keras_dinolm as kd
from tests import tiny
from tests.gradients import value_and_grad
from tests.losses import reference
from tests.objectives import features as made

VIEWS = tiny.batch(batch_size=4)
PLACES, WEIGHTS = made.masked_rows(VIEWS)
NUM_LAYERS = 3


def build(**kwargs):
    objective = kd.objectives.FeatureRegression(**kwargs)
    objective.build_for(made.Lesson())
    return objective


def expected(objective, rows, layers, num_layers, distance):
    """The loss as a function of the student's masked tokens `[M, D]`."""
    up, up_bias, down, down_bias = (
        w.astype("float64") for w in tiny.values(objective.head.weights)
    )
    hidden = rows @ up + up_bias
    hidden = 0.5 * hidden * (1 + erf(hidden / np.sqrt(2)))
    predictions = hidden @ down + down_bias
    targets = []
    for layer in layers[-num_layers:]:
        x = reference.array(np.stack([layer[place] for place in PLACES]))
        x = x - x.mean(axis=-1, keepdims=True)
        targets.append(x / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-6))
    error = np.abs(predictions - np.mean(targets, axis=0))
    per_row = distance(error).mean(axis=-1)
    return np.sum(WEIGHTS * per_row) / np.sum(WEIGHTS)


@pytest.mark.parametrize(
    ("num_layers", "beta", "distance"),
    [
        (2, 0.5, lambda e: np.where(e < 0.5, e**2, e - 0.25)),
        (3, None, lambda e: e**2),
    ],
)
def test_value_and_gradient(num_layers, beta, distance):
    objective = build(num_layers=num_layers, beta=beta)
    # The model returns as many layers as the most demanding objective wants.
    teacher = made.draw(VIEWS, seed=1, num_layers=NUM_LAYERS)
    layers = teacher["global"]["layers"]
    tokens = made.draw(VIEWS, seed=0)["global"]["tokens"]

    def loss(tokens):
        student = {"global": {"tokens": tokens}}
        return objective.compute(made.features(VIEWS, student, teacher)).loss

    value, (gradient,) = value_and_grad(loss, tokens)
    rows = reference.array(np.stack([tokens[place] for place in PLACES]))
    wanted = expected(objective, rows, layers, num_layers, distance)
    assert value == pytest.approx(wanted, rel=1e-5)
    numeric = np.zeros(tokens.shape)
    by_row = reference.gradient(
        lambda x: expected(objective, x, layers, num_layers, distance), rows
    )
    for place, row in zip(PLACES, by_row):
        numeric[place] = row
    reference.check_gradient(gradient, numeric, 1e-4)


def test_scale_and_offset_of_a_layer_do_not_matter():
    objective = build(num_layers=1)
    student = made.draw(VIEWS, seed=0)
    teacher = made.draw(VIEWS, seed=1, num_layers=1)
    losses = []
    for scale, offset in ((1, 0), (30, -7)):
        layer = teacher["global"]["layers"][0] * scale + offset
        moved = {"global": {"layers": [layer.astype("float32")]}}
        result = objective.compute(made.features(VIEWS, student, moved))
        losses.append(float(tiny.values([result.loss])[0]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_metrics_are_deviations_over_the_masked_tokens():
    objective = build(num_layers=1)
    student = made.draw(VIEWS, seed=0)
    teacher = made.draw(VIEWS, seed=1, num_layers=1)
    for constant in (False, True):
        if constant:
            teacher["global"]["layers"][0][:] = np.arange(made.WIDTH)
        result = objective.compute(made.features(VIEWS, student, teacher))
        metrics = {k: tiny.values([v])[0] for k, v in result.metrics.items()}
        assert set(metrics) == set(objective.extra_metrics)
        x = teacher["global"]["layers"][0]
        x = np.stack([x[place] for place in PLACES]).astype("float64")
        x -= x.mean(axis=-1, keepdims=True)
        x /= x.std(axis=-1, keepdims=True)
        assert metrics["target_std"] == pytest.approx(
            x.std(axis=0).mean(), abs=1e-4
        )
    assert metrics["target_std"] < 1e-4


# === The layers ===


def test_layers_are_those_of_a_shorter_encoder():
    deep = tiny.backbone(num_layers=3)
    rng = np.random.default_rng(0)
    for w in deep.weights:
        w.assign(w + 0.3 * rng.normal(size=w.shape))
    encoder = kd.models.TextEncoder(deep)
    views = VIEWS["global"]
    inputs = {k: views[k][:, 0] for k in ("token_ids", "padding_mask")}
    found = made.on_numpy(lambda: encoder(inputs, num_layers=2))
    plain = made.on_numpy(lambda: encoder(inputs))
    assert set(plain) == {"tokens", "sequence"} and len(found["layers"]) == 2
    for name, value in plain.items():
        np.testing.assert_allclose(found[name], value, atol=1e-5)
    for depth, layer in zip((2, 3), found["layers"]):
        short = tiny.backbone(num_layers=depth)
        weights = {w.path: w for w in deep.weights}
        for w in short.weights:
            w.assign(weights[w.path])
        tokens, normed = made.on_numpy(
            lambda short=short, layer=layer: (
                short(inputs)["sequence_output"],
                deep.output_norm(layer),
            )
        )
        np.testing.assert_allclose(normed, tokens, atol=1e-4)
    # They are outputs of an ordinary Keras model, too.
    all_layers = keras.Model(deep.input, deep.layer_outputs)
    layers = made.on_numpy(lambda: all_layers(inputs))
    assert len(layers) == 3
    for a, b in zip(layers[1:], found["layers"]):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_dropout_acts_on_layers_in_training_alone():
    encoder = kd.models.TextEncoder(tiny.backbone(dropout=0.5))
    views = VIEWS["global"]
    inputs = {k: views[k][:, 0] for k in ("token_ids", "padding_mask")}
    for training in (False, True):
        a, b = tiny.values(
            encoder(inputs, training=training, num_layers=1)["layers"][0]
            for _ in range(2)
        )
        assert np.array_equal(a, b) != training


def test_declared_layers_are_those_computed():
    encoder = kd.models.TextEncoder(tiny.backbone(num_layers=2))
    inputs = {
        "token_ids": keras.KerasTensor((2, 5), dtype="int32"),
        "padding_mask": keras.KerasTensor((2, 5), dtype="bool"),
    }
    layers = encoder(inputs, num_layers=2)["layers"]
    assert [x.shape for x in layers] == [(2, 5, 16)] * 2


def test_too_many_layers_are_refused():
    objective = kd.objectives.FeatureRegression(num_layers=2)
    with pytest.raises(ValueError, match="layers, 1. .*num_layers=2"):
        kd.models.DinoLM(tiny.backbone(), [objective], num_prototypes=4)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [({"num_layers": 0}, "num_layers=0"), ({"beta": 0.0}, "beta=0.0")],
)
def test_refuses(kwargs, message):
    with pytest.raises(ValueError, match=message):
        kd.objectives.FeatureRegression(**kwargs)


def test_needs_masks_and_a_group_of_both_networks():
    class Disjoint(made.Lesson):
        roles = {"local": ("student",), "global": ("teacher",)}

    with pytest.raises(ValueError, match="both networks"):
        kd.objectives.FeatureRegression().build_for(Disjoint())
    views = {"global": dict(VIEWS["global"])}
    del views["global"]["masked_indices"]
    with pytest.raises(ValueError, match="mask_probability"):
        build().compute(made.features(views, {}))
