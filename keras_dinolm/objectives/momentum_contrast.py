"""MoCo's loss: find the teacher's feature of the same text."""

from typing import Any

import keras
from keras import ops

from keras_dinolm import arguments
from keras_dinolm import losses
from keras_dinolm.layers.normalize import l2_normalize
from keras_dinolm.objectives.features import Features
from keras_dinolm.objectives.objective import Objective
from keras_dinolm.objectives.objective import Result
from keras_dinolm.objectives.view_groups import groups_of
from keras_dinolm.objectives.view_groups import reads_of
from keras_dinolm.objectives.view_groups import views_of
from keras_dinolm.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_dinolm")
class MomentumContrast(Objective):
    """Contrasts the student's views with the teacher's of the same batch.

    Each view of the student finds the teacher's feature of its text among
    those of other texts: of the batch, and, with a queue, of batches before.
    The loss is the mean over all pairs of a student view and a teacher view
    that are not the same view. With short views for the student and the whole
    text for the teacher, a part learns to stand for the whole.

    A queue holds the teacher's latest features; at first it holds random
    directions. It lets small batches have many negatives.

    Args:
        temperature: float.
        queue_size: int. How many features of earlier batches are negatives,
            too. Their teacher is one of before, which must change slowly.
        **kwargs: as for `Objective`: `weight`, `start`, `stop`, `name`.

    Raises:
        ValueError: for a temperature that is not positive, a negative
            `queue_size`, student and teacher features of different widths, or
            if there is no pair of different views.

    Example:

    ```python
    import keras_dinolm as kd

    special = kd.views.SpecialTokens(0, 1, 2)
    views = kd.views.TextViews(
        special,
        groups=[
            kd.views.ViewGroup("whole", 1, roles="teacher"),
            kd.views.ViewGroup("part", 2, span=(0.2, 0.4), roles="student"),
        ],
    )
    model = kd.models.DinoLM(
        kd.models.DinoLMBackbone.from_size("nano", 100),
        [kd.objectives.MomentumContrast(queue_size=1_024)],
        roles=views.roles,
    )
    ```

    References:
        - [MoCo](https://arxiv.org/abs/1911.05722)
        - [MoCo v3, without a queue](https://arxiv.org/abs/2104.02057)
    """

    reads_tokens = "none"

    def __init__(
        self, temperature: float = 0.05, queue_size: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.temperature = arguments.number("temperature", temperature, above=0)
        self.queue_size = arguments.count("queue_size", queue_size, 0)

    def reads(self, roles: dict[str, tuple[str, ...]]) -> set[tuple[str, str]]:
        return reads_of(roles)

    def build_for(self, lesson: Any) -> None:
        widths = [
            network.encoder.pooled_dim
            for network in (lesson.student, lesson.teacher)
        ]
        if widths[0] != widths[1]:
            raise ValueError(
                "`MomentumContrast` compares features of the same width; with "
                "another teacher use `SimilarityDistillation` or "
                f"`SequenceRegression`. Received: a student of width "
                f"{widths[0]}, a teacher of width {widths[1]}"
            )
        self.roles = lesson.roles
        self._all_pairs = getattr(lesson.teacher, "teaches_own_view", False)
        if self.queue_size:
            self.queue = self.add_weight(
                shape=(self.queue_size, widths[0]),
                initializer="random_normal",
                trainable=False,
                autocast=False,
                dtype="float32",
                name="queue",
            )
        super().build_for(lesson)

    def compute(self, features: Features) -> Result:
        students = views_of(features.student, groups_of(self.roles, "student"))
        teachers = views_of(features.teacher, groups_of(self.roles, "teacher"))
        negatives = self.queue.value if self.queue_size else None
        values = [
            losses.info_nce(x, y, self.temperature, negatives)
            for mine, x in students
            for theirs, y in teachers
            if self._all_pairs or mine != theirs
        ]
        if not values:
            raise ValueError(
                "`MomentumContrast` found no pair of different views: student "
                f"and teacher read {[view for view, _ in students]} alone. "
                "Raise the `count` of the view group, or add another"
            )
        statistics = {}
        if self.queue_size:
            keys = ops.concatenate([y for _, y in teachers])
            statistics["keys"] = l2_normalize(keys)[: self.queue_size]
        return Result(sum(values) / len(values), statistics=statistics)

    def after_step(
        self, statistics: dict[str, Tensor], finite: Tensor, moved: Tensor
    ) -> None:
        if not self.queue_size:
            return
        joined = ops.concatenate([statistics["keys"], self.queue.value])
        self.queue.assign(
            ops.where(finite, joined[: self.queue_size], self.queue.value)
        )

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "queue_size": self.queue_size,
        }
