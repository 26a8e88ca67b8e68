"""LeJEPA's loss: views agree, and features are an isotropic Gaussian."""

from typing import Any

import keras
from keras import ops

from keras_dinolm import arguments
from keras_dinolm import losses
from keras_dinolm.layers.mlp import FeedForward
from keras_dinolm.objectives.features import Features
from keras_dinolm.objectives.objective import Objective
from keras_dinolm.objectives.objective import Result
from keras_dinolm.objectives.view_groups import groups_of
from keras_dinolm.objectives.view_groups import views_of

TARGETS = ("student", "teacher")


@keras.saving.register_keras_serializable(package="keras_dinolm")
class SIGReg(Objective):
    """Holds projected features to N(0, I), and views to their mean.

    LeJEPA has no negatives, prototypes, moving averages or stopped gradients.
    The student's views go through a projector that belongs to this objective.
    Each view's projections over the batch should look like N(0, I) along
    random directions, drawn again at each step (`losses.sigreg`). And each
    should meet the mean over the views of the groups that the teacher also
    reads, of all groups if there is no such group. The loss is
    `(1 - tradeoff) * invariance + tradeoff * statistic`.

    Beside other objectives that compare views, `tradeoff=1` leaves the first
    term out. With `target="teacher"`, views meet the mean of what the teacher
    makes of its views, through the same projector, without gradient.

    Metrics: `statistic`, about 1 for N(0, I) and hundreds after a collapse,
    and `invariance`, the mean squared distance to the target.

    Args:
        tradeoff: float in [0, 1]. Share of the statistic in the loss.
        projection_dim: int or `None`. Width of the projections; `None` has no
            projector, so that the features themselves become Gaussian.
        target: `"student"` or `"teacher"`. Whose mean the views meet.
        num_directions: int. Directions at a step.
        seed: int or `None`. Of the directions.
        **kwargs: as for `Objective`: `weight`, `start`, `stop`, `name`.

    Raises:
        ValueError: for numbers out of range, another target, or a teacher of
            another width as the target.

    Example:

    ```python
    import keras_dinolm as kd

    alone = kd.objectives.SIGReg(tradeoff=0.05)
    beside = [
        kd.objectives.InfoNCE(),
        kd.objectives.SIGReg(tradeoff=1.0, projection_dim=None, weight=0.01),
    ]
    ```

    Reference:
        [LeJEPA](https://arxiv.org/abs/2511.08544)
    """

    extra_metrics = ("statistic", "invariance")
    reads_tokens = "none"

    def __init__(
        self,
        tradeoff: float = 0.05,
        projection_dim: int | None = 64,
        target: str = "student",
        num_directions: int = 256,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.tradeoff = arguments.number("tradeoff", tradeoff, 0, 1)
        if projection_dim is not None:
            projection_dim = arguments.count("projection_dim", projection_dim)
        self.projection_dim = projection_dim
        self.target = arguments.choice("target", target, TARGETS)
        self.num_directions = arguments.count("num_directions", num_directions)
        if seed is not None:
            seed = arguments.count("seed", seed, 0)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def reads(self, roles: dict[str, tuple[str, ...]]) -> set[tuple[str, str]]:
        reads = {("student", group) for group in groups_of(roles, "student")}
        if self.target == "teacher":
            reads |= {
                ("teacher", group) for group in groups_of(roles, "teacher")
            }
        return reads

    def build_for(self, lesson: Any) -> None:
        self.roles = lesson.roles
        width = lesson.student.encoder.pooled_dim
        if self.target == "teacher":
            taught = lesson.teacher.encoder.pooled_dim
            if taught != width:
                raise ValueError(
                    "With `target='teacher'` one projector reads both "
                    "networks, which must have the same width. Received: a "
                    f"student of width {width}, a teacher of width {taught}"
                )
        self.projector = None
        if self.projection_dim is not None:
            self.projector = FeedForward(
                4 * width,
                output_dim=self.projection_dim,
                dtype=self.dtype_policy,
                name="projector",
            )
            self.projector.build((None, width))
        super().build_for(lesson)

    def compute(self, features: Features) -> Result:
        views = views_of(features.student, groups_of(self.roles, "student"))
        projected = [self._project(x) for _, x in views]
        directions = keras.random.normal(
            (self.num_directions, projected[0].shape[-1]),
            dtype="float32",
            seed=self.seed_generator,
        )
        statistic = sum(losses.sigreg(x, directions) for x in projected)
        statistic = statistic / len(projected)
        target = self._target(features, views, projected)
        invariance = sum(ops.mean(ops.square(x - target)) for x in projected)
        invariance = invariance / len(projected)
        loss = self.tradeoff * statistic + (1 - self.tradeoff) * invariance
        metrics = {"statistic": statistic, "invariance": invariance}
        return Result(
            loss, keras.tree.map_structure(ops.stop_gradient, metrics)
        )

    def _project(self, x):
        if self.projector is not None:
            x = self.projector(x)
        return ops.cast(x, "float32")

    def _target(self, features, views, projected):
        """What all views should meet, `[B, D]`."""
        if self.target == "teacher":
            groups = groups_of(self.roles, "teacher")
            taught = [
                ops.stop_gradient(self._project(x))
                for _, x in views_of(features.teacher, groups)
            ]
            return sum(taught) / len(taught)
        both = groups_of(self.roles, "student", "teacher")
        central = [
            x for (view, _), x in zip(views, projected) if view[0] in both
        ]
        central = central or projected
        return sum(central) / len(central)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "tradeoff": self.tradeoff,
            "projection_dim": self.projection_dim,
            "target": self.target,
            "num_directions": self.num_directions,
            "seed": self.seed,
        }
