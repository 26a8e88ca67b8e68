"""How far features are from an isotropic Gaussian, by random directions."""

import numpy as np
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.losses.arrays import as_float32
from keras_dinolm.losses.arrays import check_shape
from keras_dinolm.losses.arrays import l2_normalize
from keras_dinolm.typing import Tensor


def sigreg(
    embeddings: Tensor,
    directions: Tensor,
    num_points: int = 17,
    limit: float = 5.0,
) -> Tensor:
    """Epps-Pulley statistic of normality, averaged over directions.

    Features have the distribution N(0, I) if their product with each unit
    vector has the distribution N(0, 1). For the products `p[n]` with a
    direction, the statistic compares the characteristic functions,

    `N * integral |mean_n exp(i t p[n]) - exp(-t^2 / 2)|^2 exp(-t^2 / 2) dt`,

    by the trapezoid rule from `-limit` to `limit`. Unlike moments it is
    bounded, and so are its gradients; its cost grows with N, not with N^2.

    Args:
        embeddings: Array of shape `[N, D]`.
        directions: Array of shape `[M, D]`, scaled to unit length here. Drawn
            again at each step, a few hundred do for any D.
        num_points: Odd integer of at least 3, the points of the trapezoid
            rule. Defaults to 17, as in the paper.
        limit: Positive float. Defaults to 5, as in the paper.

    Returns:
        Float32 scalar, not negative. For N(0, I) its mean is about
        1.06, whatever N.

    Raises:
        ValueError: If a shape does not fit, or a number is out of range.

    Example:

    ```python
    import numpy as np
    from keras_dinolm.losses import sigreg

    rng = np.random.default_rng(0)
    directions = rng.normal(size=(64, 8))
    print(sigreg(rng.normal(size=(256, 8)), directions))  # about 1
    print(sigreg(np.zeros((256, 8)), directions))  # 105: collapsed
    ```

    References:

    - [LeJEPA](https://arxiv.org/abs/2511.08544)
    - [Epps & Pulley, 1983](https://doi.org/10.1093/biomet/70.3.723)
    """
    embeddings = as_float32("embeddings", embeddings)
    directions = as_float32("directions", directions)
    sizes = check_shape("embeddings", embeddings, "ND")
    check_shape("directions", directions, "MD", sizes)
    num_points = arguments.integer("num_points", num_points, 3, 10_001)
    if num_points % 2 == 0:
        arguments.refuse("num_points", num_points, "odd, so that 0 is a point")
    limit = arguments.number("limit", limit, above=0)
    # The integrand is even: half of the points, of twice the weight.
    half = num_points // 2
    points = np.linspace(0.0, limit, half + 1)
    weights = np.full(half + 1, 2 * limit / half)
    weights[[0, -1]] /= 2
    wanted = np.exp(-np.square(points) / 2)
    # Tensors, since torch would make arrays of its own in a product.
    points, wanted, weights = (
        ops.convert_to_tensor(x, dtype="float32")
        for x in (points, wanted, weights * wanted)
    )

    products = ops.matmul(embeddings, ops.transpose(l2_normalize(directions)))
    angles = products[..., None] * points  # [N, M, points]
    real = ops.mean(ops.cos(angles), axis=0) - wanted
    imaginary = ops.mean(ops.sin(angles), axis=0)
    distance = ops.square(real) + ops.square(imaginary)
    statistic = ops.mean(ops.matmul(distance, weights[:, None]))
    number = ops.cast(ops.shape(embeddings)[0], "float32")
    return number * statistic
