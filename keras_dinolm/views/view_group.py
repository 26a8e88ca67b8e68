"""The configuration of one group of views."""

import dataclasses
import math
from typing import Any

import keras

from keras_dinolm.schedules.lines import Lines
from keras_dinolm.views.settings import Setting
from keras_dinolm.views.settings import highest
from keras_dinolm.views.settings import moves
from keras_dinolm.views.spans import UNIT
from keras_dinolm.views.view_group_checks import ROLES
from keras_dinolm.views.view_group_checks import checked_integer
from keras_dinolm.views.view_group_checks import checked_range
from keras_dinolm.views.view_group_checks import checked_roles
from keras_dinolm.views.view_group_checks import checked_setting
from keras_dinolm.views.view_group_checks import refuse

MASK_UNITS = ("token", "word")

# Probabilities of changes, and what 0 does.
PERTURBATIONS = (
    "word_deletion",
    "punctuation_removal",
    "word_swap",
    "sentence_shuffle",
    "synonym_replacement",
    "typos",
)


@keras.saving.register_keras_serializable(package="keras_dinolm")
@dataclasses.dataclass(frozen=True)
class ViewGroup:
    """Views of one kind: how many, how long, who reads them, how changed.

    DINO's global crops are a group that both networks read, its local crops
    one that only the student does. Disjoint sets for student and teacher are
    two groups with one role each, and *dropout-only* views (same text,
    different dropout, as in SimCSE) a group with `span=(1, 1)`.

    Whatever is changed, `positions` stay true: they tell for each token of a
    view which token of the document it is or stands for. Changes are made in
    this order: synonyms, typos, deletions, sentences, swaps; then masks.

    Every number below except `count` and `sentence_window` may also be a
    schedule, `kd.schedules.Linear` or `kd.schedules.PiecewiseLinear`, so that
    a group can begin as dropout-only views or mild crops, and get masks and
    perturbations later. Other schedules are refused, since their floats need
    not have the same bits everywhere; `kd.schedules.PiecewiseLinear.of` turns
    them into straight lines. Widths and the room for masks are those of the
    largest values, at all steps.

    Fractions are kept to four decimals and probabilities to 16 binary digits,
    so that all later arithmetic is on integers and has the same bits
    everywhere.

    Args:
        name: str. Key of the group in the batch.
        count: int. Views of each document, the same at all steps. To get
            more of them later, make a second group and let
            `DinoLM(group_starts=...)` read it from then on.
        span: float or pair of floats in (0, 1]. Smallest and largest fraction
            of the window that a view covers; lengths between are equally
            likely, as are starts. A view has at least one token. Defaults to
            `(1, 1)`.
        roles: str or tuple of str. Readers of the group: `"student"`,
            `"teacher"`, `"gram"` (the Gram teacher of `GramAnchoring`), or
            several. Defaults to `("student", "teacher")`.
        mask_probability: float in [0, 1]. Share of the group's views in a
            batch that are masked for the student (rounded down to whole
            views). Defaults to `0.0`.
        mask_ratio: float or pair of floats in (0, 1]. Smallest and largest
            share of masked tokens in a masked view. The masked views of a
            batch spread evenly over the range, in a random order (as in iBOT
            and its successors), so that their total does not vary. Defaults
            to `(0.1, 0.5)`.
        mask_span: float, at least 1. Mean length, in units, of the segments
            that are masked together (geometric; 1 masks single units).
            Neighbouring segments that are both masked look like one. Defaults
            to `3.0`.
        word_deletion: float in [0, 1). Probability that a word is deleted
            from a view; one word always stays. Defaults to `0.0`.
        punctuation_removal: float in [0, 1]. Probability that a punctuation
            mark is removed. Defaults to `0.0`.
        word_swap: float in [0, 1]. Probability that a word changes places
            with a neighbour (a punctuation mark is a word). Defaults to
            `0.0`.
        sentence_shuffle: float in [0, 1]. Probability that a few sentences in
            a row are put in a random order. A sentence ends after `.`, `!`,
            `?` and their like, wherever they stand. Defaults to `0.0`.
        sentence_window: int in [2, 16]. How many sentences are shuffled
            among each other. Defaults to `3`.
        synonym_replacement: float in [0, 1]. Probability that a word is
            replaced by a synonym, where the table of `TextViews` has one.
            Defaults to `0.0`.
        typos: float in [0, 1]. Probability that a token is replaced by one
            that is a typo away, where the table of `TextViews` has one.
            Defaults to `0.0`.
        mask_unit: `"token"` or `"word"`. What masked segments are made of.
            With `"word"`, words are masked whole; but as the number of masked
            tokens is exact, a view may have one word masked in part. Defaults
            to `"token"`.
        alternate_probability: float in [0, 1]. Probability that a view is cut
            from an alternate of its document (a translation, a paraphrase, a
            title), where there is one, instead of the document itself. Each
            view draws for itself, and each alternate is equally likely. Their
            `positions` lie beyond those of the document, so that no token of
            one text aligns with another's. Defaults to `0.0`.

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

    A curriculum: crops of 40 % that become smaller, and words that begin to
    change places:

    ```python
    part = kd.views.ViewGroup(
        "part",
        count=4,
        span=(kd.schedules.Linear(0.4, 0.2, steps=1_000), 0.4),
        roles="student",
        word_swap=kd.schedules.Linear(0.0, 0.1, steps=1_000, begin=2_000),
    )
    ```

    References:
        - [DINO](https://arxiv.org/abs/2104.14294) (views and roles)
        - [iBOT](https://arxiv.org/abs/2111.07832) (masks)
        - [SpanBERT](https://arxiv.org/abs/1907.10529) (masked spans)
        - [Cui et al., 2019](https://arxiv.org/abs/1906.08101) (whole words)
        - [EDA](https://arxiv.org/abs/1901.11196) (words deleted, swapped,
          replaced)
    """

    name: str
    count: int
    # Given as one setting or a pair, kept as a pair.
    span: Any = (1.0, 1.0)
    # Given as a string or a tuple, kept as a tuple.
    roles: Any = ROLES
    mask_probability: Setting = 0.0
    mask_ratio: Any = (0.1, 0.5)
    mask_span: Setting = 3.0
    word_deletion: Setting = 0.0
    punctuation_removal: Setting = 0.0
    word_swap: Setting = 0.0
    sentence_shuffle: Setting = 0.0
    sentence_window: int = 3
    synonym_replacement: Setting = 0.0
    typos: Setting = 0.0
    mask_unit: str = "token"
    alternate_probability: Setting = 0.0

    def __post_init__(self):
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(
                "`name` must be a non-empty string: it is the group's key in "
                f"the batch. Received: name={self.name!r}"
            )
        check = self._check
        check(checked_integer, "count", 1, math.inf, "drop the group")
        check(checked_integer, "sentence_window", 2, 16, "3 is usual")
        check(checked_roles, "roles")
        check(checked_range, "span")
        check(checked_range, "mask_ratio")
        share = (0, 1, "in [0, 1]")
        check(checked_setting, "mask_probability", *share, "0 turns masks off")
        check(
            checked_setting,
            "mask_span",
            1,
            65536,
            "a mean length in units, in [1, 65536]",
            "1 masks single units",
        )
        for name in PERTURBATIONS:
            allowed = share
            if name == "word_deletion":
                # All punctuation can go, all words cannot.
                allowed = (0, math.nextafter(1, 0), "in [0, 1)")
            check(checked_setting, name, *allowed, "0 turns it off")
        check(
            checked_setting,
            "alternate_probability",
            *share,
            "0 cuts all views from the document itself",
        )
        if not isinstance(self.mask_unit, str) or (
            self.mask_unit not in MASK_UNITS
        ):
            refuse(
                self.name,
                "mask_unit",
                self.mask_unit,
                "'token' or 'word'",
                "'word' masks whole words",
            )
        if self.maskable and "student" not in self.roles:
            refuse(
                self.name,
                "mask_probability",
                self.mask_probability,
                "0 in a group that the student does not read (masks are for "
                "its input)",
                "add 'student' to `roles`",
            )

    def _check(self, check, argument, *limits):
        """Replaces an argument by its checked form."""
        value = check(self.name, argument, getattr(self, argument), *limits)
        object.__setattr__(self, argument, value)

    @property
    def maskable(self) -> bool:
        """Whether any view of the group may be masked, at any step."""
        return highest(self.mask_probability) > 0

    @property
    def perturbed(self) -> bool:
        """Whether the text of a span may be changed, at any step."""
        return any(highest(getattr(self, name)) for name in PERTURBATIONS)

    @property
    def draws_alternates(self) -> bool:
        """Whether views may be cut from alternates, at any step."""
        return highest(self.alternate_probability) > 0

    @property
    def moves(self) -> bool:
        """Whether any setting depends on the step."""
        values = [getattr(self, f.name) for f in dataclasses.fields(self)]
        return any(map(moves, [*values, *self.span, *self.mask_ratio]))

    def width(self, window: int) -> int:
        """Length of the token axis of the group's arrays.

        Args:
            window: int. Width of the windows that the views are cut from.

        Returns:
            int: the longest span, and one place for `[CLS]`.
        """
        high = round(highest(self.span[1]) * UNIT)
        return 1 + max(1, -(-high * window // UNIT))

    def num_masked(self, batch_size: int) -> int:
        """The most views that are masked in a batch.

        Args:
            batch_size: int. Documents in the batch.

        Returns:
            int.
        """
        units = round(highest(self.mask_probability) * UNIT)
        return units * batch_size * self.count // UNIT

    def get_config(self) -> dict:
        """A JSON-serialisable dictionary of all arguments."""
        return {
            field.name: _serialized(getattr(self, field.name))
            for field in dataclasses.fields(self)
        }

    @classmethod
    def from_config(cls, config: dict) -> "ViewGroup":
        """The inverse of `get_config`.

        Args:
            config: dict.

        Returns:
            `ViewGroup`.
        """
        return cls(**{name: _restored(v) for name, v in config.items()})


def _serialized(value):
    if isinstance(value, tuple):
        return list(map(_serialized, value))
    if isinstance(value, Lines):
        return keras.saving.serialize_keras_object(value)
    return value


def _restored(value):
    if isinstance(value, list):
        return tuple(map(_restored, value))
    if isinstance(value, dict):
        return keras.saving.deserialize_keras_object(value)
    return value


def default_groups() -> tuple[ViewGroup, ...]:
    """Two long views for both networks, four short ones for the student.

    Returns:
        Tuple of `ViewGroup`.

    Example:

    ```python
    import keras_dinolm as kd

    [group.name for group in kd.views.default_groups()]  # ["global", "local"]
    ```
    """
    return (
        ViewGroup("global", 2, span=(0.8, 1.0), mask_probability=0.5),
        ViewGroup("local", 4, span=(0.2, 0.4), roles="student"),
    )
