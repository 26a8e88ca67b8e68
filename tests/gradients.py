"""Values and gradients on whichever backend the tests run under."""

import functools

import keras
import numpy as np

BACKEND = keras.backend.backend()

if BACKEND == "jax":
    import jax
elif BACKEND == "torch":
    import torch
else:
    import tensorflow as tf


def value_and_grad(fn, *arrays, others=()):
    """The value of a scalar function and its gradient to each argument.

    Args:
        fn: Function of backend tensors that returns a scalar tensor.
            On jax it is compiled once for each function object and shape:
            a `lambda` within a parameterised test is compiled every time.
        *arrays: NumPy arrays of a floating dtype. float64 becomes Keras'
            `floatx`, other dtypes stay.
        others: Further arguments of `fn`, of any dtype, that are not
            differentiated.

    Returns:
        `(value, [gradient, ...])`: a float and float64 NumPy arrays. An
        argument that the value does not depend on has a gradient of zeros.
    """
    tensors = [_tensor(array) for array in arrays]
    others = [_tensor(array) for array in others]
    if BACKEND == "jax":
        value, grads = _compiled_gradient(fn, len(tensors))(*tensors, *others)
    elif BACKEND == "torch":
        tensors = [tensor.detach().requires_grad_() for tensor in tensors]
        value = fn(*tensors, *others)
        grads = [None] * len(tensors)
        if value.requires_grad:
            grads = torch.autograd.grad(value, tensors, allow_unused=True)
    else:
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = fn(*tensors, *others)
        grads = tape.gradient(value, tensors)
        # Rows that were gathered come back as slices.
        grads = [None if g is None else tf.convert_to_tensor(g) for g in grads]
    grads = [
        np.zeros(np.shape(array)) if grad is None else _array(grad)
        for array, grad in zip(arrays, grads, strict=True)
    ]
    return float(_array(value)), grads


def evaluate(fn, *arrays, **options):
    """The function's value as NumPy array, of its dtype; on jax, compiled.

    jax compiles each single operation for each shape when it is not given a
    whole function, which takes most of a test run's time. So arguments that
    change from case to case belong into `arrays`, and only what must be
    known to the compiler into `options`.
    """
    tensors = [_tensor(array) for array in arrays]
    if BACKEND == "jax":
        fn, options = _compiled(fn, tuple(sorted(options.items()))), {}
    value = keras.ops.stop_gradient(fn(*tensors, **options))
    return keras.ops.convert_to_numpy(value)


def compiled(fn):
    """The function as a compiled step runs it: by XLA, or a plain graph.

    On torch the function itself: `torch.compile` takes longer than all other
    tests of the losses together.
    """
    if BACKEND == "jax":
        return jax.jit(fn)
    if BACKEND == "tensorflow":
        return tf.function(fn, jit_compile=True)
    return fn


@functools.cache
def _compiled(fn, options):
    return jax.jit(functools.partial(fn, **dict(options)))


@functools.cache
def _compiled_gradient(fn, number):
    return jax.jit(jax.value_and_grad(fn, argnums=tuple(range(number))))


def _tensor(array):
    if keras.ops.is_tensor(array):
        return array
    array = np.asarray(array)
    dtype = keras.config.floatx() if array.dtype == np.float64 else None
    return keras.ops.convert_to_tensor(array, dtype=dtype)


def _array(tensor):
    tensor = keras.ops.stop_gradient(tensor)
    tensor = keras.ops.cast(tensor, "float32")  # NumPy knows no bfloat16
    return keras.ops.convert_to_numpy(tensor).astype("float64")
