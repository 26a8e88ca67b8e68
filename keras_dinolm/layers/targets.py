"""Layers that turn teacher logits into the targets of the student."""

from typing import Any

import keras
from keras import ops

from keras_dinolm import arguments
from keras_dinolm import losses
from keras_dinolm.losses.arrays import check_num_iterations
from keras_dinolm.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_dinolm")
class Sinkhorn(keras.layers.Layer):
    """Targets by Sinkhorn-Knopp: every prototype gets its share of a batch.

    It keeps the prototypes in use without any state, so nothing has to be
    carried from batch to batch. DINOv2 and DINOv3 use it by default.

    Args:
        num_iterations: int. Rounds of normalisation.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        logits: float tensor `[N, K]`.
        temperature: float or scalar tensor.
        sample_weight: float tensor `[N]` of 0 and 1, or `None`. Rows of
            weight 0 come out as zeros.

    Returns:
        float32 tensor `[N, K]`, without gradient.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    targets = kd.layers.Sinkhorn()
    probs = targets(np.random.normal(size=(8, 4)), temperature=0.05)
    ```

    References:
        - [SwAV](https://arxiv.org/abs/2006.09882)
        - [DINOv2](https://arxiv.org/abs/2304.07193)
    """

    def __init__(self, num_iterations: int = 3, **kwargs: Any) -> None:
        # Logits stay float32 under any policy.
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.num_iterations = check_num_iterations(num_iterations)
        self.built = True

    def call(
        self,
        logits: Tensor,
        temperature: float | Tensor,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        return losses.sinkhorn_knopp(
            logits, temperature, self.num_iterations, sample_weight
        )

    def prototype_bias(
        self,
        features: Tensor,
        prototypes: Tensor,
        temperature: float | Tensor,
        sample_weight: Tensor | None = None,
        max_logits: int = losses.MAX_LOGITS,
    ) -> Tensor:
        """What turns the logits of very many prototypes into targets.

        Args:
            features: float tensor `[N, D]`.
            prototypes: float tensor `[D, K]`. The logits are the product.
            temperature: float or scalar tensor.
            sample_weight: float tensor `[N]` of 0 and 1, or `None`.
            max_logits: int. How many logits may be held at a time.

        Returns:
            float32 tensor `[K]`: the targets are
            `softmax(logits / temperature + bias)`.
        """
        return losses.sinkhorn_potential(
            features,
            prototypes,
            temperature,
            self.num_iterations,
            sample_weight,
            max_logits,
        )

    def statistics(
        self, logits: Tensor, sample_weight: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Sinkhorn keeps no statistics.

        Args:
            logits: float tensor `[N, K]`, not used.
            sample_weight: not used.

        Returns:
            An empty dict.
        """
        return {}

    def factored_statistics(
        self,
        features: Tensor,
        prototypes: Tensor,
        sample_weight: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Sinkhorn keeps no statistics.

        Args:
            features: float tensor `[N, D]`, not used.
            prototypes: float tensor `[D, K]`, not used.
            sample_weight: not used.

        Returns:
            An empty dict.
        """
        return {}

    def after_step(
        self, statistics: dict[str, Tensor], finite: Tensor, moved: Tensor
    ) -> None:
        """Does nothing: Sinkhorn has no state.

        Args:
            statistics: not used.
            finite: not used.
            moved: not used.
        """

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_iterations": self.num_iterations}


@keras.saving.register_keras_serializable(package="keras_dinolm")
class Centering(keras.layers.Layer):
    """Targets by a softmax over centered logits: the original DINO.

    The center is a moving average of the teacher's logits. It starts at 0,
    moves once per optimizer update by the mean over all micro-batches of that
    update, and acts from the next one.

    Args:
        momentum: float in [0, 1). Momentum of the moving average.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        logits: float tensor `[N, K]`.
        temperature: float or scalar tensor.
        sample_weight: float tensor `[N]` of 0 and 1, or `None`. Rows of
            weight 0 come out as zeros.

    Returns:
        float32 tensor `[N, K]`, without gradient.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    targets = kd.layers.Centering(momentum=0.9)
    probs = targets(np.random.normal(size=(8, 4)), temperature=0.05)
    ```

    Reference:
        [DINO](https://arxiv.org/abs/2104.14294)
    """

    def __init__(self, momentum: float = 0.9, **kwargs: Any) -> None:
        # Logits stay float32 under any policy.
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.momentum = arguments.number("momentum", momentum, 0, below=1)

    def build(self, logits_shape: tuple[int | None, ...]) -> None:
        shape = (logits_shape[-1],)
        state = {
            "initializer": "zeros",
            "dtype": "float32",
            "trainable": False,
            "autocast": False,
            "aggregation": "mean",
        }
        self.center = self.add_weight(shape=shape, name="center", **state)
        # Sums over the micro-batches of one optimizer update.
        self.total = self.add_weight(shape=shape, name="total", **state)
        self.count = self.add_weight(shape=(), name="count", **state)

    def call(
        self,
        logits: Tensor,
        temperature: float | Tensor,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        probs = losses.centered_softmax(logits, self.center, temperature)
        if sample_weight is None:
            return probs
        return probs * ops.cast(sample_weight, probs.dtype)[:, None]

    def prototype_bias(
        self,
        features: Tensor,
        prototypes: Tensor,
        temperature: float | Tensor,
        sample_weight: Tensor | None = None,
        max_logits: int | None = None,
    ) -> Tensor:
        """As `Sinkhorn.prototype_bias`; here it depends on no feature.

        Args:
            features: float tensor `[N, D]`, not used.
            prototypes: float tensor `[D, K]`, not used.
            temperature: float or scalar tensor.
            sample_weight: not used.
            max_logits: not used.

        Returns:
            float32 tensor `[K]`.
        """
        return -ops.convert_to_tensor(self.center) / temperature

    def statistics(
        self, logits: Tensor, sample_weight: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Sums over this micro-batch, for `after_step`.

        Args:
            logits: float tensor `[N, K]`.
            sample_weight: float tensor `[N]`, or `None`.

        Returns:
            A dict of tensors.
        """
        logits = ops.cast(ops.stop_gradient(logits), "float32")
        if sample_weight is None:
            count = ops.cast(ops.shape(logits)[0], "float32")
            return {"total": ops.sum(logits, axis=0), "count": count}
        weight = ops.cast(sample_weight, "float32")
        return {
            "total": ops.matmul(weight, logits),
            "count": ops.sum(weight),
        }

    def factored_statistics(
        self,
        features: Tensor,
        prototypes: Tensor,
        sample_weight: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """As `statistics`, of the logits `features @ prototypes`.

        The sum of all logits is the logit of the sum of all features.

        Args:
            features: float tensor `[N, D]`.
            prototypes: float tensor `[D, K]`.
            sample_weight: float tensor `[N]`, or `None`.

        Returns:
            A dict of tensors.
        """
        sums = self.statistics(features, sample_weight)
        prototypes = ops.cast(ops.stop_gradient(prototypes), "float32")
        return {**sums, "total": ops.matmul(sums["total"][None], prototypes)[0]}

    def after_step(
        self, statistics: dict[str, Tensor], finite: Tensor, moved: Tensor
    ) -> None:
        """Adds a micro-batch; moves the center if the optimizer moved.

        Args:
            statistics: what `statistics` returned for the micro-batch.
            finite: scalar bool tensor. Whether its gradients were finite.
            moved: scalar bool tensor. Whether the optimizer made an update.
        """
        # jax takes no variable as an argument of `where`, hence `.value`.
        center, total, count = (
            v.value for v in (self.center, self.total, self.count)
        )
        total = ops.where(finite, total + statistics["total"], total)
        count = ops.where(finite, count + statistics["count"], count)
        change = ops.where(
            ops.logical_and(moved, count > 0),
            total / ops.maximum(count, 1.0) - center,
            0.0,
        )
        self.center.assign(center + (1.0 - self.momentum) * change)
        self.total.assign(ops.where(moved, 0.0, total))
        self.count.assign(ops.where(moved, 0.0, count))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum": self.momentum}
