"""What the logs say of steps that moved nothing."""

import math

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from tests import tiny


def fit(model, scale=None, count=2, **kwargs):
    optimizer = kd.optimizers.AdamW(1e-3)
    if scale is not None:
        optimizer = keras.optimizers.LossScaleOptimizer(
            optimizer, initial_scale=scale
        )
    model.compile(optimizer, **kwargs)
    monitor = kd.callbacks.CollapseMonitor(patience=1, check_every=1)
    history = model.fit(tiny.Batches(count), callbacks=[monitor], verbose=0)
    return {
        name: values[-1] for name, values in history.history.items()
    }, monitor


def test_a_loss_scale_that_settles_does_not_hide_the_loss():
    """Of each step, loss and features are what they are without a scale."""
    exact = tiny.model()
    exact.compile("adam")
    expected = exact.evaluate(tiny.Batches(2), return_dict=True, verbose=0)
    keras.config.set_dtype_policy("mixed_float16")
    model = tiny.model()
    before = tiny.values(model.trainable_variables)
    logs, monitor = fit(model, scale=2.0**40)
    assert logs["skipped_steps"] == 2
    for a, b in zip(before, tiny.values(model.trainable_variables)):
        np.testing.assert_array_equal(a, b)
    assert all(math.isfinite(value) for value in logs.values()), logs
    # The same weights on the same batches, in half precision.
    for name in ("loss", "info_nce", "feature_std"):
        assert logs[name] == pytest.approx(expected[name], rel=0.05), name


def test_an_epoch_of_which_every_step_was_skipped_has_no_loss():
    model = tiny.model()
    weight = model.trainable_variables[0]
    weight.assign(np.full(weight.shape, np.nan))
    logs, monitor = fit(model)
    assert logs["skipped_steps"] == 2
    for name in ("loss", "info_nce", "koleo", "feature_std", "rankme"):
        assert math.isnan(logs[name]), name
    # Nothing was measured, so nothing has collapsed.
    assert monitor.found == []
