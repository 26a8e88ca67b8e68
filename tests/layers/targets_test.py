import keras
import numpy as np
import pytest
from scipy.special import softmax

import keras_dinolm as kd


def array(x):
    return np.array(keras.ops.convert_to_numpy(x))


def tensor(x):
    return keras.ops.convert_to_tensor(x)


def step(targets, logits, finite=True, moved=True, weight=None):
    logits = tensor(logits.astype("float32"))
    weight = None if weight is None else tensor(weight.astype("float32"))
    probs = targets(logits, temperature=0.5, sample_weight=weight)
    statistics = targets.statistics(logits, weight)
    targets.after_step(statistics, tensor(finite), tensor(finite and moved))
    return array(probs)


def test_center_starts_at_zero_and_acts_from_the_next_update():
    rng = np.random.default_rng(0)
    batches = rng.normal(size=(3, 5, 4)) + 1.0
    targets = kd.layers.Centering(momentum=0.9)
    targets.build((None, 4))
    center = np.zeros(4)
    for logits in batches:
        expected = softmax((logits - center) / 0.5, axis=-1)
        np.testing.assert_allclose(step(targets, logits), expected, atol=1e-5)
        center = 0.9 * center + 0.1 * logits.mean(axis=0)
        np.testing.assert_allclose(array(targets.center), center, atol=1e-6)


def test_center_moves_once_per_update_by_the_mean_over_its_batches():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(4, 6, 3))
    targets = kd.layers.Centering(momentum=0.8)
    targets.build((None, 3))
    for i, batch in enumerate(logits):
        np.testing.assert_array_equal(array(targets.center), 0.0)
        step(targets, batch, moved=i == 3)
    expected = 0.2 * logits.reshape(-1, 3).mean(axis=0)
    np.testing.assert_allclose(array(targets.center), expected, atol=1e-6)


def test_a_bad_step_moves_nothing():
    rng = np.random.default_rng(2)
    good, bad = rng.normal(size=(2, 6, 3))
    bad[0, 0] = np.nan
    targets = kd.layers.Centering()
    targets.build((None, 3))
    step(targets, bad, finite=False)
    step(targets, good)
    np.testing.assert_allclose(
        array(targets.center), 0.1 * good.mean(axis=0), atol=1e-6
    )


def test_spare_slots_neither_count_nor_get_targets():
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(6, 3))
    weight = np.array([1, 0, 1, 1, 0, 0])
    targets = kd.layers.Centering()
    targets.build((None, 3))
    probs = step(targets, logits, weight=weight)
    np.testing.assert_array_equal(probs[weight == 0], 0.0)
    np.testing.assert_allclose(
        array(targets.center), 0.1 * logits[weight > 0].mean(axis=0), atol=1e-6
    )


@pytest.mark.parametrize(
    "targets", [kd.layers.Centering(), kd.layers.Sinkhorn()]
)
def test_logits_stay_float32_under_a_mixed_policy(targets):
    keras.config.set_dtype_policy("mixed_bfloat16")
    config = targets.get_config()
    config.pop("dtype")
    made = type(targets)(**config)
    made.build((None, 4))
    probs = made(tensor(np.eye(4, dtype="float32")), temperature=0.1)
    assert keras.backend.standardize_dtype(probs.dtype) == "float32"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: kd.layers.Sinkhorn(0), "num_iterations=0"),
        (lambda: kd.layers.Centering(1.0), "momentum=1.0"),
    ],
)
def test_refuses(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("weight", [None, [1, 0, 1, 1, 0, 1]])
@pytest.mark.parametrize("layer", [kd.layers.Centering, kd.layers.Sinkhorn])
def test_factored_forms_are_those_of_the_product(layer, weight):
    rng = np.random.default_rng(4)
    features, prototypes = rng.normal(size=(6, 3)), rng.normal(size=(3, 4))
    features, prototypes = (
        tensor(x.astype("float32")) for x in (features, prototypes)
    )
    logits = keras.ops.matmul(features, prototypes)
    if weight is not None:
        weight = tensor(np.array(weight, "float32"))
    targets = layer()
    targets.build((None, 4))
    if layer is kd.layers.Centering:
        targets.center.assign(rng.normal(size=4))
    bias = targets.prototype_bias(
        features, prototypes, 0.5, sample_weight=weight, max_logits=8
    )
    probs = softmax(array(logits) / 0.5 + array(bias), axis=-1)
    if weight is not None:
        probs = probs * array(weight)[:, None]
    expected = array(targets(logits, temperature=0.5, sample_weight=weight))
    np.testing.assert_allclose(probs, expected, atol=1e-5)
    found = targets.factored_statistics(features, prototypes, weight)
    expected = targets.statistics(logits, weight)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(array(found[key]), array(value), atol=1e-5)
