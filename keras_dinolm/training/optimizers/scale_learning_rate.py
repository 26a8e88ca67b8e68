"""Learning rates of the papers, for other batch sizes."""

import math

from keras_dinolm import arguments


def scale_learning_rate(
    learning_rate: float, batch_size: int, rule: str = "sqrt"
) -> float:
    """The learning rate for a batch size, from a published one.

    DINO scales its rate (5e-4) linearly from 256 texts a batch; DINOv2 (4e-3)
    and DINOv3 by the square root from 1,024, which suits AdamW.

    Args:
        learning_rate: float. That of the reference batch.
        batch_size: int. Documents in a batch, all devices and accumulated
            micro-batches together.
        rule: `"linear"`, in proportion to the batch from 256, or `"sqrt"`, to
            its square root from 1,024.

    Returns:
        A float.

    Raises:
        ValueError: for another rule, or a batch of no document.

    Example:

    ```python
    import keras_dinolm as kd

    rate = kd.optimizers.scale_learning_rate(4e-3, batch_size=64)  # 1e-3
    optimizer = kd.optimizers.adamw(rate, schedule="constant")
    ```

    References:
        - [DINO](https://arxiv.org/abs/2104.14294)
        - [DINOv2](https://arxiv.org/abs/2304.07193)
    """
    learning_rate = arguments.number("learning_rate", learning_rate, 0)
    batch_size = arguments.count(
        "batch_size",
        batch_size,
        meaning="the documents of one optimizer update",
    )
    arguments.choice("rule", rule, ("sqrt", "linear"))
    if rule == "linear":
        return learning_rate * batch_size / 256
    return learning_rate * math.sqrt(batch_size / 1024)
