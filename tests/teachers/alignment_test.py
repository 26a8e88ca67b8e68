import numpy as np
import pytest

from keras_dinolm.teachers.alignment import align_features

pytestmark = pytest.mark.once


def _by_character(features, spans, wanted):
    """The mean over the characters that both tokens have."""
    result = np.zeros((len(wanted), features.shape[1]))
    for row, (low, high) in enumerate(wanted):
        found = [
            features[i]
            for place in range(low, high)
            for i, (a, b) in enumerate(spans)
            if a <= place < b
        ]
        if found:
            result[row] = np.mean(found, 0)
    return result


def _random_spans(rng, length):
    cuts = np.unique(rng.integers(0, length + 1, size=length // 2))
    spans = np.stack([cuts[:-1], cuts[1:]], 1)
    return spans[rng.random(len(spans)) < 0.8]


@pytest.mark.parametrize("seed", range(5))
def test_features_are_means_over_shared_characters(seed):
    rng = np.random.default_rng(seed)
    spans, wanted = _random_spans(rng, 40), _random_spans(rng, 40)
    features = rng.normal(size=(len(spans), 3))
    np.testing.assert_allclose(
        align_features(features, spans, wanted),
        _by_character(features, spans, wanted),
        atol=1e-6,
    )


def test_long_texts_are_aligned_in_parts_with_the_same_result():
    rng = np.random.default_rng(0)
    spans, wanted = _random_spans(rng, 4000), _random_spans(rng, 4000)
    assert len(wanted) > 1024
    features = rng.normal(size=(len(spans), 2))
    found = align_features(features, spans, wanted)
    for part in (slice(0, 300), slice(700, 1100)):
        np.testing.assert_allclose(
            found[part],
            align_features(features, spans, wanted[part]),
            atol=1e-6,
        )


def test_equal_spans_keep_their_features():
    spans = np.array([[0, 3], [4, 9]])
    features = np.array([[1.5, 2.0], [-3.0, 0.1]], dtype="float32")
    np.testing.assert_array_equal(
        align_features(features, spans, spans), features
    )
