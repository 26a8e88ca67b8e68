"""What the objectives share that compare two of the student's views."""

from typing import Any

from keras_dinolm import arguments
from keras_dinolm.objectives.features import Features
from keras_dinolm.objectives.objective import Objective
from keras_dinolm.typing import Tensor


class PairedViews(Objective):
    """Takes the student's views of a group in pairs: 0 and 1, 2 and 3, ...

    Args:
        group: string. The view group, of at least two views.
        num_pairs: int or `None`. How many pairs of views to use; `None` is
            all.
        **kwargs: as for `Objective`.
    """

    reads_tokens = "none"

    def __init__(
        self, group: str, num_pairs: int | None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if num_pairs is not None:
            num_pairs = arguments.count("num_pairs", num_pairs)
        self.group = arguments.string("group", group, meaning="a view group")
        self.num_pairs = num_pairs

    def reads(self, roles: dict[str, tuple[str, ...]]) -> set[tuple[str, str]]:
        return {("student", self.group)}

    def build_for(self, lesson: Any) -> None:
        if "student" not in lesson.roles.get(self.group, ()):
            raise ValueError(
                f"Argument `group` of `{type(self).__name__}` must be a view "
                "group that the student reads. Received: "
                f"group={self.group!r}, roles={dict(lesson.roles)}"
            )
        super().build_for(lesson)

    def pairs(self, features: Features) -> list[tuple[Tensor, Tensor]]:
        """Takes the student's features of the group in pairs.

        Args:
            features: `Features`.

        Returns:
            A list of `(x, y)`, the features `[B, D]` of two views.

        Raises:
            ValueError: if the group has too few views.
        """
        sequence = features.student[self.group]["sequence"]
        available = sequence.shape[1] // 2
        pairs = available if self.num_pairs is None else self.num_pairs
        if not 1 <= pairs <= available:
            raise ValueError(
                f"`{type(self).__name__}` needs two views a pair: "
                f"group {self.group!r} has {sequence.shape[1]} views. Raise "
                f"its `count` or lower `num_pairs`. Received: num_pairs={pairs}"
            )
        return [
            (sequence[:, 2 * i], sequence[:, 2 * i + 1]) for i in range(pairs)
        ]

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "group": self.group,
            "num_pairs": self.num_pairs,
        }
