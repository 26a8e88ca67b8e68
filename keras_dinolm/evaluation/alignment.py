"""How near the features of equal meaning are."""

import numpy as np

from keras_dinolm.evaluation.arguments import as_features
from keras_dinolm.evaluation.arguments import unit
from keras_dinolm.typing import Tensor


def alignment(x: Tensor, y: Tensor) -> float:
    """Mean squared distance between the features of positive pairs.

    Rows are scaled to unit length. 0 is best, and trivially reached by a
    collapsed encoder: read it together with `uniformity`.

    Args:
        x: Array of shape `[N, D]`.
        y: Array of shape `[N, D]`; row i belongs to row i of `x`.

    Returns:
        Float from 0 to 4; 2 for pairs at right angles.

    Raises:
        ValueError: If shapes do not fit, or features are empty or not finite.

    Example:

    ```python
    import numpy as np
    from keras_dinolm.evaluation import alignment

    x = np.random.default_rng(0).normal(size=(50, 8))
    print(alignment(x, 2.0 * x))  # 0
    print(alignment(x, -x))  # 4
    ```

    Reference:

    - [Wang & Isola, 2020](https://arxiv.org/abs/2005.10242)
    """
    x = as_features("x", x)
    y = as_features("y", y, x.shape[1])
    if len(x) != len(y):
        raise ValueError(
            "`y` must have one row for each row of `x`. "
            f"Received: {len(x)} rows in x, {len(y)} in y."
        )
    return float(np.mean(np.sum((unit(x) - unit(y)) ** 2, axis=1)))
