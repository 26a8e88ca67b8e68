"""RankMe, alignment and uniformity."""

import numpy as np
import pytest
from keras import ops
from scipy.spatial.distance import pdist
from scipy.stats import entropy

from keras_dinolm.evaluation import alignment
from keras_dinolm.evaluation import rankme
from keras_dinolm.evaluation import uniformity
from keras_dinolm.evaluation.arguments import unit


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.mark.once
@pytest.mark.parametrize("shape", [(200, 12), (5, 12), (1, 3), (7, 1)])
def test_rankme_is_the_perplexity_of_the_singular_values(shape):
    x = draw(0, *shape)
    # By another way than the package: eigenvalues of the smaller Gram matrix.
    y = x.astype("float64")
    gram = y.T @ y if shape[0] > shape[1] else y @ y.T
    values = np.sqrt(np.linalg.eigvalsh(gram).clip(0))
    value = rankme(x)
    assert isinstance(value, float)
    assert value == pytest.approx(np.exp(entropy(values)), rel=1e-4)


@pytest.mark.once
def test_rankme_of_known_spectra():
    orthogonal, _ = np.linalg.qr(draw(1, 50, 8))
    assert rankme(orthogonal) == pytest.approx(8, rel=1e-4)
    assert rankme(1e-20 * orthogonal) == pytest.approx(8, rel=1e-4)
    half = orthogonal * [1, 1, 1, 1, 0, 0, 0, 0]
    assert rankme(half) == pytest.approx(4, rel=1e-4)
    assert rankme(np.ones((50, 8))) == pytest.approx(1, rel=1e-4)
    assert rankme(np.zeros((50, 8))) == 0.0


@pytest.mark.once
def test_rankme_adds_epsilon_as_in_the_paper():
    probs = np.array([1.0, 0.0]) + 0.1
    expected = np.exp(-np.sum(probs * np.log(probs)))
    assert rankme([[3.0, 0.0], [0.0, 0.0]], epsilon=0.1) == pytest.approx(
        expected
    )


@pytest.mark.once
def test_alignment_against_loops():
    x, y = draw(2, 9, 5), draw(3, 9, 5)
    terms = [np.sum((a - b) ** 2) for a, b in zip(unit(x), unit(y))]  # noqa: B905
    assert alignment(x, y) == pytest.approx(np.mean(terms), rel=1e-12)
    assert alignment(x, 2 * x) == 0.0
    assert alignment(x, -x) == pytest.approx(4.0)


@pytest.mark.once
@pytest.mark.parametrize("t", [2.0, 0.5])
@pytest.mark.parametrize("batch_size", [4, 1024])
def test_uniformity_against_all_pairs(t, batch_size):
    x = draw(4, 11, 5)
    squares = pdist(unit(x), "sqeuclidean")
    expected = np.log(np.mean(np.exp(-t * squares)))
    assert uniformity(x, t, batch_size) == pytest.approx(expected, rel=1e-9)


@pytest.mark.once
def test_uniformity_of_constant_features_is_zero():
    assert uniformity(np.ones((6, 3))) == 0.0


def test_half_precision_and_tensors():
    for dtype in ("float16", "bfloat16", "float32"):
        x = ops.cast(draw(5, 20, 4), dtype)
        exact = ops.convert_to_numpy(ops.cast(x, "float32"))
        assert rankme(x) == rankme(exact)
        assert uniformity(x) == uniformity(exact)
        assert alignment(x, x) == 0.0


@pytest.mark.once
def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"`features`.*\(2, 3, 4\)"):
        rankme(np.ones((2, 3, 4)))
    with pytest.raises(ValueError, match="in 1 of 2 rows, first in row 1"):
        rankme([[1.0, 2.0], [np.nan, 1.0]])
    with pytest.raises(ValueError, match="3 rows in x, 2 in y"):
        alignment(np.ones((3, 2)), np.ones((2, 2)))
    with pytest.raises(ValueError, match="at least two rows"):
        uniformity(np.ones((1, 2)))
    with pytest.raises(ValueError, match="t=0"):
        uniformity(np.ones((3, 2)), t=0)
