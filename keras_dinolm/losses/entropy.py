"""Entropy of assignments, in nats."""

from keras import ops

from keras_dinolm.losses.arrays import as_float32
from keras_dinolm.losses.arrays import check_shape
from keras_dinolm.typing import Tensor


def entropy(probs: Tensor) -> Tensor:
    """Mean entropy of rows of probabilities.

    The mean over rows of `-sum_k p[n, k] * log p[n, k]`, with `0 log 0 = 0`.
    Near 0 all rows are certain; at `log K` they are uniform and say nothing.

    Args:
        probs: Array of shape `[N, K]` (further leading axes are allowed);
            rows are probabilities.

    Returns:
        Float32 scalar, in nats, from 0 to `log K`.

    Raises:
        ValueError: If `probs` has fewer than two axes.

    Example:

    ```python
    import numpy as np
    from keras_dinolm.losses import entropy

    print(entropy(np.full((3, 4), 0.25)))  # log 4
    print(entropy(np.eye(4)))  # 0
    ```
    """
    probs = as_float32("probs", probs)
    check_shape("probs", probs, ".NK")
    # log(0) is replaced by log(1), because 0 log(0) is NaN.
    logs = ops.log(ops.where(probs == 0, 1.0, probs))
    return 0.0 - ops.mean(ops.sum(probs * logs, axis=-1))  # 0, never -0
