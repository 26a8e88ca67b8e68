"""Given directions that features are assigned to, and that never move."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.layers.normalize import l2_normalize
from keras_dinolm.layers.prototypes import FEW_PROTOTYPES
from keras_dinolm.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_dinolm")
class FixedPrototypes(keras.layers.Layer):
    """Scores features against centroids that were computed beforehand.

    A score is the cosine of a feature and a centroid, as for `Prototypes`,
    whose prototypes are learned. Everything here is float32.

    Args:
        centroids: array `[K, dim]`, such as from
            `keras_dinolm.data.centroids`; its rows are scaled to unit length.
            Or a pair of ints `(K, dim)`: random directions, in whose place
            come those of a file when weights are loaded. This is what the
            configuration holds.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        inputs: float tensor `[..., dim]`, of any length.

    Returns:
        float32 tensor `[..., K]` of cosines.

    Raises:
        ValueError: for centroids that are no matrix, not finite or zero, or
            fewer than two.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    centroids = np.array([[2.0, 0.0], [0.0, 1.0]])
    prototypes = kd.layers.FixedPrototypes(centroids)
    prototypes(np.array([[3.0, 4.0]]))  # [[0.6, 0.8]]
    ```

    Reference:
        [BEST-RQ, random directions](https://arxiv.org/abs/2202.01855)
    """

    def __init__(self, centroids: Any, **kwargs: Any) -> None:
        # Cosines stay float32 under any policy.
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        shape, values = shape_and_values("centroids", centroids)
        self.num_prototypes, self.dim = shape
        self.kernel = self.add_weight(
            shape=shape,
            initializer=_random_directions
            if values is None
            else lambda shape, dtype=None: ops.convert_to_tensor(values, dtype),
            trainable=False,
            autocast=False,
            name="centroids",
        )
        self.built = True

    def directions(self) -> Tensor:
        """The centroids, float32 `[dim, K]`, of unit length."""
        return ops.transpose(ops.convert_to_tensor(self.kernel))

    def call(self, inputs: Tensor) -> Tensor:
        return ops.matmul(l2_normalize(inputs), self.directions())

    def compute_output_spec(self, inputs: Tensor) -> keras.KerasTensor:
        shape = (*inputs.shape[:-1], self.num_prototypes)
        return keras.KerasTensor(shape, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "centroids": [self.num_prototypes, self.dim],
        }


def shape_and_values(
    name: str, centroids: Any
) -> tuple[tuple[int, int], np.ndarray | None]:
    """Tells what centroids a user gave: values, or a shape alone.

    Args:
        name: string. The argument, for errors.
        centroids: array `[K, dim]`, or a pair of ints.

    Returns:
        `(shape, values)`, values a float32 array of unit rows or `None`.

    Raises:
        ValueError: for anything else.
    """
    if isinstance(centroids, tuple | list) and len(centroids) == 2:
        if not any(isinstance(c, tuple | list | np.ndarray) for c in centroids):
            number, dim = centroids
            number = arguments.count(f"{name}[0]", number, 2)
            return (number, arguments.count(f"{name}[1]", dim)), None
    values = arguments.matrix(name, centroids, meaning="or a pair (K, dim)")
    values = values.astype("float32")
    if len(values) < 2:
        raise ValueError(
            f"Argument `{name}` must have at least two rows: {FEW_PROTOTYPES}. "
            f"Received: {name} of shape {values.shape}"
        )
    arguments.check_finite(name, values)
    lengths = np.linalg.norm(values.astype("float64"), axis=1, keepdims=True)
    if not lengths.all():
        raise ValueError(
            f"Argument `{name}` holds directions, which a row of zeros is "
            f"not. Received: {name}[{int(np.argmin(lengths))}] of zeros"
        )
    shape = (len(values), values.shape[1])
    return shape, (values / lengths).astype("float32")


def _random_directions(shape, dtype=None):
    draw = keras.initializers.RandomNormal(stddev=1.0)(shape, dtype)
    return l2_normalize(draw)
