"""What the objectives share that compare two of the student's views."""

from keras_dinolm.objectives.objective import Objective


class PairedViews(Objective):
    """Takes the student's views of a group in pairs: 0 and 1, 2 and 3, ...

    Args:
        group: string. The view group, of at least two views.
        num_pairs: int or `None`. How many pairs of views to use; `None` is
            all.
        **kwargs: as for `Objective`.
    """

    reads_tokens = "none"

    def __init__(self, group, num_pairs, **kwargs):
        super().__init__(**kwargs)
        self.group = group
        self.num_pairs = num_pairs

    def reads(self, roles):
        return {("student", self.group)}

    def build_for(self, lesson):
        if "student" not in lesson.roles.get(self.group, ()):
            raise ValueError(
                f"Argument `group` of `{type(self).__name__}` must be a view "
                "group that the student reads. Received: "
                f"group={self.group!r}, roles={dict(lesson.roles)}"
            )
        super().build_for(lesson)

    def pairs(self, features):
        """List of `(x, y)`, the features `[B, D]` of two views."""
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

    def get_config(self):
        return {
            **super().get_config(),
            "group": self.group,
            "num_pairs": self.num_pairs,
        }
