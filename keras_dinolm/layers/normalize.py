"""L2 normalisation whose gradient is finite everywhere."""

from keras import ops

from keras_dinolm import arguments
from keras_dinolm.losses import arrays
from keras_dinolm.typing import Tensor


def l2_normalize(x: Tensor, axis: int = -1, epsilon: float = 1e-6) -> Tensor:
    """Scales `x` to unit length along `axis`, in float32.

    `keras.ops.normalize` has NaN gradients at a zero vector, which a padded
    row or a dead feature produces. Here the squared length is bounded from
    below *before* the root, so that such a row stays zero and its gradient is
    finite.

    Args:
        x: float tensor of any shape.
        axis: int. The axis whose slices become unit vectors.
        epsilon: float. Lengths below it are divided by it instead.

    Returns:
        float32 tensor of the shape of `x`.

    Raises:
        ValueError: if `x` is no tensor of real numbers or has no such axis,
            or for an `epsilon` that is not positive.

    Example:

    ```python
    import numpy as np
    from keras_dinolm.layers import l2_normalize

    l2_normalize(np.array([[3.0, 4.0], [0.0, 0.0]]))  # [[0.6, 0.8], [0, 0]]
    ```
    """
    epsilon = arguments.number("epsilon", epsilon, above=0)
    axis = arguments.integer("axis", axis)
    x = arrays.as_float32("x", x)
    if not -len(x.shape) <= axis < len(x.shape):
        arguments.refuse("axis", axis, f"an axis of {len(x.shape)}")
    square = ops.sum(ops.square(x), axis=axis, keepdims=True)
    return x * ops.rsqrt(ops.maximum(square, epsilon * epsilon))
