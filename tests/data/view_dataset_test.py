"""Batches: the same everywhere, each a function of (seed, step)."""

import collections
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_dinolm as kd

BACKEND = keras.backend.backend()
OPTIONS = {"batch_size": 8, "seed": 3, "block_tokens": 1_500}


class Windows:
    """Stands in for `TextViews`: shows the windows and what it was told."""

    sequence_length = 17

    def __call__(self, windows, seed, step):
        return {"seed": windows["lengths"] * 0 + seed, "step": step, **windows}


def make_texts(count=150):
    generator = np.random.default_rng(0)
    words = [f"w{i}" for i in range(50)]
    lengths = generator.integers(0, 50, count)
    return [" ".join(generator.choice(words, n)) for n in lengths]


@pytest.fixture(scope="module")
def tokenizer():
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return kd.models.DinoLMTokenizer(specials + [f"w{i}" for i in range(50)])


@pytest.fixture(scope="module")
def store(tokenizer, tmp_path_factory):
    with pytest.warns(UserWarning, match="no token"):
        return kd.data.tokenize(
            make_texts(),
            tokenizer,
            tmp_path_factory.mktemp("store"),
            num_workers=0,
            shard_characters=1_000,
            show_progress=False,
        )


def numpy(batch):
    return keras.tree.map_structure(np.asarray, batch)


def take(dataset, count):
    return [numpy(batch) for batch, _ in zip(dataset, range(count))]


def assert_equal(one, other):
    def check(a, b):
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_array_equal(a, b)

    keras.tree.assert_same_structure(one, other)
    keras.tree.map_structure(check, one, other)


# === tf.data and PyDataset ===


def test_batches_are_equal_to_the_bit_with_and_without_tensorflow(
    store, tokenizer
):
    views = kd.views.TextViews(tokenizer, sequence_length=17)
    graph = kd.data.view_dataset(store, views, use_tf_data=True, **OPTIONS)
    plain = kd.data.view_dataset(store, views, use_tf_data=False, **OPTIONS)
    assert isinstance(plain, keras.utils.PyDataset)
    steps = plain.steps_per_epoch
    assert steps == kd.data.steps_per_epoch(
        store, views, batch_size=8, block_tokens=1_500
    )
    assert len(plain.layout.blocks) > 2
    widths = set()
    # Into the third epoch.
    for one, other in zip(take(graph, 2 * steps + 3), plain):
        assert_equal(one, numpy(other))
        widths.add(one["global"]["token_ids"].shape[-1])
    assert len(widths) == 2


@pytest.mark.parametrize("use_tf_data", [True, False])
def test_any_step_can_be_the_first(store, use_tf_data):
    options = {"use_tf_data": use_tf_data, **OPTIONS}
    steps = kd.data.steps_per_epoch(store, Windows(), 8, block_tokens=1_500)
    count = 2 * steps + 4
    batches = take(kd.data.view_dataset(store, Windows(), **options), count)
    for start in (1, 2 * steps - 1):
        dataset = kd.data.view_dataset(
            store, Windows(), start_step=start, **options
        )
        for one, other in zip(take(dataset, 2), batches[start:]):
            assert_equal(one, other)
        assert batches[start]["step"] == start
    # A million epochs ahead is as near.
    dataset = kd.data.view_dataset(
        store, Windows(), start_step=10**6 * steps, **options
    )
    assert take(dataset, 1)[0]["step"] == 10**6 * steps


def test_the_graph_holds_no_python(store, tokenizer):
    import tensorflow as tf

    views = kd.views.TextViews(tokenizer, sequence_length=17)
    dataset = kd.data.view_dataset(store, views, use_tf_data=True, **OPTIONS)
    graph = tf.compat.v1.GraphDef.FromString(
        dataset._as_serialized_graph().numpy()
    )
    ops = {node.op for node in graph.node}
    for function in graph.library.function:
        ops.update(node.op for node in function.node_def)
    assert any("FlatMap" in op for op in ops) and "ReadFile" in ops
    assert not [op for op in ops if "Py" in op or "Generator" in op]


def test_shapes_are_static_in_each_bucket(store):
    shapes = []

    class Views(Windows):
        def __call__(self, windows, seed, step):
            shapes.append(windows["token_ids"].shape)
            return windows

    kd.data.view_dataset(store, Views(), use_tf_data=True, **OPTIONS)
    assert {tuple(shape) for shape in shapes} == {(8, 8), (8, 16)}


# === What an epoch is ===


def epoch_of(store, **options):
    """All windows of one epoch: ids, start, and width of the batch."""
    options = {
        "batch_size": 8,
        "use_tf_data": False,
        "num_epochs": 1,
        **options,
    }
    dataset = kd.data.view_dataset(store, Windows(), **options)
    windows = []
    for batch in take(dataset, len(dataset)):
        width = batch["token_ids"].shape[1]
        for ids, length, start in zip(
            batch["token_ids"], batch["lengths"], batch["starts"]
        ):
            assert 1 <= length <= width and (ids[length:] == 0).all()
            windows.append((tuple(ids[:length].tolist()), int(start), width))
    return windows


def test_an_epoch_covers_every_token_of_every_document(store):
    windows = epoch_of(store, drop_remainder=False)
    seen = collections.defaultdict(set)
    for ids, start, _ in windows:
        seen[start].add(ids)
    for i in range(len(store)):
        ids = tuple(store[i].tolist())
        if len(ids) <= 16:
            assert not ids or ids in seen[0]
            continue
        covered = set()
        for start in range(len(ids) - 15):
            if ids[start : start + 16] in seen[start]:
                covered.update(range(start, start + 16))
        assert covered == set(range(len(ids)))


def test_drop_remainder_leaves_out_less_than_a_batch_of_each_block(store):
    everything = sum(-(-n // 16) for n in store.lengths().tolist())
    windows = epoch_of(store, block_tokens=1_500)
    assert len(set(windows)) == len(windows)
    blocks = len(
        kd.data.view_dataset(
            store, Windows(), use_tf_data=False, **OPTIONS
        ).layout.blocks
    )
    assert everything - 8 * blocks < len(windows) <= everything


def test_short_windows_travel_in_the_smallest_bucket_but_for_leftovers(store):
    windows = epoch_of(store, buckets=[4, 8, 16])
    widths = collections.Counter(
        width for ids, _, width in windows if len(ids) <= 4
    )
    assert widths[4] % 8 == 0 and 0 < widths[8] + widths[16] < 8
    assert all(len(ids) <= width for ids, _, width in windows)


def test_epochs_and_seeds_shuffle_anew(store):
    options = {"batch_size": 8, "use_tf_data": False, "num_epochs": 2}
    orders = []
    for seed in (0, 1):
        dataset = kd.data.view_dataset(
            store, Windows(), seed=seed, buckets=[16], **options
        )
        batches = take(dataset, len(dataset))
        assert all(batch["seed"].tolist() == [seed] * 8 for batch in batches)
        half = len(batches) // 2
        for part in (batches[:half], batches[half:]):
            orders.append([b["token_ids"].tolist() for b in part])
    for i, order in enumerate(orders):
        assert all(order != other for other in orders[:i])
    lengths = [
        sorted(sum(map(bool, row)) for batch in order for row in batch)
        for order in orders
    ]
    # The same windows but for the few of the last batch.
    first, second = collections.Counter(lengths[0]), lengths[1]
    assert (first - collections.Counter(second)).total() < 8


@pytest.mark.parametrize("use_tf_data", [True, False])
def test_a_finite_dataset_has_a_length(store, use_tf_data):
    options = {"use_tf_data": use_tf_data, "num_epochs": 2, **OPTIONS}
    steps = kd.data.steps_per_epoch(store, Windows(), 8, block_tokens=1_500)
    dataset = kd.data.view_dataset(store, Windows(), **options)
    assert len(dataset) == 2 * steps == sum(1 for _ in dataset)
    dataset = kd.data.view_dataset(
        store, Windows(), start_step=steps + 1, **options
    )
    assert len(dataset) == steps - 1 == sum(1 for _ in dataset)


# === fit, and without TensorFlow ===


class Total(keras.layers.Layer):
    """Counts tokens, so that `fit` has something to do."""

    def call(self, batch):
        return keras.ops.cast(batch["lengths"], "float32")[:, None]


@pytest.mark.parametrize("use_tf_data", [True, False])
def test_fit_takes_the_batches(store, use_tf_data):
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.total = Total()
            self.scale = self.add_weight(shape=(), initializer="ones")

        def call(self, batch):
            return self.total(batch) * self.scale

        def compute_loss(self, x, y, y_pred, sample_weight=None, **kwargs):
            return keras.ops.mean(y_pred)

    class Views(Windows):
        def __call__(self, windows, seed, step):
            return windows

    dataset = kd.data.view_dataset(
        store, Views(), use_tf_data=use_tf_data, buckets=[16], **OPTIONS
    )
    expected = np.mean([b["lengths"].mean() for b in take(dataset, 6)])
    model = Model()
    model.compile(optimizer=keras.optimizers.SGD(0.0))
    history = model.fit(
        dataset, steps_per_epoch=3, epochs=2, verbose=0, shuffle=False
    )
    np.testing.assert_allclose(
        np.mean(history.history["loss"]), expected, rtol=1e-5
    )


WITHOUT = """
import json, sys
import numpy as np
sys.modules["tensorflow"] = None
sys.modules["tensorflow_text"] = None
import keras, keras_dinolm as kd
directory, vocabulary = json.load(sys.stdin)
tokenizer = kd.models.DinoLMTokenizer(vocabulary)
store = kd.data.TokenStore.open(directory, tokenizer)
views = kd.views.TextViews(tokenizer, sequence_length=17)
dataset = kd.data.view_dataset(store, views, 8, 3, block_tokens=1_500)
assert isinstance(dataset, keras.utils.PyDataset)
rows = keras.tree.map_structure(lambda x: np.asarray(x).tolist(), dataset[5])
json.dump(rows, sys.stdout)
"""


@pytest.mark.once
def test_without_tensorflow_the_batches_are_the_same(store, tokenizer):
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        input=json.dumps(
            [str(store.directory), list(tokenizer.get_vocabulary())]
        ),
        env={
            **os.environ,
            "KERAS_BACKEND": "jax" if BACKEND == "tensorflow" else BACKEND,
        },
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    views = kd.views.TextViews(tokenizer, sequence_length=17)
    dataset = kd.data.view_dataset(
        store, views, use_tf_data=True, start_step=5, **OPTIONS
    )
    (batch,) = take(dataset, 1)
    for group, arrays in json.loads(result.stdout).items():
        for name, rows in arrays.items():
            assert batch[group][name].tolist() == rows


LIGHT = """
import sys
import keras_dinolm.data
heavy = {"tensorflow", "keras", "keras_hub", "jax", "torch"} & set(sys.modules)
assert not heavy, heavy
import keras_dinolm.data.shard, keras_dinolm.text.encoder
heavy = {"tensorflow", "keras", "keras_hub", "jax", "torch"} & set(sys.modules)
assert not heavy, heavy
"""


def test_importing_data_and_workers_imports_no_framework():
    subprocess.run([sys.executable, "-c", LIGHT], check=True)


# === Raw texts ===


def test_texts_that_are_not_on_disk(tokenizer):
    texts = make_texts()
    options = {
        "batch_size": 8,
        "tokenizer": tokenizer,
        "num_epochs": 1,
        "shuffle_buffer": 20,
    }
    dataset = kd.data.view_dataset(iter(texts), Windows(), **options)
    batches = take(dataset, 10_000)
    windows = sum(-(-len(t.split()) // 16) for t in texts)
    assert len(batches) == windows // 8
    again = kd.data.view_dataset(texts, Windows(), start_step=4, **options)
    for one, other in zip(take(again, 3), batches[4:]):
        assert_equal(one, other)
    assert_equal(numpy(again[0]), batches[4])
    with pytest.raises(ValueError, match="forward.*index=9"):
        again[9]


def test_texts_end_or_begin_again(tokenizer):
    options = {"batch_size": 8, "tokenizer": tokenizer}
    forever = kd.data.view_dataset(["w1 w2"] * 3, Windows(), **options)
    assert len(take(forever, 10)) == 10
    once = kd.data.view_dataset(iter(["w1 w2"] * 20), Windows(), **options)
    assert len(take(once, 10)) == 2
    with pytest.raises(IndexError, match="texts ended before batch 2"):
        once[2]


# === Errors ===


def test_a_batch_larger_than_the_corpus_is_an_error(store):
    windows = sum(-(-n // 16) for n in store.lengths().tolist())
    with pytest.raises(ValueError, match=f"5000 windows.* {windows} windows"):
        kd.data.view_dataset(store, Windows(), batch_size=5_000)
    dataset = kd.data.view_dataset(
        store,
        Windows(),
        batch_size=5_000,
        drop_remainder=False,
        use_tf_data=False,
        buckets=[16],
    )
    assert dataset[0]["token_ids"].shape == (5_000, 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "`batch_size`.*batch_size=0"),
        ({"seed": -1}, "`seed`.*seed=-1"),
        ({"start_step": -2}, "`start_step`.*start_step=-2"),
        ({"num_epochs": 0}, "`num_epochs`.*num_epochs=0"),
        ({"buckets": [8, 12]}, r"here 16.*buckets=\[8, 12\]"),
        ({"buckets": [16, 8]}, r"ascending.*buckets=\[16, 8\]"),
        ({"num_epochs": 1, "start_step": 10**6}, "start_step=1000000"),
    ],
)
def test_wrong_arguments_are_named(store, options, message):
    options = {"batch_size": 8, **options}
    with pytest.raises(ValueError, match=message):
        kd.data.view_dataset(store, Windows(), **options)


def test_a_store_of_another_tokenizer_is_an_error(store, tokenizer):
    other = kd.models.DinoLMTokenizer([*tokenizer.get_vocabulary(), "another"])
    with pytest.raises(ValueError, match=other.fingerprint()):
        kd.data.view_dataset(store, Windows(), 8, tokenizer=other)


def test_texts_need_a_tokenizer(tmp_path):
    with pytest.raises(ValueError, match="`tokenizer` is needed"):
        kd.data.view_dataset(["a"], Windows(), 8)
    with pytest.raises(ValueError, match="`TokenStore`"):
        kd.data.view_dataset(str(tmp_path), Windows(), 8)
