"""How evenly features cover the sphere."""

import numpy as np

from keras_dinolm import arguments
from keras_dinolm.evaluation.arguments import as_features
from keras_dinolm.evaluation.arguments import unit
from keras_dinolm.typing import Tensor


def uniformity(
    features: Tensor, t: float = 2.0, batch_size: int = 1024
) -> float:
    """Logarithm of the mean Gaussian potential between features.

    `log mean exp(-t * |x_i - x_j|^2)` over all pairs of different rows, scaled
    to unit length. Lower is more uniform; 0 means that all are the same.

    Args:
        features: Array of shape `[N, D]`, N at least 2.
        t: Positive float. Higher looks at smaller distances.
        batch_size: Integer. Number of rows at a time; it does not change the
            result.

    Returns:
        Float, at most 0.

    Raises:
        ValueError: If there are fewer than two rows, or they are not finite.

    Example:

    ```python
    import numpy as np
    from keras_dinolm.evaluation import uniformity

    x = np.random.default_rng(0).normal(size=(50, 8))
    print(uniformity(x))  # about -3: spread
    print(uniformity(np.ones((50, 8))))  # 0: collapsed
    ```

    Reference:

    - [Wang & Isola, 2020](https://arxiv.org/abs/2005.10242)
    """
    x = unit(as_features("features", features))
    batch_size = arguments.count("batch_size", batch_size)
    if len(x) < 2:
        raise ValueError(
            "`features` must have at least two rows. "
            f"Received: features of shape {x.shape}."
        )
    t = arguments.number("t", t, above=0)
    norms = np.sum(x**2, axis=1)
    total = 0.0
    for start in range(0, len(x), batch_size):
        rows = slice(start, start + batch_size)
        squares = norms[rows, None] + norms - 2.0 * (x[rows] @ x.T)
        potentials = np.exp(-t * np.maximum(squares, 0.0))
        total += potentials.sum() - np.trace(potentials, offset=start)
    return min(0.0, float(np.log(total / (len(x) * (len(x) - 1)))))
