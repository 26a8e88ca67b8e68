"""Effective number of directions that features use."""

import numpy as np

from keras_dinolm import arguments
from keras_dinolm.evaluation.arguments import as_features
from keras_dinolm.typing import Tensor


def rankme(features: Tensor, epsilon: float = 1e-7) -> float:
    """Effective rank of the features, without labels.

    The exponential of the entropy of the singular values, scaled to a sum of
    one: D if the features fill all dimensions equally, near 1 if they lie on
    one line. A fall during training announces dimensional collapse, and
    among models of one family a higher one tends to serve better.

    The features are taken as they are, neither centered nor normalised, as in
    the paper. Values of different sample sizes do not compare well: use the
    same N, several times D.

    Args:
        features: Array of shape `[N, D]`.
        epsilon: Float, added to each scaled singular value, as in the paper.

    Returns:
        Float, from 1 to about `min(N, D)`; 0 if all features are 0.

    Raises:
        ValueError: If `features` is not a matrix, is empty or not finite.

    Example:

    ```python
    import numpy as np
    from keras_dinolm.evaluation import rankme

    rng = np.random.default_rng(0)
    print(rankme(rng.normal(size=(500, 8))))  # near 8
    print(rankme(rng.normal(size=(500, 2)) @ rng.normal(size=(2, 8))))
    print(rankme(np.ones((500, 8))))  # near 1: constant features
    ```

    Reference:

    - [Garrido et al., 2023](https://arxiv.org/abs/2210.02885)
    """
    epsilon = arguments.number("epsilon", epsilon, above=0)
    features = as_features("features", features).astype(np.float64)
    # On the host, in float64: float32 would blur singular values below 1e-7
    # of the largest, which is what a collapse consists of.
    values = np.linalg.svd(features, compute_uv=False)
    total = values.sum()
    if total == 0.0:
        return 0.0
    probs = values / total + epsilon
    return float(np.exp(-np.sum(probs * np.log(probs))))
