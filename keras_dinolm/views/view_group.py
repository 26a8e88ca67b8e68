"""The configuration of one group of views."""

import dataclasses
import math
import numbers

from keras_dinolm.views.spans import UNIT

ROLES = ("student", "teacher")


@dataclasses.dataclass(frozen=True)
class ViewGroup:
    """Views of one kind: how many, how long, who reads them, how changed.

    DINO's global crops are a group that both networks read, its local crops
    one that only the student does. Disjoint sets for student and teacher are
    two groups with one role each, and *dropout-only* views (same text,
    different dropout, as in SimCSE) a group with `span=(1, 1)`.

    Fractions are kept to four decimals, so that all later arithmetic is on
    integers and has the same bits everywhere.

    Args:
        name: str. Key of the group in the batch.
        count: int. Views of each document.
        span: float or pair of floats in (0, 1]. Smallest and largest fraction
            of the window that a view covers; lengths between are equally
            likely, as are starts. A view has at least one token. Defaults to
            `(1, 1)`.
        roles: str or tuple of str. Readers of the group: `"student"`,
            `"teacher"` or both. Defaults to both.
        mask_probability: float in [0, 1]. Share of the group's views in a
            batch that are masked for the student (rounded down to whole
            views). Defaults to `0.0`.
        mask_ratio: float or pair of floats in (0, 1]. Smallest and largest
            share of masked tokens in a masked view; the masked views of a
            batch spread evenly over the range. Defaults to `(0.1, 0.5)`.
        mask_span: float, at least 1. Mean length, in tokens, of the segments
            that are masked together (geometric; 1 masks single tokens).
            Neighbouring segments that are both masked look like one. Defaults
            to `3.0`.
        word_deletion: float in [0, 1). Probability that a word is deleted
            from a view; one word always stays. Defaults to `0.0`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    ```python
    import keras_dinolm as kd

    whole = kd.views.ViewGroup("whole", count=2)
    part = kd.views.ViewGroup(
        "part", count=4, span=(0.2, 0.4), roles="student", word_deletion=0.1
    )
    ```

    References:
        - [DINO](https://arxiv.org/abs/2104.14294) (views and roles)
        - [iBOT](https://arxiv.org/abs/2111.07832) (masks)
        - [SpanBERT](https://arxiv.org/abs/1907.10529) (masked spans)
    """

    name: str
    count: int
    span: tuple = (1.0, 1.0)
    roles: tuple = ROLES
    mask_probability: float = 0.0
    mask_ratio: tuple = (0.1, 0.5)
    mask_span: float = 3.0
    word_deletion: float = 0.0

    def __post_init__(self):
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(
                "`name` must be a non-empty string: it is the group's key in "
                f"the batch. Received: name={self.name!r}"
            )
        if (
            not isinstance(self.count, numbers.Integral)
            or isinstance(self.count, bool)
            or self.count < 1
        ):
            self._refuse("count", "an integer, at least 1", "drop the group")
        self._set("count", int(self.count))
        self._set("roles", self._checked_roles())
        self._set("span", self._checked_range("span"))
        self._set("mask_ratio", self._checked_range("mask_ratio"))
        if not _is_number(self.mask_probability, 0, 1):
            self._refuse("mask_probability", "in [0, 1]", "0 turns masks off")
        if not _is_number(self.mask_span, 1, 65536):
            self._refuse(
                "mask_span",
                "a mean length in tokens, in [1, 65536]",
                "1 masks single tokens",
            )
        if not _is_number(self.word_deletion, 0, 1) or self.word_deletion == 1:
            self._refuse("word_deletion", "in [0, 1)", "0 turns it off")
        for name in ("mask_probability", "mask_span", "word_deletion"):
            self._set(name, float(getattr(self, name)))
        if self.mask_probability and "student" not in self.roles:
            self._refuse(
                "mask_probability",
                "0 in a group that only the teacher reads (masks are for the "
                "student's input)",
                "add 'student' to `roles`",
            )

    @property
    def maskable(self):
        """Whether any view of the group may be masked."""
        return self.mask_probability > 0

    def width(self, window):
        """Length of the token axis of the group's views.

        Args:
            window: int. Width of the windows that the views are cut from.

        Returns:
            int: the longest span, and one place for `[CLS]`.
        """
        high = round(self.span[1] * UNIT)
        return 1 + max(1, -(-high * window // UNIT))

    def num_masked(self, batch_size):
        """Number of masked views in a batch of `batch_size` documents."""
        units = round(self.mask_probability * UNIT)
        return units * batch_size * self.count // UNIT

    def _set(self, name, value):
        object.__setattr__(self, name, value)

    def _refuse(self, argument, allowed, fix):
        raise ValueError(
            f"`{argument}` of view group '{self.name}' must be {allowed}; "
            f"{fix}. Received: {argument}={getattr(self, argument)!r}"
        )

    def _checked_roles(self):
        roles = self.roles
        roles = (roles,) if isinstance(roles, str) else tuple(roles)
        if (
            not roles
            or len(set(roles)) != len(roles)
            or not set(roles) <= set(ROLES)
        ):
            self._refuse(
                "roles", "'student', 'teacher' or both", "name each once"
            )
        return tuple(role for role in ROLES if role in roles)

    def _checked_range(self, argument):
        value = getattr(self, argument)
        pair = (value, value) if isinstance(value, numbers.Real) else value
        try:
            low, high = pair
        except (TypeError, ValueError):
            low = high = None
        if (
            not _is_number(low, 1 / UNIT, 1)
            or not _is_number(high, 1 / UNIT, 1)
            or low > high
        ):
            self._refuse(
                argument,
                f"a fraction or a pair (low, high) with {1 / UNIT} <= low <= "
                "high <= 1",
                "0.5 means half of the tokens",
            )
        return float(low), float(high)


def _is_number(value, low, high):
    return (
        isinstance(value, numbers.Real)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and low <= value <= high
    )


def default_groups():
    """Two long views for both networks, four short ones for the student.

    Returns:
        Tuple of `ViewGroup`.
    """
    return (
        ViewGroup("global", 2, span=(0.8, 1.0), mask_probability=0.5),
        ViewGroup("local", 4, span=(0.2, 0.4), roles="student"),
    )
