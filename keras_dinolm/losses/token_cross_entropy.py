"""Cross-entropy at masked tokens."""

from keras import ops

from keras_dinolm.losses.arrays import as_float32
from keras_dinolm.losses.arrays import check_shape
from keras_dinolm.losses.arrays import check_temperature
from keras_dinolm.typing import Tensor


def token_cross_entropy(
    teacher_probs: Tensor,
    student_logits: Tensor,
    temperature: float | Tensor,
    sample_weight: Tensor | None = None,
) -> Tensor:
    """Weighted cross-entropy of the student's tokens against the teacher's.

    `sum_m w[m] * (-sum_k q[m, k] * log p[m, k]) / sum_m w[m]`, where q are
    the teacher's targets at a masked token and p is the softmax of the
    student's logits there. With weights of one over the number of masked
    tokens of the view, every view weighs the same.

    Args:
        teacher_probs: Array of shape `[M, K]`: targets of M tokens over K
            prototypes.
        student_logits: Array of shape `[M, K]`.
        temperature: Positive float or scalar tensor, the student's.
        sample_weight: Optional array of shape `[M]` of weights, not negative.
            Rows of weight 0 (unused slots) take no part, whatever they hold.
            Defaults to ones.

    Returns:
        Float32 scalar, in nats. 0 (without gradient) if all weights are 0.

    Raises:
        ValueError: If a shape does not fit or `temperature` is not positive.

    Example:

    ```python
    import numpy as np
    from keras_dinolm.losses import token_cross_entropy

    targets = np.array([[0.9, 0.1], [0.5, 0.5], [0.0, 0.0]])
    logits = np.array([[0.3, 0.0], [0.0, 0.1], [7.0, 7.0]])
    weights = np.array([1.0, 1.0, 0.0])  # the last slot is unused
    print(token_cross_entropy(targets, logits, 0.1, weights))
    ```

    Reference:

    - [Zhou et al., 2022](https://arxiv.org/abs/2111.07832)
    """
    teacher_probs = as_float32("teacher_probs", teacher_probs)
    student_logits = as_float32("student_logits", student_logits)
    sizes = check_shape("teacher_probs", teacher_probs, "MK")
    check_shape("student_logits", student_logits, "MK", sizes)
    temperature = check_temperature("temperature", temperature)
    if sample_weight is None:
        sample_weight = ops.ones_like(student_logits[:, 0])
    else:
        sample_weight = as_float32("sample_weight", sample_weight)
        check_shape("sample_weight", sample_weight, "M", sizes)
        # Before the formula, not after: 0 * NaN is NaN, forward and backward.
        unused = ops.expand_dims(sample_weight == 0, axis=1)
        teacher_probs = ops.where(unused, 0.0, teacher_probs)
        student_logits = ops.where(unused, 0.0, student_logits)
    log_probs = ops.log_softmax(student_logits / temperature, axis=-1)
    per_token = -ops.sum(teacher_probs * log_probs, axis=-1)
    total = ops.sum(sample_weight)
    return ops.sum(sample_weight * per_token) / ops.where(total > 0, total, 1.0)
