"""The same bits twice: deterministic operations, where a backend has others."""

import contextlib
import os
import warnings

import keras


@contextlib.contextmanager
def deterministic_operations(wanted=True):
    """Makes operations within it deterministic, if wanted, and none after it.

    On a CPU, jax and torch repeat themselves for a given number of threads. On
    a GPU, sums over scattered indices and some matrix products do not, unless
    asked to.
    """
    if not wanted:
        yield
        return
    with {
        "tensorflow": _tensorflow,
        "torch": _torch,
        "jax": _jax,
    }[keras.backend.backend()]():
        yield


@contextlib.contextmanager
def _tensorflow():
    # `tf.config` has no way back; Keras asks this module, too. Left on, Keras
    # would refuse XLA to every model that is compiled later.
    from tensorflow.python.framework import config

    was_enabled = config.is_op_determinism_enabled()
    config.enable_op_determinism()
    try:
        yield
    finally:
        if not was_enabled:
            config.disable_op_determinism()


@contextlib.contextmanager
def _torch():
    import torch

    was_enabled = torch.are_deterministic_algorithms_enabled()
    if torch.cuda.is_available():
        # Read by cuBLAS when it starts.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(was_enabled)


@contextlib.contextmanager
def _jax():
    import jax

    # XLA reads its flags once, before anything can be built on it.
    flag = "--xla_gpu_deterministic_ops=true"
    if jax.default_backend() == "gpu" and (
        flag not in os.environ.get("XLA_FLAGS", "")
    ):
        warnings.warn(
            "On a GPU, jax repeats a run to the bit only with "
            f"XLA_FLAGS={flag} in the environment. Set it before Python "
            "starts, or pass `deterministic=False` if a resumed run may "
            "differ in rounding.",
            stacklevel=7,
        )
    yield
