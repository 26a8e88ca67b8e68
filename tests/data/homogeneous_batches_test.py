"""Batches of one cluster: as many as asked for, with the same windows."""

import collections
import dataclasses

import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.data import HomogeneousBatches as Some
from tests.data.stores import Windows
from tests.data.stores import build_store
from tests.data.stores import take
from tests.data.stores import word_tokenizer

NUM_CLUSTERS = 6
BATCH = 8
OPTIONS = {"batch_size": BATCH, "seed": 3, "block_tokens": 4_000}


@pytest.fixture(scope="module")
def labels():
    generator = np.random.default_rng(0)
    shares = [0.4, 0.25, 0.15, 0.1, 0.08, 0.02]
    return generator.choice(NUM_CLUSTERS, 900, p=shares)


@pytest.fixture(scope="module")
def store(labels, tmp_path_factory):
    """Documents whose every word tells the cluster, some empty, some long."""
    words = [f"w{i}" for i in range(NUM_CLUSTERS)]
    generator = np.random.default_rng(1)
    lengths = generator.integers(0, 30, len(labels))
    texts = [
        " ".join([words[label]] * length)
        for label, length in zip(labels, lengths)
    ]
    with pytest.warns(UserWarning):
        return build_store(
            texts,
            word_tokenizer(words),
            tmp_path_factory.mktemp("store"),
            shard_characters=9_000,
        )


def batches(store, count=None, **options):
    options = {**OPTIONS, "use_tf_data": False, **options}
    dataset = kd.data.view_dataset(store, Windows(), **options)
    return take(dataset, len(dataset) if count is None else count)


def clusters_of(batch):
    return set(batch["token_ids"][:, 0].tolist())


def share(found):
    return np.mean([len(clusters_of(batch)) == 1 for batch in found])


def windows_of(found):
    return collections.Counter(
        (tuple(row), int(start))
        for batch in found
        for row, start in zip(batch["token_ids"].tolist(), batch["starts"])
    )


@pytest.mark.once
def test_an_epoch_has_the_same_windows(store, labels):
    options = {"num_epochs": 1, "drop_remainder": False, "buckets": [16]}
    plain = batches(store, **options)
    some = batches(store, homogeneous=Some(labels, 0.5), **options)
    assert len(plain) == len(some)
    assert share(plain) < 0.05 and share(some) > 0.3
    # All except those that complete the last batch of a block.
    one, other = windows_of(plain), windows_of(some)
    assert set(one) == set(other)
    assert (one - other).total() < BATCH * 8
    # Without any homogeneous batch, too.
    none = batches(store, homogeneous=Some(labels, 0.0), **options)
    assert share(none) < 0.05 and set(windows_of(none)) == set(one)


@pytest.mark.once
def test_the_share_is_the_probability(store, labels):
    steps = kd.data.steps_per_epoch(store, Windows(), BATCH, block_tokens=4_000)
    count = 12 * steps
    for probability in (0.1, 0.4):
        found = batches(store, count, homogeneous=Some(labels, probability))
        deviation = np.sqrt(probability * (1 - probability) / count)
        assert abs(share(found) - probability) < 4 * deviation + 0.02


@pytest.mark.once
def test_runs_are_drawn_from_all_clusters_and_places(store, labels):
    found = batches(store, 400, homogeneous=Some(labels, 0.3))
    alone = [clusters_of(b).pop() for b in found if len(clusters_of(b)) == 1]
    times = collections.Counter(alone)
    assert len(times) >= 4
    assert times.most_common(1)[0][0] == 5  # the largest cluster's word
    # Spread over the epoch, not in front of it.
    steps = kd.data.steps_per_epoch(store, Windows(), BATCH, block_tokens=4_000)
    places = [
        i % steps for i, b in enumerate(found) if len(clusters_of(b)) == 1
    ]
    assert abs(np.mean(places) / steps - 0.5) < 0.1


@pytest.mark.parametrize("drop_remainder", [True, False])
def test_batches_are_equal_to_the_bit_with_and_without_tensorflow(
    store, labels, drop_remainder
):
    options = {
        "homogeneous": Some(labels, 0.4),
        "drop_remainder": drop_remainder,
    }
    plain = batches(store, 60, **options)
    graph = batches(store, 60, use_tf_data=True, **options)
    later = batches(store, 3, start_step=55, use_tf_data=True, **options)
    for one, other in zip(plain, graph):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    # And any step can be the first.
    for one, other in zip(plain[55:], later):
        np.testing.assert_array_equal(one["token_ids"], other["token_ids"])


@pytest.mark.once
def test_documents_without_a_cluster_are_in_mixed_batches(store, labels):
    # One set is to come alone, the others never do, however the numbers are.
    found = batches(
        store,
        200,
        homogeneous=Some(np.where(labels == 1, 77, -1), 0.15),
        buckets=[16],
    )
    alone = [clusters_of(b).pop() for b in found if len(clusters_of(b)) == 1]
    assert len(alone) > 10
    assert collections.Counter(alone)[6] >= 0.9 * len(alone)


@pytest.mark.once
def test_too_small_clusters_are_told(store, labels):
    with pytest.warns(UserWarning, match="0 of .* batches can be of one"):
        alone = Some(range(len(labels)), 0.5)
        found = batches(store, 20, homogeneous=alone)
    assert share(found) < 0.2


@pytest.mark.once
@pytest.mark.parametrize(
    ("labels", "share", "message"),
    [
        (np.zeros(9), 0.1, "`labels`.*dtype float64"),
        (["a"], 0.1, "`labels`.*dtype <U1"),
        ([[1, 2]], 0.1, r"`labels`.*shape \(1, 2\)"),
        (3, 0.1, r"`labels`.*shape \(\)"),
        ([1, 2], 1.5, r"`share`.*\[0, 1\].*share=1.5"),
        ([1, 2], float("nan"), "share=nan"),
        ([1, 2], "0.1", "share='0.1'"),
        ([1, 2], True, "share=True"),
    ],
)
def test_wrong_wishes_are_named(labels, share, message):
    with pytest.raises(ValueError, match=message):
        Some(labels, share)


@pytest.mark.once
def test_wishes_that_do_not_fit_the_store_are_named(store, labels):
    with pytest.raises(ValueError, match="900 documents.*Received: 2 labels"):
        batches(store, 1, homogeneous=Some([1, 2]))
    for wrong in (0.1, labels, True):
        with pytest.raises(ValueError, match="HomogeneousBatches.*labels, sh"):
            batches(store, 1, homogeneous=wrong)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Some([1, 2]).share = 0.5
    assert Some([1, 2]).share == 0.1
