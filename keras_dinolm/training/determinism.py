"""The same bits twice: deterministic operations, where a backend has others."""

import os
import warnings

import keras


def enable_determinism():
    """Makes every operation deterministic, for the rest of the process.

    On a CPU, jax and torch repeat themselves for a given number of threads. On
    a GPU, sums over scattered indices and some matrix products do not, unless
    asked to.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    elif backend == "torch":
        import torch

        if torch.cuda.is_available():
            # Read by cuBLAS when it starts.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True)
    else:
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
                stacklevel=3,
            )
