"""data2vec's loss: predict the teacher's features of a masked token."""

from typing import Any

import keras
from keras import ops

from keras_dinolm import arguments
from keras_dinolm import losses
from keras_dinolm.layers.mlp import FeedForward
from keras_dinolm.objectives.features import Features
from keras_dinolm.objectives.features import rows_at
from keras_dinolm.objectives.objective import Objective
from keras_dinolm.objectives.objective import Result
from keras_dinolm.objectives.view_groups import groups_of
from keras_dinolm.objectives.view_groups import reads_of
from keras_dinolm.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_dinolm")
class FeatureRegression(Objective):
    """Distance between a student's token and the teacher's last layers.

    The student reads a view with tokens masked, the teacher the same view
    whole. For each masked token, the student's feature goes through a head
    that belongs to this objective (one hidden layer of twice the width,
    outputs as wide as the teacher's features). It should meet the mean of the
    teacher's features after each of its last `num_layers` blocks, each
    normalised to mean 0 and variance 1 first. The normalisation keeps targets
    from shrinking to a point. Each masked view weighs the same, whatever its
    number of masked tokens.

    (The paper takes the output of the feed-forward layers of a post-norm
    encoder; here it is what comes out of a block, in a `DinoLMBackbone` the
    residual stream. With a fixed teacher, such as a keras-hub BERT, pass
    `mask_student=True` to the model.)

    Metrics: `target_std` and `prediction_std`, the standard deviation over
    the masked tokens of a batch, averaged over the features. Near 0, all
    tokens are the same to the teacher or the student.

    Args:
        num_layers: int. How many of the teacher's last layers make a target.
        beta: float, where the smooth L1 distance changes from square to
            linear, or `None` for the squared error.
        **kwargs: as for `Objective`: `weight`, `start`, `stop`, `name`.

    Raises:
        ValueError: for `num_layers` below 1 or more than the teacher has, a
            `beta` that is not positive, a teacher that gives no layers, or if
            no masked view is read by both networks.

    Example:

    ```python
    import keras_dinolm as kd

    objective = kd.objectives.FeatureRegression(num_layers=2)
    ```

    Reference:
        [data2vec](https://arxiv.org/abs/2202.03555)
    """

    extra_metrics = ("target_std", "prediction_std")
    reads_tokens = "masked"

    def __init__(
        self, num_layers: int = 3, beta: float | None = 4.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if beta is not None:
            beta = arguments.number(
                "beta", beta, above=0, meaning="`None` is the squared error"
            )
        self.num_layers = arguments.count("num_layers", num_layers)
        self.num_teacher_layers = self.num_layers
        self.beta = beta

    def reads(self, roles: dict[str, tuple[str, ...]]) -> set[tuple[str, str]]:
        return reads_of(roles, groups_of(roles, "student", "teacher"))

    def build_for(self, lesson: Any) -> None:
        self.groups = groups_of(lesson.roles, "student", "teacher")
        if not self.groups:
            raise ValueError(
                "`FeatureRegression` needs a view group that both networks "
                "read, since it compares the same view masked and whole. "
                f"Received: roles={dict(lesson.roles)}"
            )
        lesson.teacher.encoder.check_num_layers(self.num_layers)
        width = lesson.student.encoder.hidden_dim
        self.head = FeedForward(
            2 * width,
            output_dim=lesson.teacher.encoder.hidden_dim,
            dtype=self.dtype_policy,
            name="head",
        )
        self.head.build((None, width))
        super().build_for(lesson)

    def compute(self, features: Features) -> Result:
        def read(group, indices):
            tokens = features.student[group]["tokens"]
            layers = features.teacher[group]["layers"][-self.num_layers :]
            normed = [_standardize(rows_at(x, indices)) for x in layers]
            return rows_at(tokens, indices), sum(normed) / self.num_layers

        (students, targets), valid, weight = features.masked_rows(
            "FeatureRegression", self.groups, read
        )
        predictions = ops.cast(self.head(students), "float32")
        loss = losses.smooth_l1(
            predictions, targets, self.beta, sample_weight=weight
        )
        metrics = {
            "target_std": _spread(targets, valid),
            "prediction_std": _spread(ops.stop_gradient(predictions), valid),
        }
        return Result(loss, metrics)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "num_layers": self.num_layers,
            "beta": self.beta,
        }


def _standardize(x: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Mean 0 and variance 1 over the features of each row, in float32."""
    x = ops.cast(x, "float32")
    x = x - ops.mean(x, axis=-1, keepdims=True)
    variance = ops.mean(ops.square(x), axis=-1, keepdims=True)
    return x * ops.rsqrt(variance + epsilon)


def _spread(x: Tensor, valid: Tensor) -> Tensor:
    """Standard deviation over the valid rows, averaged over the features."""
    count = ops.maximum(ops.sum(valid), 1.0)
    center = ops.matmul(valid, x) / count
    variance = ops.matmul(valid, ops.square(x - center)) / count
    return ops.mean(ops.sqrt(variance))
