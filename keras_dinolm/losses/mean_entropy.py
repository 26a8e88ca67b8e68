"""Entropy of the mean assignment, in nats."""

from keras import ops

from keras_dinolm.losses.arrays import as_float32
from keras_dinolm.losses.arrays import check_shape
from keras_dinolm.losses.arrays import check_temperature
from keras_dinolm.losses.entropy import entropy
from keras_dinolm.typing import Tensor


def mean_entropy(logits: Tensor, temperature: float | Tensor) -> Tensor:
    """Entropy of the mean of the rows' assignments.

    `-sum_k m[k] * log m[k]` with `m` the mean over rows of
    `softmax(logits / temperature)`. At `log K` all prototypes are used alike,
    whether each row is certain of one of them or of none; at 0 all rows have
    chosen the same one.

    Args:
        logits: Array of shape `[N, K]` (further leading axes are allowed).
        temperature: Float, or scalar tensor.

    Returns:
        Float32 scalar, in nats, from 0 to `log K`.

    Raises:
        ValueError: If `logits` has fewer than two axes, or `temperature` is
            a number that is not positive.

    Example:

    ```python
    import numpy as np
    from keras_dinolm.losses import mean_entropy

    print(mean_entropy(np.eye(4), 0.01))  # log 4: each row has its own
    print(mean_entropy(np.eye(4)[[0, 0]], 0.01))  # 0: both have the same
    ```

    Reference:

    - [MSN](https://arxiv.org/abs/2204.07141)
    """
    logits = as_float32("logits", logits)
    check_shape("logits", logits, ".NK")
    probs = ops.softmax(
        logits / check_temperature("temperature", temperature), axis=-1
    )
    rows = ops.reshape(probs, (-1, probs.shape[-1]))
    return entropy(ops.mean(rows, axis=0, keepdims=True))
