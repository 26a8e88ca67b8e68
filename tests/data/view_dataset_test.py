"""Batches: the same everywhere, each a function of (seed, step)."""

import collections
import inspect
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from tests.data.stores import Windows
from tests.data.stores import assert_equal
from tests.data.stores import build_store
from tests.data.stores import take
from tests.data.stores import word_tokenizer

BACKEND = keras.backend.backend()
WORDS = [f"w{i}" for i in range(50)]
OPTIONS = {"batch_size": 8, "seed": 3, "block_tokens": 1_500}


class Told(Windows):
    """Also returns what it was told."""

    def __call__(self, windows, seed, step):
        return {"seed": windows["lengths"] * 0 + seed, "step": step, **windows}


def make_texts(count=150):
    generator = np.random.default_rng(0)
    lengths = generator.integers(0, 50, count)
    return [" ".join(generator.choice(WORDS, n)) for n in lengths]


@pytest.fixture(scope="module")
def tokenizer():
    return word_tokenizer(WORDS)


@pytest.fixture(scope="module")
def store(tokenizer, tmp_path_factory):
    with pytest.warns(UserWarning, match="no token"):
        return build_store(
            make_texts(),
            tokenizer,
            tmp_path_factory.mktemp("store"),
            shard_characters=1_000,
        )


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
    count = 2 * steps + 3
    for one, other in zip(take(graph, count), take(plain, count)):
        assert_equal(one, other)
        widths.add(one["global"]["token_ids"].shape[-1])
    assert len(widths) == 2


@pytest.mark.once
@pytest.mark.parametrize("use_tf_data", [True, False])
def test_any_step_can_be_the_first(store, use_tf_data):
    options = {"use_tf_data": use_tf_data, **OPTIONS}
    steps = kd.data.steps_per_epoch(store, Told(), 8, block_tokens=1_500)
    count = 2 * steps + 4
    batches = take(kd.data.view_dataset(store, Told(), **options), count)
    for start in (1, 2 * steps - 1):
        dataset = kd.data.view_dataset(
            store, Told(), start_step=start, **options
        )
        for one, other in zip(take(dataset, 2), batches[start:]):
            assert_equal(one, other)
        assert batches[start]["step"] == start
    # A step a million epochs ahead is found as fast.
    dataset = kd.data.view_dataset(
        store, Told(), start_step=10**6 * steps, **options
    )
    assert take(dataset, 1)[0]["step"] == 10**6 * steps


@pytest.mark.once
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


@pytest.mark.once
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
    dataset = kd.data.view_dataset(store, Told(), **options)
    windows = []
    for batch in take(dataset, len(dataset)):
        width = batch["token_ids"].shape[1]
        for ids, length, start in zip(
            batch["token_ids"], batch["lengths"], batch["starts"]
        ):
            assert 1 <= length <= width and (ids[length:] == 0).all()
            windows.append((tuple(ids[:length].tolist()), int(start), width))
    return windows


@pytest.mark.once
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


@pytest.mark.once
def test_drop_remainder_leaves_out_less_than_a_batch_of_each_block(store):
    everything = sum(-(-n // 16) for n in store.lengths().tolist())
    windows = epoch_of(store, block_tokens=1_500)
    assert len(set(windows)) == len(windows)
    blocks = len(
        kd.data.view_dataset(
            store, Told(), use_tf_data=False, **OPTIONS
        ).layout.blocks
    )
    assert everything - 8 * blocks < len(windows) <= everything


@pytest.mark.once
def test_short_windows_are_in_the_smallest_bucket_except_leftovers(store):
    windows = epoch_of(store, buckets=[4, 8, 16])
    widths = collections.Counter(
        width for ids, _, width in windows if len(ids) <= 4
    )
    assert widths[4] % 8 == 0 and 0 < widths[8] + widths[16] < 8
    assert all(len(ids) <= width for ids, _, width in windows)


@pytest.mark.once
def test_each_epoch_and_seed_has_another_order(store):
    options = {"batch_size": 8, "use_tf_data": False, "num_epochs": 2}
    orders = []
    for seed in (0, 1):
        dataset = kd.data.view_dataset(
            store, Told(), seed=seed, buckets=[16], **options
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
    # The same windows, except the few of the last batch.
    first, second = collections.Counter(lengths[0]), lengths[1]
    assert (first - collections.Counter(second)).total() < 8


@pytest.mark.once
@pytest.mark.parametrize("use_tf_data", [True, False])
def test_a_finite_dataset_has_a_length(store, use_tf_data):
    options = {"use_tf_data": use_tf_data, "num_epochs": 2, **OPTIONS}
    steps = kd.data.steps_per_epoch(store, Told(), 8, block_tokens=1_500)
    dataset = kd.data.view_dataset(store, Told(), **options)
    assert len(dataset) == 2 * steps == sum(1 for _ in dataset)
    dataset = kd.data.view_dataset(
        store, Told(), start_step=steps + 1, **options
    )
    assert len(dataset) == steps - 1 == sum(1 for _ in dataset)


# === fit, and without TensorFlow ===


@pytest.mark.once
@pytest.mark.parametrize("use_tf_data", [True, False])
@pytest.mark.parametrize("num_epochs", [None, 2])
def test_a_dataset_carries_its_views(store, use_tf_data, num_epochs):
    views = Windows()
    dataset = kd.data.view_dataset(
        store, views, 8, use_tf_data=use_tf_data, num_epochs=num_epochs
    )
    assert dataset.views is views


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
store = kd.data.TokenStore.open(sys.argv[1])
views = kd.views.TextViews(kd.views.SpecialTokens(0, 2, 4), 17)
dataset = kd.data.view_dataset(store, views, 8, 3, block_tokens=1_500)
assert isinstance(dataset, keras.utils.PyDataset)
rows = keras.tree.map_structure(lambda x: np.asarray(x).tolist(), dataset[5])
json.dump(rows, sys.stdout)
try:
    kd.data.view_dataset(store, views, 8, use_tf_data=True)
except ImportError as error:
    assert "`use_tf_data=True` needs TensorFlow" in str(error)
else:
    raise AssertionError("no error")
"""


@pytest.mark.once
def test_without_tensorflow_the_batches_are_the_same(store):
    backend = "jax" if BACKEND == "tensorflow" else BACKEND
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(store.directory)],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    views = kd.views.TextViews(kd.views.SpecialTokens(0, 2, 4), 17)
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


@pytest.mark.once
def test_importing_data_and_workers_imports_no_framework():
    subprocess.run([sys.executable, "-c", LIGHT], check=True)


# === Errors ===


@pytest.mark.once
def test_a_batch_larger_than_the_corpus_is_an_error(store):
    windows = sum(-(-n // 16) for n in store.lengths().tolist())
    with pytest.raises(ValueError, match=f"5000 windows.* {windows} windows"):
        kd.data.view_dataset(store, Told(), batch_size=5_000)
    dataset = kd.data.view_dataset(
        store,
        Told(),
        batch_size=5_000,
        drop_remainder=False,
        use_tf_data=False,
        buckets=[16],
    )
    assert dataset[0]["token_ids"].shape == (5_000, 16)


@pytest.mark.once
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "`batch_size`.*batch_size=0"),
        ({"batch_size": 8.0}, "`batch_size`.*batch_size=8.0"),
        ({"batch_size": True}, "`batch_size`.*batch_size=True"),
        ({"batch_size": "8"}, "`batch_size`.*batch_size='8'"),
        ({"block_tokens": float("nan")}, "`block_tokens`.*block_tokens=nan"),
        ({"drop_remainder": 1}, "`drop_remainder`.*drop_remainder=1"),
        ({"drop_remainder": "no"}, "drop_remainder='no'"),
        ({"buckets": [8, 12]}, r"here 16.*buckets=\[8, 12\]"),
        ({"buckets": [16, 8]}, r"ascending.*buckets=\[16, 8\]"),
        ({"buckets": []}, r"here 16.*buckets=\[\]"),
        ({"buckets": [8.5, 16]}, r"here 16.*buckets=\[8.5, 16\]"),
        ({"buckets": ["nonsense"]}, r"here 16.*buckets=\['nonsense'\]"),
        ({"buckets": "nonsense"}, "here 16.*buckets='nonsense'"),
        ({"buckets": 16}, "here 16.*buckets=16"),
        ({"views": len}, "`views`.*`keras_dinolm.views.TextViews`"),
        ({"tokens": "tokens/"}, "`TokenStore`.*stream_dataset.*'tokens/'"),
        ({"tokens": ["w1 w2"]}, "`TokenStore`.*stream_dataset.*'w1 w2'"),
    ],
)
def test_wrong_arguments_are_named(store, options, message):
    options = {"tokens": store, "views": Told(), "batch_size": 8, **options}
    with pytest.raises(ValueError, match=message):
        kd.data.view_dataset(**options)
    with pytest.raises(ValueError, match=message):
        kd.data.steps_per_epoch(**options)


@pytest.mark.once
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "`seed`.*seed=-1"),
        ({"seed": 2**63}, "`seed`.*seed=9223372036854775808"),
        ({"start_step": -2}, "`start_step`.*start_step=-2"),
        ({"start_step": 2**31}, "`start_step`.*start_step=2147483648"),
        ({"num_epochs": 0}, "`num_epochs`.*num_epochs=0"),
        ({"num_epochs": 1, "start_step": 10**6}, "start_step=1000000"),
        ({"use_tf_data": "yes"}, "`use_tf_data`.*use_tf_data='yes'"),
        ({"use_tf_data": 0}, "`use_tf_data`.*use_tf_data=0"),
        ({"max_alternates": 2}, "`max_alternates` is for views.*=2"),
    ],
)
def test_wrong_arguments_of_the_order_are_named(store, options, message):
    with pytest.raises(ValueError, match=message):
        kd.data.view_dataset(store, Told(), 8, **options)


@pytest.mark.once
def test_a_tokenizer_is_not_taken_for_views(store, tokenizer):
    with pytest.raises(ValueError, match="`views`.*DinoLMTokenizer"):
        kd.data.view_dataset(store, tokenizer, 8)


@pytest.mark.once
def test_steps_per_epoch_has_arguments_of_view_dataset():
    ours = inspect.signature(kd.data.steps_per_epoch).parameters
    theirs = inspect.signature(kd.data.view_dataset).parameters
    for name, parameter in ours.items():
        assert parameter.default == theirs[name].default
        assert parameter.annotation == theirs[name].annotation


@pytest.mark.once
def test_a_store_of_another_tokenizer_is_an_error(store, tokenizer):
    other = kd.models.DinoLMTokenizer([*tokenizer.get_vocabulary(), "another"])
    with pytest.raises(ValueError, match=other.fingerprint()):
        kd.data.view_dataset(store, Told(), 8, tokenizer=other)
