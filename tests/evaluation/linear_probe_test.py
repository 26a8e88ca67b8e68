import numpy as np
import pytest
from keras import ops
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from keras_dinolm.evaluation import linear_probe


def clouds(seed, num_rows, noise=2.0):
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(0).normal(size=(3, 6))
    labels = np.arange(num_rows) % 3
    x = centers[labels] + noise * rng.normal(size=(num_rows, 6))
    return x.astype("float32"), labels


def sklearn_score(strength, train, test):
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=strength, max_iter=1000)
    )
    model.fit(train[0].astype("float64"), train[1])
    return model.score(test[0].astype("float64"), test[1])


@pytest.mark.once
@pytest.mark.parametrize("strength", [None, 0.01])
def test_agrees_with_a_scikit_learn_pipeline(strength):
    train, test = clouds(1, 90), clouds(2, 60)
    actual = linear_probe(*train, *test, strengths=strength)
    assert isinstance(actual, float)
    assert 0.4 < actual < 0.99
    expected = sklearn_score(strength or 1.0, train, test)
    assert actual == pytest.approx(expected)


@pytest.mark.once
def test_the_strength_is_chosen_on_dev():
    # Few rows of many noisy columns: weak regularisation overfits.
    rng = np.random.default_rng(3)
    splits = []
    for num_rows in (30, 200, 200):
        labels = np.arange(num_rows) % 2
        x = rng.normal(size=(num_rows, 40))
        x[:, 0] += 1.5 * labels
        splits.append((x, labels))
    train, dev, test = splits
    strengths = [2.0**p for p in range(-8, 5, 2)]
    scores = [sklearn_score(s, train, dev) for s in strengths]
    assert len(set(scores)) > 1
    best = strengths[int(np.argmax(scores))]
    expected = sklearn_score(best, train, test)
    assert linear_probe(*train, *test, *dev) == pytest.approx(expected)


@pytest.mark.once
def test_scale_of_the_features_does_not_matter():
    train, test = clouds(4, 90), clouds(5, 60)
    # As small as the dead dimensions of a real encoder (all-MiniLM-L6-v2).
    scales = np.logspace(-33, 6, 6).astype("float32")
    assert linear_probe(
        train[0] * scales, train[1], test[0] * scales, test[1]
    ) == pytest.approx(linear_probe(*train, *test))


def test_any_labels_and_half_precision():
    (x, labels), (y, truth) = clouds(6, 90, noise=0.1), clouds(7, 30, noise=0.1)
    names = np.array(["a", "b", "c"])
    x, y = ops.cast(x, "bfloat16"), y.astype("float16")
    assert linear_probe(x, names[labels], y, names[truth]) == 1.0
    unknown = ["other", *names[truth[1:]]]
    assert linear_probe(x, names[labels], y, unknown) == 29 / 30


@pytest.mark.once
def test_constant_columns_are_harmless():
    (x, labels), test = clouds(8, 90, noise=0.1), clouds(9, 30, noise=0.1)
    x[:, 2] = 1e6
    test[0][:, 2] = 1e6
    assert linear_probe(x, labels, *test) > 0.9


@pytest.mark.once
def test_an_unfinished_fit_warns_and_says_what_to_do():
    with pytest.warns(UserWarning, match="Raise `max_iterations`"):
        linear_probe(*clouds(10, 90), *clouds(11, 30), max_iterations=1)


@pytest.mark.once
@pytest.mark.parametrize(
    "change, message",
    [
        ({"train_labels": ["a"] * 9}, "at least two different.*'a'"),
        ({"strengths": [0.1, 1.0]}, "give `dev_features`"),
        ({"strengths": -1.0}, "`strengths` must be.*above 0"),
        ({"dev_features": np.ones((3, 6))}, "go together"),
        ({"test_features": np.ones((9, 5))}, "must have 6 columns"),
        ({"max_iterations": 0}, "max_iterations=0"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    x, labels = clouds(12, 9)
    arguments = {
        "train_features": x,
        "train_labels": labels,
        "test_features": x,
        "test_labels": labels,
    }
    with pytest.raises(ValueError, match=message):
        linear_probe(**(arguments | change))
