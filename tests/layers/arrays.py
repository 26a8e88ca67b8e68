"""Tensors of any backend and precision, to compare in NumPy."""

from keras import ops


def to_numpy(tensor):
    """A float64 array of the tensor's values."""
    return ops.convert_to_numpy(ops.cast(tensor, "float32")).astype("float64")
