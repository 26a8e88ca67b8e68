"""Regressions of texts and tokens against float64 NumPy."""

import numpy as np
import pytest
from scipy.special import erf

import keras_dinolm as kd
from tests import tiny
from tests.gradients import value_and_grad
from tests.losses import reference
from tests.objectives import features as made

O = kd.objectives  # noqa: E741
VIEWS = tiny.batch(batch_size=4)
# Two local views are enough.
VIEWS["local"] = {name: x[:, :2] for name, x in VIEWS["local"].items()}
STUDENT, TEACHER = made.draw(VIEWS, seed=0), made.draw(VIEWS, seed=1)
# One text and some tokens of which the teacher says nothing.
TEACHER["global"]["sequence"][1] = 0.0
TEACHER["global"]["tokens"][2, 1, 3:5] = 0.0


def build(objective):
    objective.build_for(made.Lesson())
    return objective


def predictor(objective):
    """The head as a function of rows, in float64."""
    weights = [w.astype("float64") for w in tiny.values(objective.head.weights)]

    def predict(rows):
        if len(weights) == 2:
            return rows @ weights[0] + weights[1]
        up, up_bias, down, down_bias = weights
        x = rows @ up + up_bias
        return 0.5 * x * (1 + erf(x / np.sqrt(2))) @ down + down_bias

    return predict


def distance(loss, predicted, target):
    if loss == "squared":
        return np.mean((predicted - target) ** 2)
    return 1 - reference.unit(predicted) @ reference.unit(target)


def check(objective, kind, expected):
    """Value and gradient to the student's features of one kind."""
    groups = list(STUDENT)
    arrays = [STUDENT[group][kind] for group in groups]

    def loss(*arrays):
        student = {g: {kind: x} for g, x in zip(groups, arrays)}
        return objective.compute(made.features(VIEWS, student, TEACHER)).loss

    value, grads = value_and_grad(loss, *arrays)
    arrays = [x.astype("float64") for x in arrays]
    assert value == pytest.approx(expected(*arrays), rel=1e-4)
    # Along random directions, which is as good as entry by entry.
    rng = np.random.default_rng(3)
    for _ in range(3):
        ways = [rng.normal(size=x.shape) for x in arrays]
        along = reference.gradient(
            lambda t, ways=ways: expected(
                *(x + t[0] * way for x, way in zip(arrays, ways))
            ),
            np.zeros(1),
        )
        found = sum(np.sum(g * way) for g, way in zip(grads, ways))
        assert found == pytest.approx(along[0], rel=1e-3, abs=1e-5)


@pytest.mark.parametrize(
    ("loss", "hidden_dim", "group"),
    [("cosine", None, None), ("squared", 5, "local")],
)
def test_texts_are_compared_in_all_pairs_of_views(loss, hidden_dim, group):
    objective = build(O.SequenceRegression(loss, hidden_dim, group))
    predict = predictor(objective)
    targets = TEACHER["global"]["sequence"].astype("float64")

    def terms(measure, of_global, of_local):
        return [
            measure(predict(view[b, s]), targets[b, t])
            for view in ([of_local] if group else [of_global, of_local])
            for b in (0, 2, 3)  # not text 1
            for s in range(view.shape[1])
            for t in range(2)
        ]

    def expected(*arrays):
        return np.mean(terms(lambda p, t: distance(loss, p, t), *arrays))

    check(objective, "sequence", expected)
    found = made.compute(objective, made.features(VIEWS, STUDENT, TEACHER))
    arrays = [STUDENT[g]["sequence"].astype("float64") for g in STUDENT]
    assert found.metrics["taught"] == pytest.approx(0.75)
    assert found.metrics["cosine"] == pytest.approx(
        np.mean(terms(lambda p, t: 1 - distance("cosine", p, t), *arrays)),
        rel=1e-4,
    )


@pytest.mark.parametrize(
    ("loss", "hidden_dim", "tokens"),
    [("cosine", 5, "all"), ("squared", None, "all"), ("squared", 3, "masked")],
)
def test_tokens_of_each_view_weigh_the_same(loss, hidden_dim, tokens):
    objective = build(O.TokenRegression(loss, hidden_dim, tokens))
    predict = predictor(objective)
    targets = TEACHER["global"]["tokens"].astype("float64")
    arrays = VIEWS["global"]
    wanted = arrays["positions"] >= 0
    if tokens == "masked":
        wanted = arrays["masked"]
    known = wanted & targets.any(axis=-1)
    assert known.sum() < wanted.sum() or tokens == "masked"
    # A masked view counts by all its masks, any other by what is taught.
    counted = wanted if tokens == "masked" else known

    def expected(of_global, of_local):
        total, weights = 0.0, 0.0
        for b, v, i in np.argwhere(known):
            weight = 1 / counted[b, v].sum()
            p, t = predict(of_global[b, v, i]), targets[b, v, i]
            total += weight * distance(loss, p, t)
            weights += weight
        return total / weights

    check(objective, "tokens", expected)
    found = made.compute(objective, made.features(VIEWS, STUDENT, TEACHER))
    share = known.sum() / wanted.sum()
    assert found.metrics["taught"] == pytest.approx(share, rel=1e-5)


def test_without_any_target_the_loss_is_zero():
    nothing = {
        "global": {k: np.zeros_like(x) for k, x in TEACHER["global"].items()}
    }
    for objective in (O.SequenceRegression(), O.TokenRegression()):
        features = made.features(VIEWS, STUDENT, nothing)
        found = made.compute(build(objective), features)
        assert found.loss == 0 and found.metrics["taught"] == 0


def test_needs_groups_that_are_there():
    with pytest.raises(ValueError, match="group='whole'"):
        build(O.SequenceRegression(group="whole"))

    class Disjoint(made.Lesson):
        roles = {"local": ("student",), "global": ("teacher",)}

    with pytest.raises(ValueError, match="both networks"):
        O.TokenRegression().build_for(Disjoint())
