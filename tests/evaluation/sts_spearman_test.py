import numpy as np
import pytest
from keras import ops
from scipy.stats import rankdata

from keras_dinolm.evaluation import sts_spearman


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def by_hand(a, b, scores):
    """Pearson's correlation of the ranks, from the definition."""
    a, b = a.astype("float64"), b.astype("float64")
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines = (a * b).sum(axis=1) / lengths
    return np.corrcoef(rankdata(cosines), rankdata(scores))[0, 1]


@pytest.mark.once
def test_is_the_correlation_of_ranks():
    a, noise = draw(0, 50, 6), draw(1, 50, 6)
    amount = np.linspace(0.1, 3, 50)[:, None]
    scores = np.round(5 - amount[:, 0] + 0.5 * draw(2, 50))  # with ties
    b = a + amount * noise
    actual = sts_spearman(a, b, scores)
    assert isinstance(actual, float)
    assert 0.3 < actual < 0.95
    assert actual == pytest.approx(by_hand(a, b, scores), abs=1e-12)
    assert sts_spearman(a, b, -scores) == pytest.approx(-actual)
    assert sts_spearman(3 * a, b * amount, 7 * scores) == pytest.approx(actual)


@pytest.mark.once
def test_equal_pairs_share_their_rank():
    a = draw(3, 40, 7)
    b = np.concatenate([a[:20] * 3, -a[20:]])
    scores = np.repeat([1.0, 0.0], 20)
    # Twenty cosines of 1 and twenty of -1, up to the sixteenth digit.
    assert sts_spearman(a, b, scores) == pytest.approx(1.0)


@pytest.mark.once
def test_constant_features_give_zero_and_a_warning():
    with pytest.warns(UserWarning, match="collapsed to constant features"):
        assert sts_spearman(np.ones((4, 3)), np.ones((4, 3)), range(4)) == 0.0


def test_tensors_of_half_precision():
    a, b, scores = draw(4, 20, 5), draw(5, 20, 5), draw(6, 20)
    a = ops.cast(a, "bfloat16")
    exact = ops.convert_to_numpy(ops.cast(a, "float32"))
    actual = sts_spearman(a, b, ops.convert_to_tensor(scores))
    assert actual == pytest.approx(by_hand(exact, b, scores), abs=1e-12)


@pytest.mark.once
@pytest.mark.parametrize(
    "a, b, scores, message",
    [
        ((3, 2), (4, 2), [1, 2, 3], "3 and 4 rows"),
        ((3, 2), (3, 5), [1, 2, 3], "must have 2 columns"),
        ((3, 2), (3, 2), [1, 2], r"scores of shape \(2,\)"),
        ((3, 2), (3, 2), [1, 2, np.nan], "`scores` must be finite"),
        ((3, 2), (3, 2), [1, 1, 1], "two different values"),
    ],
)
def test_wrong_arguments_are_named(a, b, scores, message):
    with pytest.raises(ValueError, match=message):
        sts_spearman(np.ones(a), np.ones(b), scores)
