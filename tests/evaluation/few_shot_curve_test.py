import numpy as np
import pytest

from keras_dinolm.evaluation import few_shot_curve
from keras_dinolm.evaluation import linear_probe

pytestmark = pytest.mark.once


def clouds(seed, num_rows, noise=1.0):
    rng = np.random.default_rng(seed)
    labels = np.arange(num_rows) % 2
    x = noise * rng.normal(size=(num_rows, 6))
    x[:, 0] += 2.0 * labels
    return x, labels


def test_all_examples_are_the_whole_probe():
    train, test = clouds(1, 32), clouds(2, 200)
    curve = few_shot_curve(*train, *test, shots=16, num_draws=2)
    assert curve == {16: (pytest.approx(linear_probe(*train, *test)), 0.0)}


def test_default_shots_are_those_that_the_smallest_class_has():
    x, labels = clouds(3, 80)
    kept = np.r_[np.flatnonzero(labels == 0), np.flatnonzero(labels)[:19]]
    curve = few_shot_curve(x[kept], labels[kept], x, labels, num_draws=1)
    assert list(curve) == [4, 8, 16]
    assert {deviation for _, deviation in curve.values()} == {0.0}


def test_mean_and_deviation_over_draws():
    train, test = clouds(4, 200, noise=2.0), clouds(5, 300, noise=2.0)
    curve = few_shot_curve(*train, *test, shots=[4, 64], num_draws=4)
    # The first draws are the same whatever their number.
    means = [
        few_shot_curve(*train, *test, shots=4, num_draws=n)[4][0]
        for n in (1, 2, 3, 4)
    ]
    draws = np.diff(np.array(means) * [1, 2, 3, 4], prepend=0.0)
    mean, deviation = curve[4]
    assert mean == pytest.approx(np.mean(draws))
    assert deviation == pytest.approx(np.std(draws, ddof=1))
    assert deviation > 0
    assert curve[64][0] > mean


def test_all_encoders_get_the_same_examples():
    (x, labels), (y, truth) = clouds(6, 100), clouds(7, 100)
    expected = few_shot_curve(x, labels, y, truth, shots=[4, 8])
    order = [3, 1, 0, 2, 5, 4]  # another encoder: another basis and scale
    other = few_shot_curve(
        10 * x[:, order] - 3, labels, 10 * y[:, order] - 3, truth, shots=[4, 8]
    )
    for number, values in expected.items():
        assert other[number] == pytest.approx(values)
    another = few_shot_curve(x, labels, y, truth, shots=[4, 8], seed=1)
    assert another != expected


@pytest.mark.parametrize(
    "change, message",
    [
        ({"shots": [4, 6]}, r"shots=\[4, 6\], and 5 examples of 0"),
        ({"shots": 0}, "shots=0"),
        ({"shots": []}, "smallest class"),
        ({"num_draws": 0}, "num_draws=0"),
        ({"train_labels": [0] * 4}, "4 labels, 10 rows"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    x, labels = clouds(8, 10)
    arguments = {
        "train_features": x,
        "train_labels": labels,
        "test_features": x,
        "test_labels": labels,
    }
    with pytest.raises(ValueError, match=message):
        few_shot_curve(**(arguments | change))
