"""Variance, invariance and covariance of two views."""

from keras import ops

from keras_dinolm.losses.arrays import as_float32
from keras_dinolm.losses.arrays import check_scalar
from keras_dinolm.losses.arrays import check_shape
from keras_dinolm.typing import Tensor


def vicreg(
    x: Tensor,
    y: Tensor,
    invariance_weight: float = 25.0,
    variance_weight: float = 25.0,
    covariance_weight: float = 1.0,
) -> Tensor:
    """Pulls two views together and keeps every feature alive and distinct.

    The weighted sum of

    - invariance: the mean squared difference of `x` and `y`;
    - variance: half the sum over both inputs of
      `mean_d max(0, 1 - sqrt(var_d + 1e-4))`, with unbiased variances over
      the batch: no feature may become constant;
    - covariance: the sum over both inputs of the squared off-diagonal
      covariances, divided by D: no two features may say the same.

    Args:
        x: Array of shape `[N, D]`: features of one view of N texts.
        y: Array of shape `[N, D]`: those of another view.
        invariance_weight: Float.
        variance_weight: Float.
        covariance_weight: Float.

    Returns:
        Float32 scalar. A single row counts as constant: variance and
        covariance 0.

    Raises:
        ValueError: If a shape does not fit or a weight is negative.

    Example:

    ```python
    import numpy as np
    from keras_dinolm.losses import vicreg

    rng = np.random.default_rng(0)
    x = rng.normal(size=(16, 4))
    print(vicreg(x, x + 0.1 * rng.normal(size=(16, 4))))
    ```

    Reference:

    - [Bardes et al., 2022](https://arxiv.org/abs/2105.04906)
    """
    x = as_float32("x", x)
    y = as_float32("y", y)
    sizes = check_shape("x", x, "ND")
    check_shape("y", y, "ND", sizes)
    invariance_weight = check_scalar(
        "invariance_weight", invariance_weight, low=0
    )
    variance_weight = check_scalar("variance_weight", variance_weight, low=0)
    covariance_weight = check_scalar(
        "covariance_weight", covariance_weight, low=0
    )
    invariance = ops.mean(ops.square(x - y))
    variance_x, covariance_x = _spread(x)
    variance_y, covariance_y = _spread(y)
    return (
        invariance_weight * invariance
        + variance_weight * 0.5 * (variance_x + variance_y)
        + covariance_weight * (covariance_x + covariance_y)
    )


def _spread(x):
    """Hinge on the standard deviations, and the squared covariances over D."""
    num_rows = ops.cast(ops.shape(x)[0], "float32")
    degrees = ops.maximum(num_rows - 1.0, 1.0)
    centered = x - ops.mean(x, axis=0, keepdims=True)
    variance = ops.sum(ops.square(centered), axis=0) / degrees
    hinge = ops.mean(ops.relu(1.0 - ops.sqrt(variance + 1e-4)))
    covariance = ops.matmul(ops.transpose(centered), centered) / degrees
    width = x.shape[-1]
    off_diagonal = covariance * (1.0 - ops.eye(width, dtype="float32"))
    return hinge, ops.sum(ops.square(off_diagonal)) / width
