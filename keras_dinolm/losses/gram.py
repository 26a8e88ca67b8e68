"""Keeps the similarities between tokens where a reference has them."""

from keras import ops

from keras_dinolm import arguments
from keras_dinolm.losses.arrays import as_float32
from keras_dinolm.losses.arrays import as_tensor
from keras_dinolm.losses.arrays import check_shape
from keras_dinolm.losses.arrays import l2_normalize
from keras_dinolm.typing import Tensor


def gram(
    student: Tensor,
    teacher: Tensor,
    padding_mask: Tensor | None = None,
    remove_negative: bool = False,
) -> Tensor:
    """Mean squared difference of two matrices of token similarities.

    For each text, `G[i, j]` is the cosine of tokens i and j. The loss is the
    squared difference between the student's G and the teacher's, averaged over
    all valid (i, j) of the batch. The features themselves may rotate freely;
    only their geometry is held. It repairs token features that decay in long
    training. The two may differ in width.

    Args:
        student: Array of shape `[B, T, D]`: features of T tokens of B texts.
        teacher: Array of shape `[B, T, D]`, the reference.
        padding_mask: Optional boolean array of shape `[B, T]`, true at real
            tokens. A pair is valid if both of its tokens are.
        remove_negative: Boolean. Whether to set negative cosines of both
            matrices to zero first.

    Returns:
        Float32 scalar. 0 (without gradient) if no token is valid.

    Raises:
        ValueError: If a shape does not fit.

    Example:

    ```python
    import numpy as np
    from keras_dinolm.losses import gram

    rng = np.random.default_rng(0)
    student = rng.normal(size=(2, 5, 8))
    teacher = rng.normal(size=(2, 5, 8))
    print(gram(student, teacher))
    print(gram(student, 3.0 * student))  # near 0: lengths do not matter
    ```

    Reference:

    - [Siméoni et al., 2025](https://arxiv.org/abs/2508.10104)
    """
    remove_negative = arguments.flag("remove_negative", remove_negative)
    student = as_float32("student", student)
    teacher = as_float32("teacher", teacher)
    sizes = check_shape("student", student, "BTD")
    check_shape("teacher", teacher, "BTE", sizes)
    if padding_mask is None:
        valid = ops.ones_like(student[:, :, 0])
    else:
        valid = as_tensor("padding_mask", padding_mask)
        check_shape("padding_mask", valid, "BT", sizes)
        valid = ops.cast(ops.cast(valid, "bool"), "float32")
    student = _cosines(student, valid, remove_negative)
    teacher = _cosines(teacher, valid, remove_negative)
    counts = ops.sum(valid, axis=1)
    total = ops.sum(ops.square(counts))
    # Padding has zero features, so its cosines are 0 on both sides.
    return ops.sum(ops.square(student - teacher)) / ops.where(
        total > 0, total, 1.0
    )


def _cosines(x, valid, remove_negative):
    x = l2_normalize(ops.where(ops.expand_dims(valid > 0, 2), x, 0.0))
    cosines = ops.matmul(x, ops.transpose(x, (0, 2, 1)))
    return ops.relu(cosines) if remove_negative else cosines
