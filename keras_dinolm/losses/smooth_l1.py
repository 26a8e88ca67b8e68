"""Regression of features at masked tokens."""

from keras import ops

from keras_dinolm import arguments
from keras_dinolm.losses.arrays import as_float32
from keras_dinolm.losses.arrays import check_shape
from keras_dinolm.typing import Tensor


def smooth_l1(
    predictions: Tensor,
    targets: Tensor,
    beta: float | None = 1.0,
    sample_weight: Tensor | None = None,
) -> Tensor:
    """Weighted mean of a distance that is square near 0 and linear beyond.

    `sum_m w[m] * mean_d h(p[m, d] - t[m, d]) / sum_m w[m]`, with
    `h(e) = e^2 / (2 beta)` where `|e| < beta`, else `|e| - beta / 2`. An
    outlier pulls with a force of 1 at most.

    Args:
        predictions: Array of shape `[M, D]`.
        targets: Array of shape `[M, D]`.
        beta: Positive float, where the two pieces meet; `None` takes the
            plain squared error `h(e) = e^2`.
        sample_weight: Optional array of shape `[M]` of weights, not negative.
            Rows of weight 0 (unused slots) take no part, whatever they hold.
            Defaults to ones.

    Returns:
        Float32 scalar. 0 (without gradient) if all weights are 0.

    Raises:
        ValueError: If a shape does not fit or `beta` is not positive.

    Example:

    ```python
    import numpy as np
    from keras_dinolm.losses import smooth_l1

    targets = np.zeros((2, 3))
    print(smooth_l1(targets + 0.5, targets))  # 0.125
    print(smooth_l1(targets + 2.0, targets))  # 1.5
    ```

    References:

    - [Girshick, 2015](https://arxiv.org/abs/1504.08083)
    - [Baevski et al., 2022](https://arxiv.org/abs/2202.03555)
    """
    predictions = as_float32("predictions", predictions)
    targets = as_float32("targets", targets)
    sizes = check_shape("predictions", predictions, "MD")
    check_shape("targets", targets, "MD", sizes)
    if beta is not None:
        beta = arguments.number(
            "beta", beta, above=0, meaning="or `None` for the squared error"
        )
    if sample_weight is None:
        sample_weight = ops.ones_like(predictions[:, 0])
    else:
        sample_weight = as_float32("sample_weight", sample_weight)
        check_shape("sample_weight", sample_weight, "M", sizes)
        # Before the formula, not after: 0 * NaN is NaN, forward and backward.
        unused = ops.expand_dims(sample_weight == 0, axis=1)
        predictions = ops.where(unused, 0.0, predictions)
        targets = ops.where(unused, 0.0, targets)
    error = predictions - targets
    values = ops.square(error)
    if beta is not None:
        size = ops.abs(error)
        values = ops.where(
            size < beta, values / (2.0 * beta), size - 0.5 * beta
        )
    per_row = ops.mean(values, axis=-1)
    total = ops.sum(sample_weight)
    return ops.sum(sample_weight * per_row) / ops.where(total > 0, total, 1.0)
