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


def make_views(*names):
    """Views with the groups named, or all; the last one uses every option."""
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
    )
    if names:
        groups = [group for group in groups if group.name in names]
    special = kd.views.SpecialTokens(0, 1, 2, np.arange(99) % 3 == 0)
    return kd.views.TextViews(special, WINDOW + 1, groups)


def make_windows():
    rng = np.random.default_rng(0)
    lengths = np.array([0, 1, 2, 17, WINDOW, WINDOW], np.int32)
    token_ids = rng.integers(3, 99, (BATCH_SIZE, WINDOW), dtype=np.int32)
    token_ids[np.arange(WINDOW) >= lengths[:, None]] = 0
    starts = rng.integers(0, 500, BATCH_SIZE, dtype=np.int32)
    return {"token_ids": token_ids, "lengths": lengths, "starts": starts}


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


def test_compiled_with_seed_and_step_as_tensors_agrees_with_numpy():
    views = make_views()
    expected = views(make_windows(), seed=SEED, step=STEP)
    make = compiled(lambda w, seed, step: views(w, seed=seed, step=step))
    counters = [
        keras.ops.convert_to_tensor(value, dtype="int32")
        for value in (SEED, STEP)
    ]
    received = make(to_tensors(make_windows()), *counters)
    assert_same_bits(received, expected, keras.ops.convert_to_numpy)


def test_pipeline_agrees_with_numpy_and_holds_no_python():
    if importlib.util.find_spec("tensorflow") is None:
        return  # Nothing to agree with: `tf.data` is TensorFlow's.
    import tensorflow as tf

    views, windows = make_views(), make_windows()
    dataset = (
        tf.data.Dataset.from_tensor_slices(windows)
        .batch(BATCH_SIZE, drop_remainder=True)
        .repeat(STEP + 1)
        .enumerate()
        .map(lambda step, batch: views(batch, seed=SEED, step=step))
    )
    for name, shapes in views.shapes(BATCH_SIZE, WINDOW).items():
        for key, shape in shapes.items():
            assert dataset.element_spec[name][key].shape == shape
    received = list(dataset)[STEP]
    expected = views(windows, seed=SEED, step=STEP)
    assert_same_bits(received, expected, lambda array: array.numpy())

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
