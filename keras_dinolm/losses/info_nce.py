"""Contrast of two views with the other rows of the batch."""

from keras import ops

from keras_dinolm.losses.arrays import as_float32
from keras_dinolm.losses.arrays import check_shape
from keras_dinolm.losses.arrays import check_temperature
from keras_dinolm.losses.arrays import l2_normalize
from keras_dinolm.typing import Tensor


def info_nce(
    x: Tensor,
    y: Tensor,
    temperature: float | Tensor = 0.05,
    negatives: Tensor | None = None,
) -> Tensor:
    """Contrastive loss: each row finds its other view among all rows.

    With cosines `s[i, j]` of row i of `x` and row j of `y`, the mean of both
    directions of the cross-entropy of `softmax(s / temperature)` against the
    diagonal. Dropout alone as the difference between the views gives SimCSE.

    Args:
        x: Array of shape `[N, D]`: features of one view of N texts.
        y: Array of shape `[N, D]`: those of another view.
        temperature: Positive float or scalar tensor.
        negatives: Optional array of shape `[Q, D]`: features of further
            texts, among which the rows of `x` find theirs, too.

    Returns:
        Float32 scalar, in nats. Without negatives, 0 if N is 1: there is
        nothing to tell apart.

    Raises:
        ValueError: If a shape does not fit or `temperature` is not positive.

    Example:

    ```python
    import numpy as np
    from keras_dinolm.losses import info_nce

    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 16))
    print(info_nce(x, x + 0.1 * rng.normal(size=(8, 16))))  # near 0
    print(info_nce(x, rng.normal(size=(8, 16))))  # above log 8
    ```

    References:

    - [van den Oord et al., 2018](https://arxiv.org/abs/1807.03748)
    - [Gao et al., 2021](https://arxiv.org/abs/2104.08821)
    - [He et al., 2019, a queue](https://arxiv.org/abs/1911.05722)
    """
    x = as_float32("x", x)
    y = as_float32("y", y)
    sizes = check_shape("x", x, "ND")
    check_shape("y", y, "ND", sizes)
    temperature = check_temperature("temperature", temperature)
    x = l2_normalize(x)
    y = l2_normalize(y)
    scores = ops.matmul(x, ops.transpose(y)) / temperature
    positives = ops.sum(x * y, axis=-1) / temperature
    backward = ops.logsumexp(scores, axis=0) - positives
    if negatives is not None:
        negatives = as_float32("negatives", negatives)
        check_shape("negatives", negatives, "QD", {"D": sizes.get("D")})
        others = ops.matmul(x, ops.transpose(l2_normalize(negatives)))
        scores = ops.concatenate([scores, others / temperature], axis=1)
    forward = ops.logsumexp(scores, axis=1) - positives
    return 0.5 * (ops.mean(forward) + ops.mean(backward))
