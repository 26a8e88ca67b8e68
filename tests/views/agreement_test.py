"""The same bits everywhere: NumPy, device, compiled, `tf.data`."""

import importlib.util

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.views.namespace import KERAS
from keras_dinolm.views.namespace import NUMPY
from keras_dinolm.views.namespace import namespace_of

BATCH_SIZE, WINDOW = 6, 30
SEED, STEP = 11, 3
# Before, at, between and after the knots of the curriculum.
STEPS = (0, 3, 4, 5, 11, 1_000_000)


def make_views(*names):
    """Views with the groups named, or all; the last one uses every option."""
    ramp, knots = kd.schedules.Linear, kd.schedules.PiecewiseLinear
    groups = (
        kd.views.ViewGroup("global", 2, span=(0.8, 1.0), mask_probability=0.5),
        kd.views.ViewGroup("local", 3, span=(0.2, 0.4), roles="student"),
        kd.views.ViewGroup(
            "changed",
            2,
            span=(0.3, 0.9),
            mask_probability=0.8,
            mask_span=1.5,
            word_deletion=0.3,
        ),
        kd.views.ViewGroup(
            "moving",
            2,
            span=(ramp(0.9, 0.2, steps=9, begin=1), ramp(1.0, 0.8, steps=7)),
            mask_probability=ramp(0.0, 0.8, steps=9, begin=3),
            mask_ratio=(0.1, knots([2, 6, 12], [0.3, 0.6, 0.5])),
            mask_span=ramp(1.0, 4.3, steps=10),
            mask_unit="word",
            word_deletion=ramp(0.0, 0.2, steps=7),
            punctuation_removal=knots([4], [0.4]),
            word_swap=ramp(0.3, 0.9, steps=100_000),
            sentence_shuffle=ramp(0.0, 1.0, steps=5),
            sentence_window=4,
            synonym_replacement=ramp(0.0, 0.5, steps=4, begin=1),
            typos=ramp(0.5, 0.0, steps=10),
            alternate_probability=ramp(0.2, 0.8, steps=9),
        ),
    )
    if names:
        groups = [group for group in groups if group.name in names]
    ids = np.arange(99)
    special = kd.views.SpecialTokens(
        0, 1, 2, ids % 3 == 0, ids % 5 == 1, ids % 10 == 1
    )
    synonyms = {i: [i + 1, i + 2, i + 3] for i in range(4, 60, 3)}
    typos = {i: [i - 1] for i in range(5, 99, 2)}
    return kd.views.TextViews(
        special,
        WINDOW + 1,
        groups,
        synonyms=kd.views.ReplacementTable.of(synonyms, 99),
        typos=kd.views.ReplacementTable.of(typos, 99),
    )


def make_windows():
    rng = np.random.default_rng(0)
    lengths = np.array([0, 1, 2, 17, WINDOW, WINDOW], np.int32)
    token_ids = rng.integers(3, 99, (BATCH_SIZE, WINDOW), dtype=np.int32)
    token_ids[np.arange(WINDOW) >= lengths[:, None]] = 0
    starts = rng.integers(0, 500, BATCH_SIZE, dtype=np.int32)
    # Of a row: no alternate, one or two, which may be empty as well.
    others = rng.integers(3, 99, (BATCH_SIZE, 2, WINDOW), dtype=np.int32)
    used = [[0, 0], [WINDOW, 0], [3, 9], [1, 0], [0, 0], [WINDOW, 7]]
    return {
        "token_ids": token_ids,
        "lengths": lengths,
        "starts": starts,
        "alternate_ids": others,
        "alternate_lengths": np.array(used, np.int32),
        "alternate_starts": np.array([[600, 700]] * BATCH_SIZE, np.int32),
    }


def to_tensors(windows):
    return {k: keras.ops.convert_to_tensor(v) for k, v in windows.items()}


def compiled(function):
    """`function`, compiled by the active backend (torch: as it is)."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=True)
    return function


def assert_same_bits(received, expected, to_numpy):
    assert received.keys() == expected.keys()
    for name, group in expected.items():
        assert received[name].keys() == group.keys()
        for key, value in group.items():
            array = to_numpy(received[name][key])
            assert array.dtype == value.dtype, (name, key)
            np.testing.assert_array_equal(array, value, f"{name} {key}")


def test_numpy_gives_arrays_of_the_promised_shapes_and_types():
    views = make_views()
    made = views(make_windows(), seed=SEED, step=STEP)
    shapes = views.shapes(BATCH_SIZE, WINDOW)
    assert made.keys() == shapes.keys()
    for name, group in made.items():
        assert {k: v.shape for k, v in group.items()} == shapes[name]
        for key, value in group.items():
            boolean = key in ("padding_mask", "masked")
            assert value.dtype == ("bool" if boolean else "int32")


def test_device_agrees_with_numpy():
    # One group: eager JAX compiles every operation for every shape.
    views = make_views("changed")
    expected = views(make_windows(), seed=SEED, step=STEP)
    received = views(to_tensors(make_windows()), seed=SEED, step=STEP)
    assert_same_bits(received, expected, keras.ops.convert_to_numpy)


def test_tensors_and_numpy_arrays_go_together():
    step = keras.ops.convert_to_tensor(STEP)
    assert namespace_of(np.zeros(3), 0, step) is KERAS
    assert namespace_of(np.zeros(3), 0, np.int64(3)) is NUMPY


def test_compiled_once_for_all_steps_agrees_with_numpy():
    # These two use all there is; each group takes seconds to compile.
    views = make_views("changed", "moving")
    traces = []

    def make(windows, seed, step):
        traces.append(step)
        return views(windows, seed=seed, step=step)

    make_compiled = compiled(make)
    windows, tensors = make_windows(), to_tensors(make_windows())
    for step in STEPS:
        counters = [
            keras.ops.convert_to_tensor(value, dtype="int32")
            for value in (SEED, step)
        ]
        received = make_compiled(tensors, *counters)
        expected = views(windows, seed=SEED, step=step)
        assert_same_bits(received, expected, keras.ops.convert_to_numpy)
    # Torch is not compiled here: it runs the function each time.
    eager = compiled(make) is make
    assert len(traces) == (len(STEPS) if eager else 1)


def test_pipeline_traced_once_agrees_with_numpy_and_holds_no_python():
    if importlib.util.find_spec("tensorflow") is None:
        return  # Nothing to agree with: `tf.data` is TensorFlow's.
    import tensorflow as tf

    # Each group takes seconds to trace; these two use all there is.
    views, windows = make_views("local", "moving"), make_windows()
    traces = []

    def cut_views(step, batch):
        traces.append(step)
        return views(batch, seed=SEED, step=step)

    dataset = (
        tf.data.Dataset.from_tensors(windows)
        .repeat(len(STEPS))
        .enumerate()
        .map(lambda n, batch: (tf.constant(STEPS, tf.int64)[n], batch))
        .map(cut_views)
    )
    for name, shapes in views.shapes(BATCH_SIZE, WINDOW).items():
        for key, shape in shapes.items():
            assert dataset.element_spec[name][key].shape == shape
    for step, received in zip(STEPS, dataset, strict=True):
        expected = views(windows, seed=SEED, step=step)
        assert_same_bits(received, expected, lambda array: array.numpy())
    assert len(traces) == 1

    # The function that `map` runs is in the library of the dataset's graph.
    graph = tf.compat.v1.GraphDef()
    graph.ParseFromString(dataset._as_serialized_graph().numpy())
    operations = {node.op for node in graph.node}
    for function in graph.library.function:
        operations |= {node.op for node in function.node_def}
    assert len(operations) > 10
    assert not [name for name in operations if "PyFunc" in name]

    ragged = tf.data.Dataset.from_tensor_slices(windows).batch(4)
    with pytest.raises(ValueError, match="static shape"):
        ragged.map(views)


def test_searchsorted_on_the_device_counts_smaller_entries():
    rng = np.random.default_rng(1)
    for size in (1, 2, 3, 64, 100):
        x = np.sort(rng.integers(0, 50, size)).astype("int32")
        values = np.arange(-1, 53, dtype="int32").reshape(6, 9)
        found = KERAS.searchsorted(
            keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(values)
        )
        expected = (x[:, None, None] < values).sum(0)
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(found), expected
        )


def test_arrays_of_an_unknown_library_are_named():
    with pytest.raises(TypeError, match="numpy.asarray"):
        namespace_of(memoryview(b"ab"))
