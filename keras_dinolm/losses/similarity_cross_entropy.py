"""The student orders the texts of a batch by similarity as the teacher does."""

from keras import ops

from keras_dinolm.losses.arrays import as_float32
from keras_dinolm.losses.arrays import check_shape
from keras_dinolm.losses.arrays import check_temperature
from keras_dinolm.losses.arrays import l2_normalize
from keras_dinolm.typing import Tensor


def similarity_cross_entropy(
    teacher: Tensor,
    student: Tensor,
    teacher_temperature: float | Tensor = 0.05,
    student_temperature: float | Tensor = 0.05,
) -> Tensor:
    """Cross-entropy between two distributions of each row over the others.

    With cosines `s[i, j]` of rows i and j, row i's distribution is
    `softmax(s[i, j] / temperature)` over all `j != i`. The loss is the mean
    over i of the cross-entropy of the student's against the teacher's. Only
    similarities are compared, so the two may have any widths.

    Args:
        teacher: Array of shape `[N, T]`: the teacher's features of N texts.
            They get no gradient.
        student: Array of shape `[N, S]`: the student's features of the same
            texts.
        teacher_temperature: Positive float or scalar tensor.
        student_temperature: Positive float or scalar tensor.

    Returns:
        Float32 scalar, in nats: at least the mean entropy of the teacher's
        rows. 0 if N is 1 or 2: there is at most one other row to find.

    Raises:
        ValueError: If a shape does not fit or a temperature is not positive.

    Example:

    ```python
    import numpy as np
    from keras_dinolm.losses import similarity_cross_entropy

    x = np.random.default_rng(0).normal(size=(8, 16))
    print(similarity_cross_entropy(x, x))  # the entropy of the teacher
    print(similarity_cross_entropy(x, x[::-1]))  # above it
    ```

    References:

    - [SEED](https://arxiv.org/abs/2101.04731), with a queue for the batch
    - [CompRess](https://arxiv.org/abs/2010.14713)
    """
    teacher = ops.stop_gradient(as_float32("teacher", teacher))
    student = as_float32("student", student)
    sizes = check_shape("teacher", teacher, "NT")
    check_shape("student", student, "NS", sizes)
    cold = check_temperature("teacher_temperature", teacher_temperature)
    warm = check_temperature("student_temperature", student_temperature)
    targets = ops.exp(_log_shares(teacher, cold))
    rows = targets * _log_shares(student, warm)
    return -ops.mean(ops.sum(rows, axis=-1))


def _log_shares(x, temperature):
    """Log softmax of each row's cosines with the others, `[N, N]`."""
    x = l2_normalize(x)
    scores = ops.matmul(x, ops.transpose(x)) / temperature
    # A row is not its own neighbour; finite, since 0 times it must be 0.
    size = ops.shape(x)[0]
    itself = ops.eye(size, dtype="bool")
    return ops.log_softmax(ops.where(itself, -1e9, scores), axis=-1)
