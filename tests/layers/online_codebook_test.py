import keras
import numpy as np
import pytest
from scipy.special import softmax

import keras_dinolm as kd
from tests.gradients import value_and_grad


def array(x):
    return np.array(keras.ops.convert_to_numpy(x))


def tensor(x):
    return keras.ops.convert_to_tensor(x)


def unit(rng, *shape):
    x = rng.normal(size=shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def made(codes, **kwargs):
    """A fresh codebook with the given codes."""
    targets = kd.layers.OnlineCodebook(len(codes), **kwargs)
    targets.build((None, codes.shape[1]))
    targets.codes.assign(codes)
    return targets


def step(targets, rows, finite=True, moved=True, weight=None, temperature=0.5):
    rows = tensor(rows.astype("float32"))
    weight = None if weight is None else tensor(weight.astype("float32"))
    probs = targets(rows, temperature=temperature, sample_weight=weight)
    statistics = targets.statistics(rows, weight)
    targets.after_step(statistics, tensor(finite), tensor(finite and moved))
    return array(probs)


def nearest(rows, codes):
    return np.array(
        [np.argmin([np.linalg.norm(z - c) for c in codes]) for z in rows]
    )


# === Targets ===


def test_targets_are_the_nearest_code_or_a_softmax_of_distances():
    rng = np.random.default_rng(0)
    # Of different lengths, so that the nearest is not that of best direction.
    codes = rng.normal(size=(5, 3)) * rng.uniform(0.2, 2.0, size=(5, 1))
    rows = unit(rng, 40, 3)
    hard = step(made(codes), rows)
    np.testing.assert_array_equal(hard, np.eye(5)[nearest(rows, codes)])
    assert len(np.unique(nearest(rows, codes))) > 2
    squares = np.sum((rows[:, None] - codes) ** 2, axis=-1)
    soft = step(made(codes, hard=False), rows, temperature=0.3)
    np.testing.assert_allclose(
        soft, softmax(-squares / 2 / 0.3, axis=-1), atol=1e-5
    )


def test_soft_targets_harden_with_temperature():
    rng = np.random.default_rng(1)
    codes, rows = unit(rng, 4, 3), unit(rng, 9, 3)
    cold = step(made(codes, hard=False), rows, temperature=1e-4)
    np.testing.assert_allclose(cold, step(made(codes), rows), atol=1e-5)


def test_targets_carry_no_gradient():
    rng = np.random.default_rng(2)
    targets = made(unit(rng, 4, 3), hard=False)
    weight = rng.normal(size=(6, 4)).astype("float32")

    def score(rows):
        probs = targets(rows, temperature=0.5)
        return keras.ops.sum(probs * weight) + 0.0 * keras.ops.sum(rows)

    _, (gradient,) = value_and_grad(score, unit(rng, 6, 3).astype("float32"))
    assert not np.any(gradient)


# === How codes move ===


def test_codes_are_quotients_of_moving_averages_of_sum_and_count():
    rng = np.random.default_rng(3)
    codes = unit(rng, 4, 3)
    codes[3] *= 50.0  # nobody is near: it must stay where it is, to the bit
    targets = made(codes, momentum=0.8, revive_below=0)
    far = array(targets.codes)[3]
    sums, counts = np.zeros((4, 3)), np.zeros(4)
    for _ in range(4):
        rows = unit(rng, 30, 3)
        chosen = nearest(rows, codes)
        step(targets, rows)
        for k in range(4):
            sums[k] = 0.8 * sums[k] + 0.2 * rows[chosen == k].sum(axis=0)
            counts[k] = 0.8 * counts[k] + 0.2 * np.sum(chosen == k)
            if counts[k]:
                codes[k] = sums[k] / counts[k]
        np.testing.assert_allclose(array(targets.codes), codes, atol=1e-5)
        np.testing.assert_allclose(array(targets.usage), counts, rtol=1e-5)
    assert counts[3] == 0 and np.all(counts[:3] > 0)
    np.testing.assert_array_equal(array(targets.codes)[3], far)


def test_codes_move_once_per_update_by_all_its_batches():
    rng = np.random.default_rng(4)
    codes, rows = unit(rng, 4, 3), unit(rng, 4, 10, 3)
    whole = made(codes, revive_below=0)
    step(whole, rows.reshape(-1, 3))
    parts = made(codes, revive_below=0)
    start = array(parts.codes)
    for i, batch in enumerate(rows):
        np.testing.assert_array_equal(array(parts.codes), start)
        assert int(array(parts.updates)) == 0
        step(parts, batch, moved=i == 3)
    assert int(array(parts.updates)) == 1
    for a, b in zip(parts.weights, whole.weights):
        np.testing.assert_allclose(array(a), array(b), atol=1e-6)


def test_a_bad_step_moves_nothing_and_has_no_targets():
    rng = np.random.default_rng(5)
    targets = made(unit(rng, 4, 3))
    step(targets, unit(rng, 6, 3))
    before = [array(w) for w in targets.weights]
    bad = unit(rng, 6, 3)
    bad[2, 0] = np.nan
    probs = step(targets, bad, finite=False)
    np.testing.assert_array_equal(
        np.isnan(probs).all(axis=1), np.arange(6) == 2
    )
    for a, b in zip(targets.weights, before):
        np.testing.assert_array_equal(array(a), b)


def test_spare_slots_neither_count_nor_get_targets():
    rng = np.random.default_rng(6)
    codes, rows = unit(rng, 5, 3), unit(rng, 8, 3)
    weight = np.array([1, 0, 1, 1, 0, 0, 1, 1])
    alone, padded = made(codes), made(codes)
    expected = step(alone, rows[weight > 0])
    rows[weight == 0] = np.nan
    probs = step(padded, rows, weight=weight)
    np.testing.assert_array_equal(probs[weight == 0], 0.0)
    np.testing.assert_array_equal(probs[weight > 0], expected)
    for a, b in zip(padded.weights, alone.weights):
        np.testing.assert_allclose(array(a), array(b), atol=1e-6)
    before = array(padded.codes)
    step(padded, rows, weight=np.zeros(8))
    np.testing.assert_array_equal(array(padded.codes), before)


# === Dead codes ===


def test_dead_codes_go_to_distinct_features_with_the_mean_count():
    rng = np.random.default_rng(7)
    rows = unit(rng, 12, 3)
    codes = np.concatenate([rows[:2], 50 * unit(rng, 4, 3)])
    targets = made(codes, momentum=0.5)
    step(targets, rows)
    found = array(targets.codes)[2:]
    places = nearest(found, rows)
    np.testing.assert_allclose(found, rows[places], atol=1e-6)
    assert sorted(places % 3) == [0] * 4, "evenly spaced: 12 rows, 4 dead"
    assert len(set(places)) == 4
    # 12 rows at 1 - momentum over 6 codes; they are the mean from now on.
    np.testing.assert_allclose(array(targets.usage)[2:], 1.0, rtol=1e-6)
    # Alive from now on, each follows its own features.
    twin = array(targets.codes)
    step(targets, twin)
    np.testing.assert_allclose(array(targets.codes), twin, atol=1e-6)


def test_more_dead_codes_than_features_wait_for_the_next_update():
    rng = np.random.default_rng(8)
    targets = made(50 * unit(rng, 9, 3))
    dead = []
    for _ in range(4):
        step(targets, unit(rng, 3, 3))
        lengths = np.linalg.norm(array(targets.codes), axis=-1)
        dead.append(int(np.sum(lengths > 2)))
    assert dead[0] <= 6 and dead[-1] == 0
    assert all(a - b <= 3 for a, b in zip(dead, dead[1:]))


def test_revival_depends_on_state_alone():
    rng = np.random.default_rng(9)
    batches = unit(rng, 3, 7, 3)
    # Features are all nearest to the first.
    codes = np.array([[50], [60], [70]]) * unit(rng, 3, 3)
    one = made(codes, momentum=0.5, revive_below=0.9)
    for batch in batches[:2]:
        step(one, batch)
    other = made(codes, momentum=0.5, revive_below=0.9)
    for mine, theirs in zip(other.weights, one.weights):
        mine.assign(array(theirs))
    for targets in (one, other):
        step(targets, batches[2])
    for a, b in zip(one.weights, other.weights):
        np.testing.assert_array_equal(array(a), array(b))
    # The count of updates turns the place.
    early, late = made(codes), made(codes)
    late.updates.assign(1)
    for targets in (early, late):
        step(targets, batches[0])
    assert np.abs(array(early.codes) - array(late.codes)).max() > 0.1


def test_codes_find_the_clusters():
    rng = np.random.default_rng(10)
    centers = np.eye(4)
    # All codes start in one corner, where the first cluster is.
    targets = made(centers[0] + 0.01 * rng.normal(size=(12, 4)), momentum=0.5)
    for _ in range(8):
        rows = centers[rng.integers(4, size=40)]
        step(targets, rows + 0.02 * rng.normal(size=(40, 4)))
    distances = np.linalg.norm(centers[:, None] - array(targets.codes), axis=-1)
    assert distances.min(axis=1).max() < 0.05


# === As a layer ===


def test_config_makes_the_same():
    targets = kd.layers.OnlineCodebook(
        6, momentum=0.7, hard=False, revive_below=0.2
    )
    keras.config.set_dtype_policy("mixed_bfloat16")
    targets.build((None, 3))
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(targets)
    )
    assert again.get_config() == targets.get_config()
    assert again.built and again.codes.shape == (6, 3)
    probs = again(keras.ops.cast(np.eye(3), "bfloat16"), temperature=0.1)
    assert keras.backend.standardize_dtype(probs.dtype) == "float32"


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"num_codes": 1}, "num_codes=1"),
        ({"num_codes": 4, "momentum": 1.0}, "momentum=1.0"),
        ({"num_codes": 4, "revive_below": -0.1}, "revive_below=-0.1"),
    ],
)
def test_refuses(kwargs, message):
    with pytest.raises(ValueError, match=message):
        kd.layers.OnlineCodebook(**kwargs)
