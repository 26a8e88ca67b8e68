"""KoLeo: spread the features over the sphere."""

import functools
from typing import Any

import keras
from keras import ops

from keras_dinolm import arguments
from keras_dinolm import losses
from keras_dinolm.objectives.features import Features
from keras_dinolm.objectives.objective import Objective
from keras_dinolm.objectives.objective import Result
from keras_dinolm.objectives.view_groups import groups_of
from keras_dinolm.schedules import Schedule
from keras_dinolm.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_dinolm")
class KoLeo(Objective):
    """Pushes each student feature away from its nearest neighbour.

    It reads the student's features before the head, in every view that the
    teacher also reads (without such a view, in all views of the student).
    Neighbours are searched among the views of one index, or, with
    `across_views`, among all views of the batch, where a feature has more
    candidates to be near to. Views of the same document are no neighbours of
    each other, and neither are documents with the same text: those with the
    same tokens in that view, or, across views, in any view of the same index.

    Args:
        weight: float or schedule. Defaults to 0.1, as in DINOv2.
        across_views: boolean. Whether neighbours are searched among all views
            of the batch instead of view by view.
        **kwargs: as for `Objective`: `start`, `stop`, `name`.

    Example:

    ```python
    import keras_dinolm as kd

    objective = kd.objectives.KoLeo(weight=0.1)
    ```

    Reference:
        [Spreading vectors for similarity search](https://arxiv.org/abs/1806.03198)
    """

    reads_tokens = "none"

    def __init__(
        self,
        weight: float | Schedule = 0.1,
        across_views: bool = False,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("name", "koleo")
        super().__init__(weight=weight, **kwargs)
        self.across_views = arguments.flag("across_views", across_views)

    def reads(self, roles: dict[str, tuple[str, ...]]) -> set[tuple[str, str]]:
        # Once built, the groups stay the same, also while some of them have
        # not started.
        groups = self.groups if self.built else _groups(roles)
        return {("student", group) for group in groups if group in roles}

    def build_for(self, lesson: Any) -> None:
        self.groups = _groups(lesson.roles)
        super().build_for(lesson)

    def compute(self, features: Features) -> Result:
        rows, equal = [], []
        for group in self.groups:
            if group not in features.student:
                continue
            sequence = features.student[group]["sequence"]
            texts = features.batch[group]["token_ids"]
            for view in range(sequence.shape[1]):
                rows.append(sequence[:, view])
                equal.append(_equal_rows(texts[:, view]))
        if self.across_views:
            same = _first(functools.reduce(ops.logical_or, equal))
            rows = [ops.concatenate(rows)]
            groups = [ops.tile(same, (len(equal),))]
        else:
            groups = [_first(pairs) for pairs in equal]
        values = [losses.koleo(x, groups=g) for x, g in zip(rows, groups)]
        return Result(sum(values) / len(values))

    def get_config(self) -> dict:
        return {**super().get_config(), "across_views": self.across_views}


def _groups(roles):
    return groups_of(roles, "student", "teacher") or groups_of(roles, "student")


def _equal_rows(token_ids: Tensor) -> Tensor:
    """`[B, B]`: which rows have the same tokens."""
    return ops.all(token_ids[:, None, :] == token_ids[None, :, :], axis=-1)


def _first(pairs: Tensor) -> Tensor:
    """`[B]`: for each row the first row that it is paired with."""
    return ops.argmax(ops.cast(pairs, "int32"), axis=-1)
