"""Dropping branches keeps the mean, and drops whole samples."""

import numpy as np

from keras_dinolm import layers
from tests.layers.arrays import to_numpy


def test_samples_are_dropped_whole_and_the_mean_stays():
    kept = to_numpy(layers.DropPath(0.25)(np.ones((4000, 3)), training=True))
    assert set(np.unique(kept.round(5))) == {0.0, round(4 / 3, 5)}
    assert (kept == kept[:, :1]).all()
    assert abs(kept.mean() - 1) < 0.05  # 5 standard errors are 0.046


def test_dropout_drops_single_features_on_top():
    layer = layers.DropPath(rate=0.5, dropout=0.2)
    kept = to_numpy(layer(np.ones((400, 50)), training=True))
    per_row = (kept > 0).mean(axis=1)
    assert 0.4 < (per_row == 0).mean() < 0.6
    assert abs(per_row[per_row > 0].mean() - 0.8) < 0.02
    np.testing.assert_allclose(kept[kept > 0], 2 / 0.8, rtol=1e-5)


def test_nothing_is_dropped_outside_training():
    layer = layers.DropPath(rate=0.5, dropout=0.5)
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    np.testing.assert_array_equal(to_numpy(layer(x, training=False)), x)
    assert layer.draw(x) is None
