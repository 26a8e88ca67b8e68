"""Sinkhorn-Knopp that keeps one number a prototype, not one an assignment."""

from keras import ops

from keras_dinolm.losses.arrays import as_float32
from keras_dinolm.losses.arrays import check_num_iterations
from keras_dinolm.losses.arrays import check_shape
from keras_dinolm.losses.arrays import check_temperature
from keras_dinolm.losses.chunks import MAX_LOGITS
from keras_dinolm.losses.chunks import check_max_logits
from keras_dinolm.losses.chunks import check_static
from keras_dinolm.losses.chunks import chunk_sizes
from keras_dinolm.losses.chunks import split_rows
from keras_dinolm.losses.chunks import wait_for
from keras_dinolm.typing import Tensor


def sinkhorn_potential(
    features: Tensor,
    prototypes: Tensor,
    temperature: float | Tensor,
    num_iterations: int = 3,
    sample_weight: Tensor | None = None,
    max_logits: int = MAX_LOGITS,
) -> Tensor:
    """The numbers `v[k]` that turn Sinkhorn-Knopp into one softmax.

    What the iterations of `sinkhorn_knopp` do to `exp(logits / temperature)`
    is to scale its columns and its rows. The last step scales the rows, so
    the targets are `softmax(logits / temperature + v)`, with v the logarithms
    of all column scales: the potentials of optimal transport. They are found
    here with `num_iterations` passes over the rows, each of which computes the
    logits `features @ prototypes` again, chunk by chunk. No array of
    shape `[N, K]` is held, and none is kept for `chunked_cross_entropy`,
    which makes the targets of a chunk from v.

    Only the first pass needs logarithms of sums: after it the scaled columns
    sum to one, from where on a column total lies between 1 / K and N.

    The potentials carry no gradient.

    Args:
        features: Array of shape `[N, D]`: the teacher's projections.
        prototypes: Array of shape `[D, K]`, such that the logits are
            `features @ prototypes`.
        temperature: Positive float or scalar tensor. Lower is sharper.
        num_iterations: Integer, at least 1. Number of column and row
            normalisations.
        sample_weight: Optional array of shape `[N]` of 0 and 1. Rows of
            weight 0 (padding, unused slots) take no part, whatever they hold.
        max_logits: Integer. How many logits are held at a time.

    Returns:
        Float32 tensor of shape `[K]`.

    Raises:
        ValueError: If a shape does not fit or is not static, or if
            `temperature`, `num_iterations` or `max_logits` is not positive.

    Example:

    ```python
    import numpy as np
    from keras import ops
    from keras_dinolm.losses import sinkhorn_knopp
    from keras_dinolm.losses import sinkhorn_potential

    rng = np.random.default_rng(0)
    features, prototypes = rng.normal(size=(8, 3)), rng.normal(size=(3, 4))
    logits = (features @ prototypes).astype("float32")
    potential = sinkhorn_potential(features, prototypes, temperature=0.5)
    print(ops.softmax(ops.add(logits / 0.5, potential)))
    print(sinkhorn_knopp(logits, temperature=0.5))  # the same
    ```

    References:

    - [Cuturi, 2013](https://arxiv.org/abs/1306.0895)
    - [Caron et al., 2020](https://arxiv.org/abs/2006.09882)
    """
    num_iterations = check_num_iterations(num_iterations)
    max_logits = check_max_logits(max_logits)
    features = ops.stop_gradient(as_float32("features", features))
    prototypes = ops.stop_gradient(as_float32("prototypes", prototypes))
    sizes = check_shape("features", features, "ND")
    check_shape("prototypes", prototypes, "DK", sizes)
    check_static(sizes, "NK")
    temperature = ops.stop_gradient(
        check_temperature("temperature", temperature)
    )
    if sample_weight is None:
        present = ops.ones((sizes["N"],), dtype="bool")
    else:
        sample_weight = as_float32("sample_weight", sample_weight)
        check_shape("sample_weight", sample_weight, "N", sizes)
        present = sample_weight > 0
        features = ops.where(present[:, None], features, 0.0)

    count, size = chunk_sizes(sizes["N"], sizes["K"], max_logits)
    chunks = split_rows(features[None] / temperature, count, size)
    # Rows that fill the last chunk are not present either.
    presents = split_rows(ops.cast(present, "float32")[None], count, size)

    def scores(i, before):
        return ops.matmul(wait_for(chunks[i][0], before), prototypes)

    # The logarithm of a column's sum, with the largest entry so far as the
    # unit, for logits of any size.
    def first_pass(i, carry):
        largest, total = carry
        present = presents[i][0][:, None] > 0
        score = ops.where(present, scores(i, total[0]), -float("inf"))
        grown = ops.maximum(largest, ops.max(score, axis=0))
        unit = ops.where(grown == -float("inf"), 0.0, grown)
        total = total * ops.exp(largest - unit)
        return grown, total + ops.sum(ops.exp(score - unit), axis=0)

    zeros = ops.zeros((sizes["K"],), dtype="float32")
    largest, total = ops.fori_loop(
        0, count, first_pass, (zeros - float("inf"), zeros)
    )
    # Without any row there is nothing to normalise.
    potential = ops.where(
        total > 0, -largest - ops.log(ops.where(total > 0, total, 1.0)), 0.0
    )
    for _ in range(num_iterations - 1):

        def later_pass(i, carry, potential=potential):
            (total,) = carry
            probs = ops.softmax(scores(i, total[0]) + potential, axis=-1)
            return (total + ops.matmul(presents[i], probs)[0],)

        (total,) = ops.fori_loop(0, count, later_pass, (zeros,))
        potential = potential - ops.log(ops.where(total > 0, total, 1.0))
    return ops.stop_gradient(potential)
