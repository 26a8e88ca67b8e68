"""Batches of one cluster: as many as asked for, and nothing else changes."""

import collections

import keras
import numpy as np
import pytest

import keras_dinolm as kd

NUM_CLUSTERS = 6
BATCH = 8
OPTIONS = {"batch_size": BATCH, "seed": 3, "block_tokens": 4_000}


class Windows:
    """Stands in for `TextViews`: shows the windows."""

    sequence_length = 17

    def __call__(self, windows, seed, step):
        return windows


@pytest.fixture(scope="module")
def labels():
    generator = np.random.default_rng(0)
    shares = [0.4, 0.25, 0.15, 0.1, 0.08, 0.02]
    return generator.choice(NUM_CLUSTERS, 900, p=shares)


@pytest.fixture(scope="module")
def store(labels, tmp_path_factory):
    """Documents whose every word tells the cluster, some empty, some long."""
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [f"w{i}" for i in range(NUM_CLUSTERS)]
    generator = np.random.default_rng(1)
    lengths = generator.integers(0, 30, len(labels))
    texts = [
        " ".join([words[label]] * length)
        for label, length in zip(labels, lengths)
    ]
    with pytest.warns(UserWarning):
        return kd.data.tokenize(
            texts,
            kd.models.DinoLMTokenizer(specials + words),
            tmp_path_factory.mktemp("store"),
            num_workers=0,
            shard_characters=9_000,
            show_progress=False,
        )


def batches(store, count=None, **options):
    options = {**OPTIONS, "use_tf_data": False, **options}
    dataset = kd.data.view_dataset(store, Windows(), **options)
    count = len(dataset) if count is None else count
    return [
        keras.tree.map_structure(np.asarray, batch)
        for batch, _ in zip(dataset, range(count))
    ]


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


def test_an_epoch_has_the_same_windows(store, labels):
    options = {"num_epochs": 1, "drop_remainder": False, "buckets": [16]}
    plain = batches(store, **options)
    some = batches(store, clusters=labels, homogeneous=0.5, **options)
    assert len(plain) == len(some)
    assert share(plain) < 0.05 and share(some) > 0.3
    # But for those that complete the last batch of a block.
    one, other = windows_of(plain), windows_of(some)
    assert set(one) == set(other)
    assert (one - other).total() < BATCH * 8
    # Without any homogeneous batch, too.
    none = batches(store, clusters=labels, homogeneous=0.0, **options)
    assert share(none) < 0.05 and set(windows_of(none)) == set(one)


def test_the_share_is_the_probability(store, labels):
    steps = kd.data.steps_per_epoch(store, Windows(), BATCH, block_tokens=4_000)
    count = 12 * steps
    for probability in (0.1, 0.4):
        found = batches(store, count, clusters=labels, homogeneous=probability)
        deviation = np.sqrt(probability * (1 - probability) / count)
        assert abs(share(found) - probability) < 4 * deviation + 0.02


def test_runs_are_drawn_from_all_clusters_and_places(store, labels):
    found = batches(store, 400, clusters=labels, homogeneous=0.3)
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
        "clusters": labels,
        "homogeneous": 0.4,
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


def test_documents_without_a_cluster_are_in_mixed_batches(store, labels):
    # One set is to come alone, the others never do, however the numbers are.
    found = batches(
        store,
        200,
        clusters=np.where(labels == 1, 77, -1),
        homogeneous=0.15,
        buckets=[16],
    )
    alone = [clusters_of(b).pop() for b in found if len(clusters_of(b)) == 1]
    assert len(alone) > 10
    assert collections.Counter(alone)[6] >= 0.9 * len(alone)


def test_too_small_clusters_are_told(store, labels):
    with pytest.warns(UserWarning, match="0 of .* batches can be of one"):
        found = batches(
            store, 20, clusters=np.arange(len(labels)), homogeneous=0.5
        )
    assert share(found) < 0.2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clusters": [1, 2]}, r"900 documents.*shape \(2,\)"),
        ({"clusters": np.zeros(900)}, "dtype float64"),
        ({"homogeneous": 1.5}, "homogeneous=1.5"),
    ],
)
def test_wrong_arguments_are_named(store, labels, options, message):
    options = {"clusters": labels, **options}
    with pytest.raises(ValueError, match=message):
        batches(store, 1, **options)
    with pytest.raises(ValueError, match="`TokenStore`"):
        kd.data.view_dataset(["a"], Windows(), 1, clusters=[0])
