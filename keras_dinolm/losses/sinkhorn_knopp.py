"""Assignment of samples to prototypes that uses all prototypes equally."""

from keras import ops

from keras_dinolm.losses.arrays import as_float32
from keras_dinolm.losses.arrays import check_num_iterations
from keras_dinolm.losses.arrays import check_shape
from keras_dinolm.losses.arrays import check_temperature
from keras_dinolm.typing import Tensor


def sinkhorn_knopp(
    logits: Tensor,
    temperature: float | Tensor,
    num_iterations: int = 3,
    sample_weight: Tensor | None = None,
) -> Tensor:
    """Turns teacher logits into targets that use all prototypes equally.

    Starting from `exp(logits / temperature)`, each iteration scales every
    prototype's column to the same total over the samples, then every sample's
    row to a total of one. So collapse to one prototype is impossible:
    the batch as a whole is spread over all of them.

    The iteration runs on logarithms. The textbook form on exponentials
    overflows in float32 once a logit passes 88.7 times the temperature, and
    divides zero by zero once a prototype vanishes for every sample.

    The targets carry no gradient.

    Args:
        logits: Array of shape `[N, K]`: scores of N samples against K
            prototypes.
        temperature: Positive float or scalar tensor. Lower is sharper.
        num_iterations: Integer, at least 1. Number of column and row
            normalisations.
        sample_weight: Optional array of shape `[N]` of 0 and 1. Rows of
            weight 0 (padding, unused slots) take no part, whatever they
            hold, and come out as zeros.

    Returns:
        Float32 tensor of shape `[N, K]`. Rows of weight 1 sum to one.

    Raises:
        ValueError: If a shape does not fit, or `temperature` or
            `num_iterations` is not positive.

    Example:

    ```python
    import numpy as np
    from keras import ops
    from keras_dinolm.losses import sinkhorn_knopp

    logits = np.random.default_rng(0).normal(size=(8, 4))
    targets = sinkhorn_knopp(logits, temperature=0.5)
    print(ops.sum(targets, axis=1))  # ones
    print(ops.sum(targets, axis=0))  # near 8 / 4 for each prototype
    ```

    References:

    - [Cuturi, 2013](https://arxiv.org/abs/1306.0895)
    - [Caron et al., 2020](https://arxiv.org/abs/2006.09882)
    - [Oquab et al., 2023](https://arxiv.org/abs/2304.07193)
    """
    num_iterations = check_num_iterations(num_iterations)
    logits = ops.stop_gradient(as_float32("logits", logits))
    sizes = check_shape("logits", logits, "NK")
    temperature = ops.stop_gradient(
        check_temperature("temperature", temperature)
    )
    if sample_weight is not None:
        sample_weight = as_float32("sample_weight", sample_weight)
        check_shape("sample_weight", sample_weight, "N", sizes)
        # Minus infinity is the logarithm of "absent": it stays so through
        # both normalisations, and its exponential is the zero we return.
        present = ops.expand_dims(sample_weight > 0, axis=1)
        logits = ops.where(present, logits, float("-inf"))
    # The first normalisation cancels any shift of a prototype's column, so
    # the shift may come before the division, where it costs no digits.
    log_probs = (logits - _finite_max(logits, axis=0)) / temperature
    for _ in range(num_iterations):
        log_probs = _log_normalize(log_probs, axis=0)
        log_probs = _log_normalize(log_probs, axis=1)
    return ops.stop_gradient(ops.exp(log_probs))


def _finite_max(x, axis):
    largest = ops.max(x, axis=axis, keepdims=True)
    return ops.where(largest == float("-inf"), 0.0, largest)


def _log_normalize(x, axis):
    """`log_softmax` that keeps a slice of minus infinities as it is."""
    x = x - _finite_max(x, axis)
    total = ops.sum(ops.exp(x), axis=axis, keepdims=True)
    return x - ops.log(ops.where(total == 0.0, 1.0, total))
