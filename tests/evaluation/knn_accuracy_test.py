import numpy as np
import pytest
from keras import ops
from sklearn.neighbors import KNeighborsClassifier

from keras_dinolm.evaluation import knn_accuracy
from keras_dinolm.evaluation.arguments import unit
from keras_dinolm.evaluation.nearest import nearest


def clouds(seed, num_rows, num_classes=5, width=16, noise=1.5):
    """Overlapping clouds: an accuracy well between chance and 1."""
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(0).normal(size=(num_classes, width))
    labels = rng.integers(num_classes, size=num_rows)
    noise = noise * rng.normal(size=(num_rows, width))
    return (centers[labels] + noise).astype("float32"), labels


def sklearn_accuracy(train, labels, test, truth, k, temperature):
    model = KNeighborsClassifier(
        k,
        algorithm="brute",
        metric="cosine",
        weights=lambda distance: np.exp((1 - distance) / temperature),
    )
    model.fit(train.astype("float64"), labels)
    return model.score(test.astype("float64"), truth)


@pytest.mark.parametrize("temperature", [0.07, 1.0])
@pytest.mark.parametrize("k", [1, 20, 200])
def test_agrees_with_scikit_learn(k, temperature):
    train, labels = clouds(1, 300)
    test, truth = clouds(2, 100)
    expected = sklearn_accuracy(train, labels, test, truth, k, temperature)
    actual = knn_accuracy(train, labels, test, truth, k, temperature)
    assert isinstance(actual, float)
    assert 0.3 < actual < 0.95
    assert actual == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_batch_size_does_not_matter(batch_size):
    train, labels = clouds(3, 60)
    test, truth = clouds(4, 20)
    assert knn_accuracy(
        train, labels, test, truth, k=5, batch_size=batch_size
    ) == knn_accuracy(train, labels, test, truth, k=5)


def test_labels_may_be_anything_hashable():
    train, labels = clouds(5, 60)
    test, truth = clouds(6, 20)
    expected = knn_accuracy(train, labels, test, truth, k=5)
    names = [("package", "numpy"), "jax", 3, None, frozenset([1])]
    for convert in (
        lambda x: [names[i] for i in x],
        lambda x: np.array(list("abcde"))[x],
        lambda x: ops.convert_to_tensor(x),
    ):
        actual = knn_accuracy(train, convert(labels), test, convert(truth), 5)
        assert actual == expected


def test_unknown_labels_count_as_wrong():
    x = np.eye(4)
    assert knn_accuracy(x, list("abcd"), x, list("abxy"), k=1) == 0.5


def test_features_may_be_tensors_of_half_precision():
    train, labels = clouds(7, 60)
    test, truth = clouds(8, 20)
    for dtype in ("float16", "bfloat16"):
        halves = [ops.cast(x, dtype) for x in (train, test)]
        exact = [ops.convert_to_numpy(ops.cast(x, "float32")) for x in halves]
        assert knn_accuracy(
            halves[0], labels, halves[1], truth, k=5
        ) == knn_accuracy(exact[0], labels, exact[1], truth, k=5)
    assert 0 < knn_accuracy(
        train.astype("float16"), labels, test.astype("float16"), truth, k=5
    )


def test_the_temperature_decides_between_many_and_near():
    # One row of class 0 at cosine 1, two of class 1 at cosine 0.9.
    train = np.array([[1, 0], [0.9, 0.19**0.5], [0.9, -(0.19**0.5)]])
    test = np.array([[1.0, 0.0]])
    # exp(0.1 / T) against 2: equal at T = 0.144.
    assert knn_accuracy(train, [0, 1, 1], test, [0], 3, 0.14) == 1.0
    assert knn_accuracy(train, [0, 1, 1], test, [0], 3, 0.15) == 0.0
    assert knn_accuracy(train, [0, 1, 1], test, [0], 3, 1e-6) == 1.0


def test_equal_neighbors_count_by_index():
    train = np.repeat(np.random.default_rng(9).normal(size=(1, 9)), 90, axis=0)
    labels = ["first"] * 3 + ["second"] * 87
    for k in (1, 3, 5, 6):
        # Collapsed features: the first k rows vote, ties to the first label.
        assert knn_accuracy(train, labels, train[:2], ["first"] * 2, k) == 1.0
    assert knn_accuracy(train, labels, train[:2], ["first"] * 2, 7) == 0.0


def neighbors(queries, documents, k, batch_size=64):
    batches = list(nearest(queries, documents, k, batch_size))
    return [np.concatenate(part) for part in zip(*batches, strict=True)]


def brute_force(queries, documents, k):
    cosines = np.einsum("qd,nd->qn", unit(queries), unit(documents))
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(cosines, order, axis=1), order


@pytest.mark.parametrize("spread", [1.0, 1e-2, 1e-4, 0.0])
def test_neighbors_are_exact_also_where_float32_sees_none(spread):
    rng = np.random.default_rng(10)
    base = rng.normal(size=24)
    documents = base + spread * rng.normal(size=(300, 24))
    documents[100:150] = documents[:50]  # and duplicates
    queries = base + spread * rng.normal(size=(30, 24))
    cosines, indices = neighbors(queries, documents, 10)
    expected_cosines, expected = brute_force(queries, documents, 10)
    assert np.abs(cosines - expected_cosines).max() < 1e-14
    if spread in (1.0, 0.0):
        assert np.array_equal(indices, expected)
    else:  # the last digit of a cosine may decide, and einsum sums as it likes
        assert np.mean(indices == expected) > 0.99


def test_zero_rows_are_at_right_angles_to_all():
    documents = np.array([[-1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    cosines, indices = neighbors(np.array([[1.0, 0.0]]), documents, 3)
    assert indices.tolist() == [[2, 1, 0]]
    assert np.allclose(cosines, [[0.5**0.5, 0.0, -1.0]])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"k": 5}, "k=5, 4 rows"),
        ({"k": 0}, "`k` must be an integer of at least 1"),
        ({"k": 1.5}, "k=1.5"),
        ({"temperature": 0.0}, "temperature=0.0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"train_features": np.ones((0, 3))}, r"train_features.*\(0, 3\)"),
        ({"train_features": np.ones(3)}, r"\[N, D\]"),
        ({"test_features": np.ones((2, 4))}, "`test_features` must have 3"),
        ({"test_features": [[1, 2, 3], [1, np.nan, 3]]}, "first in row 1"),
        ({"test_labels": [1]}, "1 labels, 2 rows"),
        ({"train_labels": [[0], [1], [2], [3]]}, r"hashable.*\[0\]"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    arguments = {
        "train_features": np.ones((4, 3)),
        "train_labels": [0, 1, 0, 1],
        "test_features": np.ones((2, 3)),
        "test_labels": [0, 1],
        "k": 2,
    }
    with pytest.raises(ValueError, match=message):
        knn_accuracy(**(arguments | change))
