"""Teacher targets by centering and sharpening."""

from keras import ops

from keras_dinolm.losses.arrays import as_float32
from keras_dinolm.losses.arrays import check_shape
from keras_dinolm.losses.arrays import check_temperature
from keras_dinolm.typing import Tensor


def centered_softmax(
    logits: Tensor, center: Tensor, temperature: float | Tensor
) -> Tensor:
    """Turns teacher logits into targets by centering and sharpening.

    `softmax((logits - center) / temperature)`. Subtracting the running mean
    of the logits keeps one prototype from winning everywhere; the low
    temperature keeps the targets from becoming uniform. The caller moves the
    center.

    The targets carry no gradient.

    Args:
        logits: Array of shape `[N, K]`: scores of N samples against K
            prototypes.
        center: Array of shape `[K]`, in units of the logits.
        temperature: Positive float or scalar tensor. Lower is sharper.

    Returns:
        Float32 tensor of shape `[N, K]`, rows sum to one.

    Raises:
        ValueError: If a shape does not fit or `temperature` is not positive.

    Example:

    ```python
    import numpy as np
    from keras_dinolm.losses import centered_softmax

    logits = np.array([[1.0, 0.0], [1.0, 0.5]])
    print(centered_softmax(logits, logits.mean(axis=0), temperature=0.1))
    ```

    Reference:

    - [Caron et al., 2021](https://arxiv.org/abs/2104.14294)
    """
    logits = as_float32("logits", logits)
    center = as_float32("center", center)
    sizes = check_shape("logits", logits, "NK")
    check_shape("center", center, "K", sizes)
    temperature = check_temperature("temperature", temperature)
    return ops.stop_gradient(
        ops.softmax((logits - center) / temperature, axis=-1)
    )
