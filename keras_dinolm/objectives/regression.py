"""What the objectives share that regress a teacher's last features."""

from typing import Any

import keras
from keras import ops

from keras_dinolm import arguments
from keras_dinolm import losses
from keras_dinolm.layers.mlp import FeedForward
from keras_dinolm.objectives.objective import Objective
from keras_dinolm.objectives.objective import Result
from keras_dinolm.typing import Tensor

LOSSES = ("cosine", "squared")


class Regression(Objective):
    """The student's features, through a head, should meet the teacher's.

    Args:
        loss: `"cosine"` or `"squared"`.
        hidden_dim: int or `None`. Width of the head's hidden layer; `None`
            makes it linear.
        **kwargs: as for `Objective`.
    """

    extra_metrics = ("cosine", "taught")

    def __init__(
        self, loss: str, hidden_dim: int | None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.loss = arguments.choice("loss", loss, LOSSES)
        if hidden_dim is not None:
            hidden_dim = arguments.count("hidden_dim", hidden_dim)
        self.hidden_dim = hidden_dim

    def build_head(self, width: int, output_dim: int) -> None:
        """Makes the head from the student's width to the teacher's."""
        if self.hidden_dim is None:
            self.head = keras.layers.Dense(
                output_dim, dtype=self.dtype_policy, name="head"
            )
        else:
            self.head = FeedForward(
                self.hidden_dim,
                output_dim=output_dim,
                dtype=self.dtype_policy,
                name="head",
            )
        self.head.build((None, width))

    def result(
        self,
        predictions: Tensor,
        targets: Tensor,
        wanted: Tensor,
        weight: Tensor,
    ) -> Result:
        """The loss of predicted rows, and its metrics.

        Args:
            predictions: float tensor `[M, D]`.
            targets: float tensor `[M, D]`, the teacher's.
            wanted: float32 tensor `[M]` of 0 and 1, which rows there are.
            weight: float32 tensor `[M]`, 0 where there is no target.

        Returns:
            `Result`.
        """
        if self.loss == "cosine":
            loss = losses.cosine_distance(predictions, targets, weight)
            distance = loss
        else:
            loss = losses.smooth_l1(predictions, targets, None, weight)
            distance = losses.cosine_distance(
                ops.stop_gradient(predictions), targets, weight
            )
        taught = ops.cast(weight > 0, "float32")
        metrics = {
            "cosine": 1.0 - ops.stop_gradient(distance),
            "taught": ops.sum(taught) / ops.maximum(ops.sum(wanted), 1.0),
        }
        return Result(loss, metrics)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "loss": self.loss,
            "hidden_dim": self.hidden_dim,
        }


def has_target(targets: Tensor) -> Tensor:
    """1 where the teacher says something, 0 for rows of zeros; float32.

    Args:
        targets: float tensor `[..., D]`.

    Returns:
        Float32 tensor `[...]`.
    """
    return ops.cast(ops.any(targets != 0, axis=-1), "float32")
