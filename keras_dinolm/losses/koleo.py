"""Spreads features over the sphere by pushing nearest neighbours apart."""

import numpy as np
from keras import ops

from keras_dinolm.losses.arrays import as_float32
from keras_dinolm.losses.arrays import as_tensor
from keras_dinolm.losses.arrays import check_shape
from keras_dinolm.losses.arrays import l2_normalize
from keras_dinolm.typing import Tensor

# Unit vectors this near to each other are the same vector in float32: scaled
# copies of one row differ by about 1e-7 after normalisation.
IDENTICAL = 1e-6
# Neighbours are searched by matrix product, which cannot tell distances below
# about 3e-4 apart; the best few are then measured exactly.
NUM_CANDIDATES = 4
NUM_PROBES = 8


def koleo(embeddings: Tensor, groups: Tensor | None = None) -> Tensor:
    """Kozachenko-Leonenko estimate of (minus) the entropy of the features.

    The mean over rows of `-log(d + 1e-8)`, where d is the distance of a row to
    its nearest neighbour, rows scaled to unit length. Lower means more evenly
    spread. The gradient flows to both rows of a pair, not through the choice
    of the neighbour.

    Texts repeat within a batch, and pushing equal texts apart is wrong (and
    `log 0` is worse). So identical rows (unit vectors closer than 1e-6, what
    float32 can tell apart) are no neighbours, nor are rows of the same group.
    A row without any neighbour adds 0 to the sum, and no gradient.

    Args:
        embeddings: Array of shape `[N, D]`.
        groups: Optional integer array of shape `[N]`: rows of the same group,
            such as views of the same text, are no neighbours.

    Returns:
        Float32 scalar.

    Raises:
        ValueError: If a shape does not fit.

    Example:

    ```python
    import numpy as np
    from keras_dinolm.losses import koleo

    features = np.random.default_rng(0).normal(size=(6, 16))
    print(koleo(features))
    print(koleo(features, groups=[0, 0, 1, 1, 2, 2]))
    ```

    References:

    - [Sablayrolles et al., 2019](https://arxiv.org/abs/1806.03198)
    - [Oquab et al., 2023](https://arxiv.org/abs/2304.07193)
    """
    embeddings = as_float32("embeddings", embeddings)
    sizes = check_shape("embeddings", embeddings, "ND")
    x = l2_normalize(embeddings)
    if groups is not None:
        groups = as_tensor("groups", groups)
        check_shape("groups", groups, "N", sizes)
    neighbor, found = _nearest(ops.stop_gradient(x), groups)
    square = ops.sum(ops.square(x - ops.take(x, neighbor, axis=0)), axis=-1)
    # The inner `where` keeps the square root's infinite slope at 0 out of the
    # gradient of rows that have no neighbour.
    distance = ops.sqrt(ops.where(found, square, 1.0))
    return ops.mean(ops.where(found, -ops.log(distance + 1e-8), 0.0))


def _nearest(x, groups):
    """Index of each row's nearest neighbour, and whether it has one."""
    index = ops.arange(ops.shape(x)[0], dtype="int32")
    excluded = _equal_pairs(index) | _near_identical(x)
    if groups is not None:
        excluded = excluded | _equal_pairs(groups)
    # Distances do not change when the mean is subtracted, but their digits
    # survive where all features are nearly the same. |a - b|^2 without |a|^2
    # gives the same order.
    centered = x - ops.mean(x, axis=0, keepdims=True)
    products = ops.matmul(centered, ops.transpose(centered))
    score = 2.0 * products - ops.sum(ops.square(centered), axis=-1)
    score = ops.where(excluded, float("-inf"), score)
    candidates, allowed = [], []
    for _ in range(NUM_CANDIDATES):
        best = ops.cast(ops.argmax(score, axis=1), "int32")
        candidates.append(best)
        allowed.append(ops.max(score, axis=1) > float("-inf"))
        taken = ops.expand_dims(best, 1) == index
        score = ops.where(taken, float("-inf"), score)
    candidates = ops.stack(candidates, axis=1)
    difference = ops.expand_dims(x, 1) - ops.take(x, candidates, axis=0)
    distance = ops.sqrt(ops.sum(ops.square(difference), axis=-1))
    allowed = ops.stack(allowed, axis=1) & (distance > IDENTICAL)
    distance = ops.where(allowed, distance, float("inf"))
    best = ops.expand_dims(ops.argmin(distance, axis=1), 1)
    neighbor = ops.squeeze(ops.take_along_axis(candidates, best, axis=1), 1)
    return neighbor, ops.any(allowed, axis=1)


def _equal_pairs(values):
    return ops.expand_dims(values, 1) == ops.expand_dims(values, 0)


def _near_identical(x):
    """Pairs of rows that agree along fixed random directions.

    Comparing all coordinates of all pairs would cost more than the rest of
    the loss together. Rows that differ by ten times the tolerance agree along
    all directions once in 10^9.
    """
    shape = (NUM_PROBES, x.shape[-1])
    probes = ops.cast(np.random.default_rng(0).normal(size=shape), "float32")
    # No matrix product here: equal rows must give equal bits, in float32.
    seen = ops.sum(ops.expand_dims(x, 1) * probes, axis=-1)
    gaps = ops.abs(ops.expand_dims(seen, 1) - ops.expand_dims(seen, 0))
    return ops.max(gaps, axis=-1) < IDENTICAL
