"""Cross-entropy over very many prototypes, in little memory."""

from keras import ops

from keras_dinolm.losses.arrays import as_float32
from keras_dinolm.losses.arrays import check_shape
from keras_dinolm.losses.arrays import check_temperature
from keras_dinolm.losses.chunks import MAX_LOGITS
from keras_dinolm.losses.chunks import check_max_logits
from keras_dinolm.losses.chunks import check_static
from keras_dinolm.losses.chunks import chunk_sizes
from keras_dinolm.losses.chunks import merge_rows
from keras_dinolm.losses.chunks import split_rows
from keras_dinolm.losses.chunks import wait_for
from keras_dinolm.typing import Tensor


def chunked_cross_entropy(
    teacher_features: Tensor,
    teacher_prototypes: Tensor,
    student_features: Tensor,
    student_prototypes: Tensor,
    teacher_temperature: float | Tensor,
    student_temperature: float | Tensor,
    teacher_bias: Tensor | None = None,
    pairs: Tensor | None = None,
    sample_weight: Tensor | None = None,
    max_logits: int = MAX_LOGITS,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Cross-entropy from features and prototypes, without all the logits.

    It has the value and the gradients of `view_cross_entropy` and
    `token_cross_entropy`, for logits `features @ prototypes` and targets

        softmax(teacher_logits / teacher_temperature + teacher_bias)

    which are those of `sinkhorn_knopp` if the bias is `sinkhorn_potential`,
    and those of `centered_softmax` if it is `-center / teacher_temperature`.

    The logits of N rows and K prototypes, the targets, and their gradients
    are some five to ten arrays of shape `[N, K]`; at K = 65,536 they are the
    largest thing in training. Here the rows are taken in chunks. The
    gradient of a cross-entropy to its logits is known with its value
    (predicted minus target probabilities), so each chunk's share of the
    gradients to features and prototypes is added up at once, and nothing has
    to be computed again in the backward pass. The matrix products are those
    of the direct form.

    Gradients flow only to `student_features` and `student_prototypes`. They
    are always computed with the value.

    Args:
        teacher_features: Array of shape `[T, N, D]`: T views of N texts, or
            one "view" of N tokens.
        teacher_prototypes: Array of shape `[D, K]`.
        student_features: Array of shape `[S, N, E]`.
        student_prototypes: Array of shape `[E, K]`.
        teacher_temperature: Positive float or scalar tensor.
        student_temperature: Positive float or scalar tensor.
        teacher_bias: Optional array of shape `[K]`, see above. Defaults to
            zeros.
        pairs: Optional array of shape `[T, S]` of 0 and 1: which pairs of
            views count. Defaults to all.
        sample_weight: Optional array of shape `[N]` of weights, not negative.
            Rows of weight 0 (unused slots) take no part, whatever they hold.
            Defaults to ones.
        max_logits: Integer. How many logits of a network are held at a time.

    Returns:
        `(loss, metrics)`. The loss is a float32 scalar, in nats: the mean
        over pairs and the weighted mean over rows; 0 if nothing counts. The
        metrics, without gradient, are those of all rows whose weight is not 0:
        `"teacher_entropy"` and `"student_entropy"`, the mean entropies of
        targets and predictions, and `"student_usage"`, the mean prediction,
        of shape `[K]`.

    Raises:
        ValueError: If a shape does not fit or is not static, or if a
            temperature or `max_logits` is not positive.

    Example:

    ```python
    import numpy as np
    from keras_dinolm.losses import chunked_cross_entropy
    from keras_dinolm.losses import sinkhorn_potential

    rng = np.random.default_rng(0)
    teacher = rng.normal(size=(1, 64, 8))  # 64 masked tokens
    student = rng.normal(size=(1, 64, 8))
    prototypes = rng.normal(size=(8, 512))
    bias = sinkhorn_potential(teacher[0], prototypes, temperature=0.5)
    loss, metrics = chunked_cross_entropy(
        teacher, prototypes, student, prototypes, 0.5, 1.0, bias,
        max_logits=8 * 512,  # 8 tokens at a time
    )
    print(loss, metrics["teacher_entropy"])
    ```

    References:

    - [Caron et al., 2021](https://arxiv.org/abs/2104.14294)
    - [Zhou et al., 2022](https://arxiv.org/abs/2111.07832)
    - [Hsu et al., 2024](https://arxiv.org/abs/2410.10989), for gradients
      computed with the value, chunk by chunk
    """
    # === Arguments ===
    max_logits = check_max_logits(max_logits)
    teacher = ops.stop_gradient(
        as_float32("teacher_features", teacher_features)
    )
    from_prototypes = ops.stop_gradient(
        as_float32("teacher_prototypes", teacher_prototypes)
    )
    student_features = as_float32("student_features", student_features)
    student_prototypes = as_float32("student_prototypes", student_prototypes)
    sizes = check_shape("teacher_features", teacher, "TND")
    check_shape("teacher_prototypes", from_prototypes, "DK", sizes)
    check_shape("student_features", student_features, "SNE", sizes)
    check_shape("student_prototypes", student_prototypes, "EK", sizes)
    check_static(sizes, "TSNKE")
    num_teachers, num_students, num_rows, num_prototypes, dim = (
        sizes[letter] for letter in "TSNKE"
    )
    cold = ops.stop_gradient(
        check_temperature("teacher_temperature", teacher_temperature)
    )
    warm = ops.stop_gradient(
        check_temperature("student_temperature", student_temperature)
    )
    if teacher_bias is None:
        bias = ops.zeros((num_prototypes,), dtype="float32")
    else:
        bias = ops.stop_gradient(as_float32("teacher_bias", teacher_bias))
        check_shape("teacher_bias", bias, "K", sizes)
    if pairs is None:
        pairs = ops.ones((num_teachers, num_students), dtype="float32")
    else:
        pairs = as_float32("pairs", pairs)
        check_shape("pairs", pairs, "TS", sizes)
    if sample_weight is None:
        sample_weight = ops.ones((num_rows,), dtype="float32")
    else:
        sample_weight = ops.stop_gradient(
            as_float32("sample_weight", sample_weight)
        )
        check_shape("sample_weight", sample_weight, "N", sizes)
        # Before the formula, not after: 0 * NaN is NaN, forward and backward.
        unused = ops.reshape(sample_weight == 0, (1, num_rows, 1))
        teacher = ops.where(unused, 0.0, teacher)
        student_features = ops.where(unused, 0.0, student_features)

    # === Weights ===
    # A student view predicts the mean target of its teacher views, and weighs
    # as much as it has of them; weights sum to one over views and rows.
    counts = ops.sum(pairs, axis=0)
    mix = pairs / ops.where(counts > 0, counts, 1.0)
    total = ops.sum(counts) * ops.sum(sample_weight)
    weights = counts[:, None] * sample_weight[None, :]
    weights = weights / ops.where(total > 0, total, 1.0)
    used = ops.cast(sample_weight > 0, "float32")
    used = used / ops.maximum(ops.sum(used), 1.0)

    # === Chunks ===
    count, size = chunk_sizes(
        num_rows, max(num_teachers, num_students) * num_prototypes, max_logits
    )
    to_prototypes = ops.stop_gradient(student_prototypes)
    to_features = ops.transpose(to_prototypes)
    teachers = split_rows(teacher / cold, count, size)
    students = split_rows(
        ops.stop_gradient(student_features) / warm, count, size
    )
    weights = split_rows(weights, count, size)
    used = split_rows(used[None], count, size)

    # Large arrays have two axes, views one after the other: XLA computes an
    # exponential over three of them four times as slowly on a CPU.
    def flat(x):
        return ops.reshape(x, (-1, *x.shape[2:]))

    def entropy(probs, log_probs, used, num_views):
        by_row = ops.sum(probs * log_probs, axis=-1)
        return -ops.sum(ops.tile(used[0], (num_views,)) * by_row) / num_views

    def mix_views(targets):
        if num_students == 1 and num_teachers == 1:
            return targets
        if num_teachers == 1:
            return ops.concatenate([targets] * num_students)
        views = [
            targets[t * size : (t + 1) * size] for t in range(num_teachers)
        ]
        return ops.concatenate(
            [
                sum(mix[t, s] * view for t, view in enumerate(views))
                for s in range(num_students)
            ]
        )

    def add_chunk(i, carry):
        loss, entropies, usage, feature_grads, prototype_grads = carry
        before = (prototype_grads[0, 0], feature_grads[0, 0, 0, 0])
        rows = wait_for(flat(teachers[i]), *before)
        log_targets = ops.log_softmax(
            ops.matmul(rows, from_prototypes) + bias, axis=-1
        )
        targets = ops.exp(log_targets)
        rows = wait_for(flat(students[i]), *before)
        log_predicted = ops.log_softmax(
            ops.matmul(rows, to_prototypes), axis=-1
        )
        predicted = ops.exp(log_predicted)

        entropies = entropies + ops.stack(
            [
                entropy(targets, log_targets, used[i], num_teachers),
                entropy(predicted, log_predicted, used[i], num_students),
            ]
        )
        shares = ops.tile(used[i] / num_students, (1, num_students))
        usage = usage + ops.matmul(shares, predicted)

        targets = mix_views(targets)
        weight = flat(weights[i])
        errors = ops.sum(targets * log_predicted, axis=-1)
        loss = loss - ops.sum(weight * errors)
        slopes = weight[:, None] * (predicted - targets)
        prototype_grads = prototype_grads + ops.matmul(
            ops.transpose(rows), slopes
        )
        row_grads = ops.matmul(slopes, to_features)
        row_grads = ops.reshape(row_grads, (1, *students.shape[1:]))
        feature_grads = ops.slice_update(feature_grads, (i, 0, 0, 0), row_grads)
        return loss, entropies, usage, feature_grads, prototype_grads

    loss, entropies, usage, feature_grads, prototype_grads = ops.fori_loop(
        0,
        count,
        add_chunk,
        (
            ops.zeros((), dtype="float32"),
            ops.zeros((2,), dtype="float32"),
            ops.zeros((1, num_prototypes), dtype="float32"),
            ops.zeros(students.shape, dtype="float32"),
            ops.zeros((dim, num_prototypes), dtype="float32"),
        ),
    )
    loss = _with_gradients(
        loss,
        (student_features, merge_rows(feature_grads, num_rows) / warm),
        (student_prototypes, prototype_grads),
    )
    metrics = {
        "teacher_entropy": entropies[0],
        "student_entropy": entropies[1],
        "student_usage": usage[0],
    }
    return loss, {k: ops.stop_gradient(v) for k, v in metrics.items()}


def _with_gradients(value, *known):
    """The value, with the gradient given for each `(array, gradient)`.

    Each array less itself is 0, and the gradient of that difference is 1.
    """
    value = ops.stop_gradient(value)
    for array, gradient in known:
        nothing = array - ops.stop_gradient(array)
        value = value + ops.sum(ops.stop_gradient(gradient) * nothing)
    return value
