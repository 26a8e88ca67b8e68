"""`UnitPrediction` against float64 NumPy, and its teachers in training."""

import keras
import numpy as np
import pytest
from scipy.special import erf
from scipy.special import log_softmax
from scipy.special import softmax

import keras_dinolm as kd
from tests import tiny
from tests.gradients import value_and_grad
from tests.losses import reference
from tests.objectives import features as made

O = kd.objectives  # noqa: E741
VIEWS = tiny.batch(batch_size=4)
PLACES, WEIGHTS = made.masked_rows(VIEWS)
RNG = np.random.default_rng(5)
CENTROIDS = reference.unit(RNG.normal(size=(7, made.WIDTH)))
TEACHER = made.draw(VIEWS, seed=1)


def build(**kwargs):
    objective = O.UnitPrediction(CENTROIDS, **kwargs)
    objective.build_for(made.Lesson())
    return objective


def targets(window, temperature, taught=None):
    """The distribution over units at each masked token."""
    tokens = TEACHER["global"]["tokens"] if taught is None else taught
    positions = VIEWS["global"]["positions"]
    rows = []
    for b, v, i in PLACES:
        near = [
            tokens[b, v, j].astype("float64")
            for j in range(tokens.shape[2])
            if abs(i - j) <= window and positions[b, v, j] >= 0
        ]
        rows.append(np.mean(near, axis=0))
    scores = reference.unit(np.array(rows)) @ CENTROIDS.T
    if temperature is None:
        return np.eye(len(CENTROIDS))[scores.argmax(axis=1)]
    return softmax(scores / temperature, axis=1)


def logits(objective):
    """A function of rows `[M, D]`, in float64."""
    layers = (objective.transform, objective.norm, objective.classifier)
    kernel, bias, gamma, beta, out, out_bias = (
        w.astype("float64")
        for w in sum((tiny.values(x.weights) for x in layers), [])
    )

    def of_rows(rows):
        x = rows @ kernel + bias
        x = 0.5 * x * (1 + erf(x / np.sqrt(2)))
        x = x - x.mean(axis=-1, keepdims=True)
        x = gamma * x / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-6) + beta
        return x @ out + out_bias

    return of_rows


@pytest.mark.parametrize(
    ("window", "temperature"), [(0, None), (2, None), (1, 0.2)]
)
def test_value_gradient_and_metrics(window, temperature):
    objective = build(window=window, temperature=temperature)
    tokens = made.draw(VIEWS, seed=0)["global"]["tokens"]
    wanted = targets(window, temperature)
    of_rows = logits(objective)

    def expected(rows):
        logs = log_softmax(of_rows(rows), axis=1)
        return np.average(-np.sum(wanted * logs, axis=1), weights=WEIGHTS)

    def loss(tokens):
        student = {"global": {"tokens": tokens}}
        return objective.compute(made.features(VIEWS, student, TEACHER)).loss

    value, (gradient,) = value_and_grad(loss, tokens)
    rows = np.stack([tokens[place] for place in PLACES]).astype("float64")
    assert value == pytest.approx(expected(rows), rel=1e-4)
    numeric = np.zeros(tokens.shape)
    by_row = reference.gradient(expected, rows)
    for place, row in zip(PLACES, by_row):
        numeric[place] = row
    reference.check_gradient(gradient, numeric, 1e-3)

    student = {"global": {"tokens": tokens}}
    found = made.compute(objective, made.features(VIEWS, student, TEACHER))
    guesses = of_rows(rows).argmax(axis=1)
    assert found.metrics["accuracy"] == pytest.approx(
        np.mean(guesses == wanted.argmax(axis=1)), abs=1e-5
    )
    usage = wanted.mean(axis=0)
    usage = usage[usage > 0]
    assert found.metrics["target_perplexity"] == pytest.approx(
        np.exp(-np.sum(usage * np.log(usage))), rel=1e-4
    )


def test_a_teacher_that_says_one_thing_has_a_perplexity_of_one():
    objective = build()
    teacher = {"global": {"tokens": np.ones_like(TEACHER["global"]["tokens"])}}
    student = made.draw(VIEWS, seed=0)
    found = made.compute(objective, made.features(VIEWS, student, teacher))
    assert found.metrics["target_perplexity"] == pytest.approx(1, abs=1e-5)


def test_tokens_of_which_the_teacher_says_nothing_count_for_nothing():
    objective = build()
    tokens = TEACHER["global"]["tokens"].copy()
    for place in PLACES[::2]:
        tokens[place] = 0.0
    student = made.draw(VIEWS, seed=0)
    rows = np.stack([student["global"]["tokens"][p] for p in PLACES[1::2]])
    logs = log_softmax(logits(objective)(rows.astype("float64")), axis=1)
    wanted = targets(0, None)[1::2]
    teacher = {"global": {"tokens": tokens}}
    found = made.compute(objective, made.features(VIEWS, student, teacher))
    assert found.loss == pytest.approx(
        np.average(-np.sum(wanted * logs, axis=1), weights=WEIGHTS[1::2]),
        rel=1e-4,
    )


# === In training ===


def bag(**overrides):
    backbone = tiny.backbone(num_layers=0, hidden_dim=8, **overrides)
    backbone.token_embedding.embeddings.assign(
        np.random.default_rng(2).normal(size=(backbone.vocabulary_size, 8))
    )
    return backbone


def test_units_of_a_bag_beside_a_moving_teacher(tmp_path):
    """One lesson: masked LM, and units of a network that stays as it is."""
    source = bag()
    features = kd.models.token_features(source, tiny.Batches(3), 200)
    assert features.shape == (200, 8)
    units = O.UnitPrediction(kd.data.centroids(features, 6), source)
    model = tiny.model([O.MaskedLM(), units])
    model.compile(kd.optimizers.AdamW(1e-2))
    logs = [
        model.train_on_batch(tiny.batch(0), return_dict=True) for _ in range(12)
    ]
    assert logs[-1]["unit_prediction"] < logs[0]["unit_prediction"] - 0.1
    assert logs[-1]["unit_prediction_target_perplexity"] > 3
    own = units.unit_teacher.backbone.weights
    for a, b in zip(tiny.values(own), tiny.values(source.weights), strict=True):
        np.testing.assert_array_equal(a, b)
    # The values of centroids and teacher come with the weights.
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for a, b in zip(
        tiny.values(units.weights),
        tiny.values(again.objectives[1].weights),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_refuses_a_teacher_that_moves_and_views_that_are_not_masked():
    with pytest.raises(ValueError, match="a model whose teacher follows"):
        tiny.model([O.UnitPrediction((4, 16))])
    with pytest.raises(ValueError, match="width of the teacher's features, 8"):
        tiny.model([O.UnitPrediction((4, 16), bag())])
    with pytest.raises(ValueError, match="a vocabulary of 50"):
        tiny.model([O.UnitPrediction((4, 8), bag(vocabulary_size=50))])
    with pytest.raises(ValueError, match="mask_student=True"):
        kd.models.DinoLM(
            tiny.backbone(),
            [O.UnitPrediction((4, 8))],
            teacher=kd.models.FixedTeacher(bag()),
        )
