"""k-means on the sphere: what it finds, and clusters that would be empty."""

import numpy as np
import pytest
from sklearn.cluster import KMeans

import keras_dinolm as kd

pytestmark = pytest.mark.once


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def features():
    """Rows of any length around 40 directions, some of them rare."""
    rng = np.random.default_rng(0)
    share = 1.0 / np.arange(1, 41)
    kind = rng.choice(40, 5_000, p=share / share.sum())
    around = unit(rng.normal(size=(40, 16)))[kind]
    rows = around + 0.1 * rng.normal(size=(5_000, 16))
    return (rows * rng.uniform(0.1, 9, (5_000, 1))).astype("float32")


def test_close_to_full_kmeans_and_reproducible(features):
    found = kd.data.centroids(features, 40, seed=3)
    assert found.shape == (40, 16) and found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    again = kd.data.centroids(features, 40, seed=3)
    np.testing.assert_array_equal(again, found)
    assert np.any(kd.data.centroids(features, 40, seed=4) != found)
    rows = unit(features)
    full = KMeans(40, n_init=3, random_state=0).fit(rows)
    best = (rows @ unit(full.cluster_centers_).T).max(axis=1).mean()
    ours = (rows @ found.T).max(axis=1).mean()
    assert ours > best - 0.01


def test_no_cluster_is_empty():
    # 12 directions that are seen thousands of times, and 20 that are seen once.
    rng = np.random.default_rng(1)
    directions = unit(rng.normal(size=(32, 6)))
    rows = np.concatenate([np.repeat(directions[:12], 900, 0), directions[12:]])
    for seed in range(3):
        found = kd.data.centroids(rows, 32, seed=seed)
        nearest = (directions @ found.T).argmax(axis=1)
        assert len(set(nearest)) == 32
    with pytest.raises(ValueError, match="features with 32 different"):
        kd.data.centroids(rows, 33)


def test_half_precision_on_disk_is_read_in_part(features, tmp_path):
    path = tmp_path / "features"
    kept = np.memmap(path, "float16", "w+", shape=features.shape)
    kept[:] = features
    found = kd.data.centroids(kept, 8, max_rows=2_000, max_iterations=5)
    rows = unit(features.astype("float64"))
    # Each is the mean of thousands, so nearer to its rows than they are.
    assert (rows @ found.T).max(axis=1).mean() > 0.6
    assert len(set((rows @ found.T).argmax(axis=1))) == 8
    kept[7] = np.nan
    with pytest.raises(ValueError, match="first in row 7"):
        kd.data.centroids(kept, 8)
