"""Clusters, balanced samples and neighbours, against brute force."""

import importlib
import shutil
import zipfile

import numpy as np
import pytest
import scipy.stats
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

import keras_dinolm as kd
from keras_dinolm.curation import balance

pytestmark = pytest.mark.once

# The package has a function of the same name.
module = importlib.import_module("keras_dinolm.curation.hierarchical_kmeans")


def blobs(sizes, generator, spread=0.01):
    """Points about random directions, and which direction each is of."""
    centers = generator.normal(size=(len(sizes), 16))
    labels = np.repeat(np.arange(len(sizes)), sizes)
    noise = generator.normal(size=(len(labels), 16))
    order = generator.permutation(len(labels))
    return (centers[labels] + spread * noise)[order], labels[order]


def lopsided(count, generator):
    """Points of a rectangle, ten times as dense on the left as on the right."""
    side = np.where(generator.random(count) < 10 / 11, -1.0, 1.0)
    x = side * generator.random(count)
    return np.stack([x, generator.random(count)], axis=1)


# === Hierarchical k-means ===


def test_blobs_are_found_and_levels_nest():
    features, truth = blobs([40, 40, 40, 40, 40, 40], np.random.default_rng(0))
    clusters = kd.curation.hierarchical_kmeans(
        features, [24, 6], num_resampling=3
    )
    assert clusters.num_levels == 2
    assert adjusted_rand_score(truth, clusters.labels(1)) == 1.0
    for cluster in range(len(clusters.centroids[0])):
        inside = clusters.labels(0) == cluster
        assert inside.any()
        assert len(set(clusters.labels(1)[inside])) == 1
        assert len(set(truth[inside])) == 1
    # Each document is with the nearest centroid; each cluster likewise.
    points = features / np.linalg.norm(features, axis=1, keepdims=True)
    for level in range(2):
        distances = np.linalg.norm(
            points[:, None] - clusters.centroids[level][None], axis=-1
        )
        np.testing.assert_array_equal(
            distances.argmin(1), clusters.parents[level]
        )
        points = clusters.centroids[level]
    assert clusters.sizes(1).tolist() == [40] * 6
    assert clusters.entropy(1) == pytest.approx(np.log(6))
    assert "level 1: 6 clusters of 40 to 40" in str(clusters)


def test_resampling_spreads_centroids_evenly_over_the_support():
    features = lopsided(4_000, np.random.default_rng(1))

    def share_on_the_right(centroids):
        return np.mean(centroids[:, 0] > 0)

    # In two dimensions, k-means gives the square root of the density, so
    # 1 / (1 + sqrt(10)) = 0.24 of its centroids to the right half.
    plain = KMeans(40, n_init=1, random_state=0).fit(features)
    assert share_on_the_right(plain.cluster_centers_) < 0.32
    clusters = kd.curation.hierarchical_kmeans(
        features, [400, 40], num_resampling=4, normalize=False
    )
    assert abs(share_on_the_right(clusters.centroids[1]) - 0.5) < 0.1


def test_the_nearest_points_are_those_of_each_cluster():
    generator = np.random.default_rng(2)
    points = generator.normal(size=(50, 3))
    centroids = generator.normal(size=(4, 3))
    labels = generator.integers(0, 4, 50)
    labels[:45][labels[:45] == 3] = 0  # a small cluster
    found = module._nearest(points, centroids, labels, 6)
    expected = []
    for cluster in range(4):
        members = np.flatnonzero(labels == cluster).tolist()
        members.sort(
            key=lambda i: np.linalg.norm(points[i] - centroids[labels[i]])
        )
        expected += members[:6]
    assert found.tolist() == sorted(expected)


def test_the_same_seed_gives_the_same_clusters():
    features, _ = blobs([30, 5, 5], np.random.default_rng(3), spread=0.5)
    options = {"num_clusters": [12, 3], "num_resampling": 2}
    one = kd.curation.hierarchical_kmeans(features, **options)
    two = kd.curation.hierarchical_kmeans(features, **options)
    for level in range(2):
        np.testing.assert_array_equal(one.parents[level], two.parents[level])
    other = kd.curation.hierarchical_kmeans(features, **options, seed=1)
    assert (other.parents[0] != one.parents[0]).any()


def test_equal_points_are_one_cluster():
    clusters = kd.curation.hierarchical_kmeans(np.ones((20, 3)), [5, 2])
    assert clusters.sizes(0).tolist() == clusters.sizes(1).tolist() == [20]
    assert clusters.entropy(1) == 0
    features = np.eye(3)
    clusters = kd.curation.hierarchical_kmeans(features, [3])
    assert sorted(clusters.labels().tolist()) == [0, 1, 2]


def test_stopped_clustering_goes_on_where_it_was(tmp_path, monkeypatch):
    features, _ = blobs([30, 20, 10], np.random.default_rng(4))
    options = {"num_clusters": [9, 3], "num_resampling": 2}
    expected = kd.curation.hierarchical_kmeans(features, **options)
    kmeans, calls = module._kmeans, []

    def counted(*arguments):
        calls.append(arguments)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return kmeans(*arguments)

    monkeypatch.setattr(module, "_kmeans", counted)
    options["directory"] = tmp_path / "clusters"
    with pytest.raises(KeyboardInterrupt):
        kd.curation.hierarchical_kmeans(features, **options)
    clusters = kd.curation.hierarchical_kmeans(features, **options)
    assert len(calls) == 5 + 2  # of 6, the fifth twice
    for level in range(2):
        np.testing.assert_array_equal(
            clusters.parents[level], expected.parents[level]
        )
        np.testing.assert_array_equal(
            clusters.centroids[level], expected.centroids[level]
        )
    with pytest.raises(ValueError, match="other clusters: of other seed"):
        kd.curation.hierarchical_kmeans(features, **options, seed=1)
    with pytest.raises(ValueError, match="of other features"):
        kd.curation.hierarchical_kmeans(features[::-1], **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_clusters": [5, 5]}, "descend"),
        ({"num_clusters": [11]}, r"10\. .*num_clusters=\[11\]"),
        ({"num_clusters": []}, "descend"),
        ({"num_clusters": [0]}, "num_clusters=0"),
        ({"num_resampling": -1}, "num_resampling=-1"),
        ({"points_per_cluster": [1, 2]}, r"1 levels.*\[1, 2\]"),
        ({"points_per_cluster": 0}, "points_per_cluster=0"),
        ({"features": np.full((10, 2), np.nan)}, "`features`.*finite"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    options = {"features": np.eye(10), "num_clusters": [4], **options}
    with pytest.raises(ValueError, match=message):
        kd.curation.hierarchical_kmeans(**options)


# === Balanced sampling ===


def test_shares_are_as_even_as_there_is_room():
    generator = np.random.default_rng(0)
    for _ in range(200):
        room = generator.integers(0, 12, generator.integers(1, 8))
        total = int(generator.integers(0, room.sum() + 1))
        shares = balance._divide(total, room, generator)
        assert shares.sum() == total and (shares <= room).all()
        # Nobody has two more than one that has room left.
        room_left = shares[shares < room]
        if len(room_left):
            assert shares.max() <= room_left.min() + 1


def tree(sizes_of_sizes):
    """`Clusters` of two levels with the given sizes, without k-means."""
    low = [size for sizes in sizes_of_sizes for size in sizes]
    top = np.repeat(
        np.arange(len(sizes_of_sizes)), list(map(len, sizes_of_sizes))
    )
    parents = np.repeat(np.arange(len(low)), low), top
    centroids = np.zeros((len(low), 1)), np.zeros((len(sizes_of_sizes), 1))
    return kd.curation.Clusters(centroids, parents)


def test_the_top_divides_first_and_small_clusters_give_all():
    clusters = tree([[100, 2], [5, 5, 5], [50, 50, 50, 50]])
    report = kd.curation.balanced_sample(clusters, 60, seed=3)
    assert len(report.kept) == 60
    # 15 of the second, so 22 or 23 of the others; 2 of the smallest.
    top = clusters.sizes(1, report.kept)
    assert top[1] == 15 and set(top[[0, 2]]) <= {22, 23}
    low = clusters.sizes(0, report.kept)
    assert low[1] == 2 and low[2:5].tolist() == [5, 5, 5]
    assert set(low[5:]) <= {5, 6}
    before, after = report.details["entropy"][1]
    assert before == pytest.approx(scipy.stats.entropy([102, 15, 200]))
    assert after == pytest.approx(scipy.stats.entropy(top))
    assert after > before
    for level, (before, after) in enumerate(report.details["entropy"]):
        assert f"level {level}: {before:.2f} before, {after:.2f}" in str(report)


def test_samples_are_drawn_once_each_and_by_the_seed():
    clusters = tree([[30, 10], [4]])
    everything = kd.curation.balanced_sample(clusters, 44)
    assert everything.kept.tolist() == list(range(44))
    one = kd.curation.balanced_sample(clusters, 20, seed=1).kept
    assert (
        one.tolist()
        == kd.curation.balanced_sample(clusters, 20, 1).kept.tolist()
    )
    assert (
        one.tolist()
        != kd.curation.balanced_sample(clusters, 20, 2).kept.tolist()
    )
    times = np.zeros(44)
    for seed in range(300):
        times[kd.curation.balanced_sample(clusters, 12, seed).kept] += 1
    # 4 of the last four, 4 of ten, 4 of thirty: all alike in each cluster.
    assert (times[40:] == 300).all()
    np.testing.assert_allclose(times[30:40], 300 * 4 / 10, atol=40)
    np.testing.assert_allclose(times[:30], 300 * 4 / 30, atol=30)
    for size in (0, 45):
        with pytest.raises(ValueError, match=f"size={size}"):
            kd.curation.balanced_sample(clusters, size)


def test_a_long_tail_becomes_flat():
    features, _ = blobs([400, 60, 20, 10, 10], np.random.default_rng(5))
    clusters = kd.curation.hierarchical_kmeans(
        features, [25, 5], num_resampling=3
    )
    report = kd.curation.balanced_sample(clusters, 50)
    before, after = report.details["entropy"][1]
    assert before == pytest.approx(scipy.stats.entropy([400, 60, 20, 10, 10]))
    assert after == pytest.approx(np.log(5))


# === Retrieval ===


def test_neighbours_are_those_of_brute_force():
    generator = np.random.default_rng(6)
    features = generator.normal(size=(80, 5))
    seeds = generator.normal(size=(7, 5))
    report = kd.curation.retrieve_near(features, seeds, k=3, batch_size=2)
    norms = np.linalg.norm(seeds, axis=1)[:, None]
    cosines = seeds @ features.T / norms / np.linalg.norm(features, axis=1)
    best = np.argsort(-cosines, axis=1)[:, :3]
    np.testing.assert_array_equal(report.details["neighbors"], best)
    np.testing.assert_allclose(
        report.details["cosines"], np.take_along_axis(cosines, best, 1)
    )
    times = [int((best == i).sum()) for i in range(80)]
    assert report.details["times"].tolist() == times
    assert report.kept.tolist() == sorted(set(best.reshape(-1).tolist()))
    assert f"{len(report.kept)} distinct documents of 21" in str(report)


def test_a_seed_in_the_corpus_finds_itself_and_scale_is_nothing():
    features = np.random.default_rng(7).normal(size=(10, 4))
    report = kd.curation.retrieve_near(features, 1e3 * features[[4]], k=1)
    assert report.kept.tolist() == [4]
    with pytest.raises(ValueError, match="10.*k=11"):
        kd.curation.retrieve_near(features, features, k=11)


# === Saved clusters ===

OPTIONS = {"num_clusters": [9, 3], "num_resampling": 1}


def damage_zip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def savez(**changes):
    def change(path):
        with np.load(path) as arrays:
            whole = dict(arrays)
        np.savez(path, **{**whole, **changes})

    return change


def bomb(path):
    """A few kilobytes that unpack to 400 MB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in "centroids", "labels", "made_with":
            archive.writestr(f"{name}.npy", bytes(4 << 20))


def shape(path):
    """A header that asks for terabytes."""
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (10**12,)}"
    header = header.replace("10**12", str(10**12)).ljust(117) + "\n"
    forged = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
    with np.load(path) as arrays:
        whole = dict(arrays)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("centroids.npy", forged + header.encode())
        for name in "labels", "made_with":
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, whole[name])


DAMAGES = {
    "flipped": damage_zip,
    "torn": lambda path: path.write_bytes(path.read_bytes()[:99]),
    "empty": lambda path: path.write_bytes(b""),
    "bomb": bomb,
    "shape": shape,
    "nan": savez(centroids=np.full((9, 16), np.nan, "float32")),
    "width": savez(centroids=np.zeros((3, 5), "float32")),
    "labels": savez(labels=np.full(60, 99)),
    "negative": savez(labels=np.full(60, -1)),
    "fewer": savez(labels=np.zeros(3, "int64")),
    "float": savez(labels=np.zeros(60)),
    "pickle": savez(centroids=np.array([print], dtype=object)),
    "more": savez(more=np.zeros(3)),
    "made": savez(made_with=np.zeros(16, "uint8")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_kept_aside_and_made_again(damage, tmp_path):
    features, _ = blobs([30, 20, 10], np.random.default_rng(4))
    expected = kd.curation.hierarchical_kmeans(features, **OPTIONS)
    kd.curation.hierarchical_kmeans(features, **OPTIONS, directory=tmp_path)
    path = tmp_path / "level-0-step-01.npz"
    DAMAGES[damage](path)
    damaged = path.read_bytes()
    with pytest.warns(UserWarning, match="level-0-step-01.npz' is damaged"):
        clusters = kd.curation.hierarchical_kmeans(
            features, **OPTIONS, directory=tmp_path
        )
    for one, other in zip(clusters.parents, expected.parents):
        np.testing.assert_array_equal(one, other)
    aside = path.with_name(path.name + ".damaged")
    assert aside.read_bytes() == damaged


def test_clusters_of_other_features_are_not_taken(tmp_path):
    features, _ = blobs([30, 20, 10], np.random.default_rng(4))
    for name, points in ("a", features), ("b", features[::-1]):
        kd.curation.hierarchical_kmeans(
            points, **OPTIONS, directory=tmp_path / name
        )
    name = "level-0-step-00.npz"
    shutil.copy(tmp_path / "b" / name, tmp_path / "a" / name)
    with pytest.warns(UserWarning, match="made with other settings"):
        kd.curation.hierarchical_kmeans(
            features, **OPTIONS, directory=tmp_path / "a"
        )


def test_files_of_the_user_stay(tmp_path):
    (tmp_path / "settings.json").write_text("mine")
    with pytest.raises(FileExistsError, match="settings.json"):
        kd.curation.hierarchical_kmeans(np.eye(9), [9, 3], directory=tmp_path)
    assert (tmp_path / "settings.json").read_text() == "mine"


NAN = float("nan")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_clusters", NAN),
        ("num_clusters", "5"),
        ("num_clusters", [5.5]),
        ("num_clusters", True),
        ("num_resampling", NAN),
        ("num_resampling", 1.5),
        ("points_per_cluster", "3"),
        ("points_per_cluster", [NAN]),
        ("normalize", "yes"),
        ("max_iterations", float("inf")),
        ("seed", "0"),
        ("seed", True),
        ("directory", 3),
        ("show_progress", 1),
    ],
)
def test_wrong_kinds_of_arguments_are_named(name, value):
    options = {"num_clusters": [3], name: value}
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        kd.curation.hierarchical_kmeans(np.eye(9), **options)


@pytest.mark.parametrize("value", [NAN, "3", True, 2.0, -1, None])
def test_wrong_counts_are_named(value):
    clusters = kd.curation.hierarchical_kmeans(np.eye(9), [3])
    with pytest.raises(ValueError, match="`size` must be"):
        kd.curation.balanced_sample(clusters, value)
    with pytest.raises(ValueError, match="`seed` must be"):
        kd.curation.balanced_sample(clusters, 3, seed=value or "0")
    with pytest.raises(ValueError, match="`k` must be"):
        kd.curation.retrieve_near(np.eye(9), np.eye(9), k=value)
    with pytest.raises(ValueError, match="`clusters` must be"):
        kd.curation.balanced_sample(value, 3)
    with pytest.raises(ValueError, match="`n` must be"):
        kd.curation.find_leaks([], {"a": ["b"]}, n=value)
