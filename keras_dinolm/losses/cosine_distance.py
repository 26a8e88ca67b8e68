"""Regression of directions."""

from keras import ops

from keras_dinolm.losses.arrays import as_float32
from keras_dinolm.losses.arrays import check_shape
from keras_dinolm.losses.arrays import l2_normalize
from keras_dinolm.typing import Tensor


def cosine_distance(
    predictions: Tensor, targets: Tensor, sample_weight: Tensor | None = None
) -> Tensor:
    """Weighted mean of one minus the cosine of prediction and target.

    `sum_m w[m] * (1 - cos(p[m], t[m])) / sum_m w[m]`: half the squared
    distance of the two on the unit sphere, so that lengths do not matter.

    Args:
        predictions: Array of shape `[M, D]`.
        targets: Array of shape `[M, D]`.
        sample_weight: Optional array of shape `[M]` of weights, not negative.
            Rows of weight 0 (unused slots) take no part, whatever they hold.
            Defaults to ones.

    Returns:
        Float32 scalar in [0, 2]. 0 (without gradient) if all weights are 0.

    Raises:
        ValueError: If a shape does not fit.

    Example:

    ```python
    import numpy as np
    from keras_dinolm.losses import cosine_distance

    targets = np.array([[1.0, 0.0], [0.0, 3.0]])
    print(cosine_distance(2 * targets, targets))  # 0
    print(cosine_distance(targets[::-1], targets))  # 1
    ```

    Reference:

    - [Sanh et al., 2019](https://arxiv.org/abs/1910.01108)
    """
    predictions = as_float32("predictions", predictions)
    targets = as_float32("targets", targets)
    sizes = check_shape("predictions", predictions, "MD")
    check_shape("targets", targets, "MD", sizes)
    if sample_weight is None:
        sample_weight = ops.ones_like(predictions[:, 0])
    else:
        sample_weight = as_float32("sample_weight", sample_weight)
        check_shape("sample_weight", sample_weight, "M", sizes)
        # Before the formula, not after: 0 * NaN is NaN, forward and backward.
        unused = ops.expand_dims(sample_weight == 0, axis=1)
        predictions = ops.where(unused, 0.0, predictions)
        targets = ops.where(unused, 0.0, targets)
    cosines = ops.sum(
        l2_normalize(predictions) * l2_normalize(targets), axis=-1
    )
    total = ops.sum(sample_weight)
    distances = sample_weight * (1.0 - cosines)
    return ops.sum(distances) / ops.where(total > 0, total, 1.0)
