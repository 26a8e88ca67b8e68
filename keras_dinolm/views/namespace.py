"""The few array functions that the views are written in.

The views must give the same bits on NumPy arrays, on the tensors of the
active Keras backend, and on the symbolic tensors of an input pipeline whose
library is not the active backend (where `keras.ops` would fail). A
*namespace* is an object with the methods below. All integers are int32, and
all functions work on the last axis.

| method | meaning |
|---|---|
| `asarray(x)` | int32 array |
| `shape(x)` | tuple of int; `None` where unknown |
| `arange(n)` | `0 .. n - 1` |
| `where(condition, x, y)` | elementwise choice; scalars allowed |
| `take(x, indices)` | entries of `x` along axis 0 |
| `cumsum(x)` | running sum, of booleans too |
| `sort(x)`, `argsort(x)` | ascending; `argsort` is only used on distinct keys |
| `searchsorted(x, values)` | leftmost insertion points, `x` of rank 1 |
| `right_shift(x, n)` | arithmetic shift |
| `minimum`, `maximum`, `reshape`, `concatenate` | as in NumPy |

Additions, products (wrapping), comparisons, `//`, `&`, `|`, `^` and `~` are
the arrays' own operators.
"""

import sys
from typing import Any

import keras
import numpy as np
from keras import ops


class NumPyNamespace:
    """Views on NumPy arrays, without any backend."""

    where = staticmethod(np.where)
    minimum = staticmethod(np.minimum)
    maximum = staticmethod(np.maximum)
    right_shift = staticmethod(np.right_shift)
    reshape = staticmethod(np.reshape)
    concatenate = staticmethod(np.concatenate)

    @staticmethod
    def asarray(x):
        return np.asarray(x).astype(np.int32, copy=False)

    @staticmethod
    def shape(x):
        return x.shape

    @staticmethod
    def arange(n):
        return np.arange(n, dtype=np.int32)

    @staticmethod
    def take(x, indices):
        return np.take(x, indices, axis=0)

    @staticmethod
    def cumsum(x):
        return np.cumsum(x, axis=-1, dtype=np.int32)

    @staticmethod
    def sort(x):
        return np.sort(x, axis=-1)

    @staticmethod
    def argsort(x):
        return np.argsort(x, axis=-1).astype(np.int32)

    @staticmethod
    def searchsorted(x, values):
        return np.searchsorted(x, values).astype(np.int32)


class KerasNamespace:
    """Views on the tensors of the active backend, eager or compiled."""

    where = staticmethod(ops.where)
    minimum = staticmethod(ops.minimum)
    maximum = staticmethod(ops.maximum)
    right_shift = staticmethod(ops.right_shift)
    reshape = staticmethod(ops.reshape)
    concatenate = staticmethod(ops.concatenate)

    @staticmethod
    def asarray(x):
        return ops.cast(ops.convert_to_tensor(x), "int32")

    @staticmethod
    def shape(x):
        return tuple(x.shape)

    @staticmethod
    def arange(n):
        return ops.arange(n, dtype="int32")

    @staticmethod
    def take(x, indices):
        return ops.take(x, indices, axis=0)

    @staticmethod
    def cumsum(x):
        return ops.cumsum(ops.cast(x, "int32"), axis=-1, dtype="int32")

    @staticmethod
    def sort(x):
        return ops.sort(x, axis=-1)

    @staticmethod
    def argsort(x):
        return ops.cast(ops.argsort(x, axis=-1), "int32")

    @staticmethod
    def searchsorted(x, values):
        # `ops.searchsorted` compares all with all under one backend's XLA,
        # which takes a second for a batch; this takes milliseconds anywhere.
        size = x.shape[0]
        found = ops.zeros_like(values)
        step = 1 << size.bit_length()
        while step > 1:
            step //= 2
            ahead = found + step
            smaller = ops.take(x, ops.minimum(ahead, size) - 1) < values
            found = ops.where(smaller & (ahead <= size), ahead, found)
        return found


class PipelineNamespace:
    """Views as graph ops of a library that is not the active backend.

    The library is reached through the module its tensors come from, so that
    this package neither imports nor names it.

    Args:
        library: module. The top-level module of the tensors' library.
    """

    def __init__(self, library):
        self.library = library
        self.where = library.where
        self.minimum = library.minimum
        self.maximum = library.maximum
        self.reshape = library.reshape
        self.right_shift = library.bitwise.right_shift
        self.concatenate = library.concat

    def asarray(self, x):
        if isinstance(x, np.ndarray):
            x = x.astype(np.int32)
        return self.library.cast(x, self.library.int32)

    def shape(self, x):
        return tuple(x.shape.as_list())

    def arange(self, n):
        return self.library.range(n, dtype=self.library.int32)

    def take(self, x, indices):
        return self.library.gather(x, indices)

    def cumsum(self, x):
        return self.library.cumsum(self.asarray(x), axis=-1)

    def sort(self, x):
        return self.library.sort(x, axis=-1)

    def argsort(self, x):
        return self.library.argsort(x, axis=-1)

    def searchsorted(self, x, values):
        values_1d = self.reshape(values, (-1,))
        found = self.library.searchsorted(x, values_1d)
        return self.reshape(found, values.shape)


NUMPY = NumPyNamespace()
KERAS = KerasNamespace()


def namespace_of(*arrays: Any) -> Any:
    """The namespace whose functions take all of `arrays`.

    Args:
        *arrays: NumPy arrays (or numbers, or nested lists), tensors of the
            active backend, or tensors of another library inside its own input
            pipeline. NumPy arrays go with any of the others.

    Returns:
        An object with the functions listed at the top of this file.

    Raises:
        TypeError: if an array is none of these.
    """
    plain = (np.ndarray, np.generic, list, tuple, int)
    others = [array for array in arrays if not isinstance(array, plain)]
    if not others:
        return NUMPY
    array = others[0]
    library = sys.modules[type(array).__module__.split(".")[0]]
    if keras.ops.is_tensor(array):
        return KERAS
    if not hasattr(library, "bitwise"):
        raise TypeError(
            "Views are made from NumPy arrays, tensors of the active Keras "
            f"backend ('{keras.backend.backend()}'), or tensors of a "
            "`tf.data` pipeline. Convert the array with `numpy.asarray` "
            f"first. Received: an array of type {type(array)}"
        )
    return PipelineNamespace(library)
