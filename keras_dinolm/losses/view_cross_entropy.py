"""Cross-entropy between views: the student predicts the teacher's targets."""

from keras import ops

from keras_dinolm.losses.arrays import as_float32
from keras_dinolm.losses.arrays import check_shape
from keras_dinolm.losses.arrays import check_temperature
from keras_dinolm.typing import Tensor


def view_cross_entropy(
    teacher_probs: Tensor,
    student_logits: Tensor,
    temperature: float | Tensor,
    pairs: Tensor | None = None,
) -> Tensor:
    """Cross-entropy of student views against teacher views of the same text.

    The mean over all pairs of teacher view t and student view s, and over
    the batch, of `-sum_k q[t, b, k] * log p[s, b, k]`, where q are the
    teacher's targets and p is the softmax of the student's logits at the
    given temperature. A pair of a view with itself teaches nothing and is
    left out by default.

    Args:
        teacher_probs: Array of shape `[T, B, K]`: targets for T views of
            B texts, probabilities over K prototypes.
        student_logits: Array of shape `[S, B, K]`. The first views are the
            teacher's views, where both see the same ones.
        temperature: Positive float or scalar tensor, the student's.
        pairs: Optional array of shape `[T, S]` of 0 and 1: which pairs count.
            Defaults to all with `t != s`.

    Returns:
        Float32 scalar, in nats. 0 (without gradient) if no pair counts.

    Raises:
        ValueError: If a shape does not fit, if `temperature` is not positive,
            or if the number of views is not static.

    Example:

    ```python
    import numpy as np
    from keras import ops
    from keras_dinolm.losses import sinkhorn_knopp
    from keras_dinolm.losses import view_cross_entropy

    rng = np.random.default_rng(0)
    teacher = rng.normal(size=(2 * 8, 16))  # 2 views of 8 texts
    student = rng.normal(size=(6, 8, 16))  # the same 2, and 4 more
    targets = sinkhorn_knopp(teacher, temperature=0.04)
    targets = ops.reshape(targets, (2, 8, 16))
    print(view_cross_entropy(targets, student, temperature=0.1))
    ```

    Reference:

    - [Caron et al., 2021](https://arxiv.org/abs/2104.14294)
    """
    teacher_probs = as_float32("teacher_probs", teacher_probs)
    student_logits = as_float32("student_logits", student_logits)
    sizes = check_shape("teacher_probs", teacher_probs, "TBK")
    check_shape("student_logits", student_logits, "SBK", sizes)
    temperature = check_temperature("temperature", temperature)
    if "T" not in sizes or "S" not in sizes:
        raise ValueError(
            "The number of views must be static. Received: teacher_probs of "
            f"shape {tuple(teacher_probs.shape)}, student_logits of shape "
            f"{tuple(student_logits.shape)}."
        )
    if pairs is None:
        pairs = 1.0 - ops.eye(sizes["T"], sizes["S"], dtype="float32")
    else:
        pairs = as_float32("pairs", pairs)
        check_shape("pairs", pairs, "TS", sizes)
    # Sum the targets of each student view first: they carry no gradient, so
    # the backward pass is that of one cross-entropy per student view, and
    # nothing of size [T, S, B, K] is made.
    targets = sum(
        pairs[t, :, None, None] * teacher_probs[t] for t in range(sizes["T"])
    )
    log_probs = ops.log_softmax(student_logits / temperature, axis=-1)
    per_text = -ops.sum(targets * log_probs, axis=(0, 2))
    count = ops.sum(pairs)
    return ops.mean(per_text) / ops.where(count > 0, count, 1.0)
