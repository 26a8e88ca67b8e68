import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from keras_dinolm.evaluation import nli_probe

pytestmark = pytest.mark.once


def pairs(seed, num_rows, noise=1.0):
    """Three relations that only |u - v| and u * v can tell."""
    rng = np.random.default_rng(seed)
    labels = np.arange(num_rows) % 3
    u = rng.normal(size=(num_rows, 5))
    v = np.where(
        (labels == 2)[:, None],
        rng.normal(size=u.shape),
        np.where((labels == 1)[:, None], -u, u),
    )
    return u, v + noise * rng.normal(size=u.shape), labels


def by_hand(strength, train, test):
    def features(u, v, labels):
        return np.hstack([u, v, abs(u - v), u * v]), labels

    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength))
    return model.fit(*features(*train)).score(*features(*test))


def test_agrees_with_scikit_learn():
    train, test = pairs(1, 150), pairs(2, 90)
    assert nli_probe(*train, *test) == pytest.approx(by_hand(1.0, train, test))
    assert nli_probe(*train, *test, strengths=0.01) == pytest.approx(
        by_hand(0.01, train, test)
    )


def test_the_strength_is_chosen_on_dev():
    train, dev, test = pairs(3, 45), pairs(4, 150), pairs(5, 150)
    strengths = [2.0**power for power in range(-8, 5, 2)]
    scores = [by_hand(s, train, dev) for s in strengths]
    assert len(set(scores)) > 1
    best = strengths[int(np.argmax(scores))]
    expected = by_hand(best, train, test)
    assert nli_probe(*train, *test, *dev) == pytest.approx(expected)


def test_relations_are_seen_and_their_order_matters():
    train, test = pairs(6, 150, noise=0.05), pairs(7, 90, noise=0.05)
    assert nli_probe(*train, *test) > 0.8  # majority: 0.33
    # A label that only the first text tells.
    labels = (train[0][:, 0] > 0).tolist(), (test[0][:, 0] > 0).tolist()
    u, v, _ = pairs(8, 90)
    right = nli_probe(*train[:2], labels[0], u, v, (u[:, 0] > 0).tolist())
    swapped = nli_probe(*train[:2], labels[0], v, u, (u[:, 0] > 0).tolist())
    assert right > swapped + 0.1


@pytest.mark.parametrize(
    "change, message",
    [
        ({"train_second": np.ones((8, 4))}, "8 and 9 rows"),
        ({"test_second": np.ones((9, 5))}, "must have 4 columns"),
        ({"dev_first": np.ones((3, 4))}, "go together.* 1 of the three"),
        ({"train_first": np.full((9, 4), np.nan)}, "`train_first`"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    u, labels = np.ones((9, 4)), [0, 1, 2] * 3
    arguments = {
        "train_first": u,
        "train_second": u,
        "train_labels": labels,
        "test_first": u,
        "test_second": u,
        "test_labels": labels,
    }
    with pytest.raises(ValueError, match=message):
        nli_probe(**(arguments | change))
