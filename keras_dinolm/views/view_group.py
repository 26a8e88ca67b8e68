"""The configuration of one group of views."""

import dataclasses
import math
import numbers

from keras_dinolm.views.piecewise_linear import PiecewiseLinear
from keras_dinolm.views.piecewise_linear import highest
from keras_dinolm.views.spans import UNIT

# The networks that every set of views needs, and all that may read one.
ROLES = ("student", "teacher")
READERS = (*ROLES, "gram")
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

    Every number below but `count` and `sentence_window` may also be a
    `PiecewiseLinear` of the step (see `ramp` and `sample_schedule`), so that
    a group can begin as dropout-only views or mild crops, and get masks and
    perturbations later. Widths and the room for masks are those of the
    largest values, at all steps.

    Fractions are kept to four decimals and probabilities to 16 binary digits,
    so that all later arithmetic is on integers and has the same bits
    everywhere.

    Args:
        name: str. Key of the group in the batch.
        count: int. Views of each document. The same at all steps; for more
            of them later, make a second group and read it from then on, by
            `DinoLM(group_starts=...)`.
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
            title; each alike) instead of the document itself, where there is
            one. Each view draws for itself. Their `positions` lie beyond
            those of the document, so that no token of one text aligns with
            another's. Defaults to `0.0`.

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
        span=(kd.views.ramp(0.4, 0.2, steps=1_000), 0.4),
        roles="student",
        word_swap=kd.views.ramp(0.0, 0.1, steps=1_000, begin=2_000),
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
    span: tuple = (1.0, 1.0)
    roles: tuple = ROLES
    mask_probability: float = 0.0
    mask_ratio: tuple = (0.1, 0.5)
    mask_span: float = 3.0
    word_deletion: float = 0.0
    punctuation_removal: float = 0.0
    word_swap: float = 0.0
    sentence_shuffle: float = 0.0
    sentence_window: int = 3
    synonym_replacement: float = 0.0
    typos: float = 0.0
    mask_unit: str = "token"
    alternate_probability: float = 0.0

    def __post_init__(self):
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(
                "`name` must be a non-empty string: it is the group's key in "
                f"the batch. Received: name={self.name!r}"
            )
        self._check_integer("count", 1, math.inf, "drop the group")
        self._check_integer("sentence_window", 2, 16, "3 is usual")
        self._set("roles", self._checked_roles())
        self._set("span", self._checked_range("span"))
        self._set("mask_ratio", self._checked_range("mask_ratio"))
        self._check_number(
            "mask_probability", 0, 1, "in [0, 1]", "0 turns masks off"
        )
        self._check_number(
            "mask_span",
            1,
            65536,
            "a mean length in units, in [1, 65536]",
            "1 masks single units",
        )
        for name in PERTURBATIONS:
            # All words cannot go, all punctuation can.
            high, allowed = 1, "in [0, 1]"
            if name == "word_deletion":
                high, allowed = math.nextafter(1, 0), "in [0, 1)"
            self._check_number(name, 0, high, allowed, "0 turns it off")
        self._check_number(
            "alternate_probability",
            0,
            1,
            "in [0, 1]",
            "0 cuts all views from the document itself",
        )
        if self.mask_unit not in MASK_UNITS:
            self._refuse(
                "mask_unit", "'token' or 'word'", "'word' masks whole words"
            )
        if self.maskable and "student" not in self.roles:
            self._refuse(
                "mask_probability",
                "0 in a group that the student does not read (masks are for "
                "its input)",
                "add 'student' to `roles`",
            )

    @property
    def maskable(self):
        """Whether any view of the group may be masked, at any step."""
        return highest(self.mask_probability) > 0

    @property
    def perturbed(self):
        """Whether the text of a span may be changed, at any step."""
        return any(highest(getattr(self, name)) for name in PERTURBATIONS)

    @property
    def draws_alternates(self):
        """Whether views may be cut from alternates, at any step."""
        return highest(self.alternate_probability) > 0

    def width(self, window):
        """Length of the token axis of the group's views.

        Args:
            window: int. Width of the windows that the views are cut from.

        Returns:
            int: the longest span, and one place for `[CLS]`.
        """
        high = round(highest(self.span[1]) * UNIT)
        return 1 + max(1, -(-high * window // UNIT))

    def num_masked(self, batch_size):
        """Masked views in a batch of `batch_size` documents, at the most."""
        units = round(highest(self.mask_probability) * UNIT)
        return units * batch_size * self.count // UNIT

    def get_config(self):
        """A JSON-serialisable dictionary of all arguments."""
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""

        def restored(value):
            if isinstance(value, dict):
                return PiecewiseLinear(**value)
            if isinstance(value, list | tuple):
                return tuple(map(restored, value))
            return value

        return cls(**{name: restored(v) for name, v in config.items()})

    def _set(self, name, value):
        object.__setattr__(self, name, value)

    def _refuse(self, argument, allowed, fix):
        raise ValueError(
            f"`{argument}` of view group '{self.name}' must be {allowed}; "
            f"{fix}. Received: {argument}={getattr(self, argument)!r}"
        )

    def _check_integer(self, argument, low, high, fix):
        value = getattr(self, argument)
        if (
            not isinstance(value, numbers.Integral)
            or isinstance(value, bool)
            or not low <= value <= high
        ):
            allowed = f"an integer, at least {low}"
            if high < math.inf:
                allowed += f" and at most {high}"
            self._refuse(argument, allowed, fix)
        self._set(argument, int(value))

    def _check_number(self, argument, low, high, allowed, fix):
        value = getattr(self, argument)
        if not _is_number(value, low, high):
            self._refuse(argument, allowed, fix + _hint(value))
        if not isinstance(value, PiecewiseLinear):
            self._set(argument, float(value))

    def _checked_roles(self):
        roles = self.roles
        roles = (roles,) if isinstance(roles, str) else tuple(roles)
        if (
            not roles
            or len(set(roles)) != len(roles)
            or not set(roles) <= set(READERS)
        ):
            self._refuse(
                "roles",
                "'student', 'teacher', 'gram' or several of them",
                "name each once",
            )
        return tuple(role for role in READERS if role in roles)

    def _checked_range(self, argument):
        value = getattr(self, argument)
        single = isinstance(value, numbers.Real | PiecewiseLinear)
        try:
            low, high = (value, value) if single else value
        except (TypeError, ValueError):
            low = high = None
        if (
            not _is_number(low, 1 / UNIT, 1)
            or not _is_number(high, 1 / UNIT, 1)
            or not _never_above(low, high)
        ):
            self._refuse(
                argument,
                f"a fraction or a pair (low, high) with {1 / UNIT} <= low <= "
                "high <= 1",
                "0.5 means half of the tokens" + _hint(value, low, high),
            )
        return tuple(
            end if isinstance(end, PiecewiseLinear) else float(end)
            for end in (low, high)
        )


def _is_number(value, low, high):
    """Whether a number, or a `PiecewiseLinear`, lies in a range."""
    if isinstance(value, PiecewiseLinear):
        return all(low <= knot <= high for knot in value.values)
    return (
        isinstance(value, numbers.Real)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and low <= value <= high
    )


def _never_above(low, high):
    ends = [
        end if isinstance(end, PiecewiseLinear) else PiecewiseLinear([0], [end])
        for end in (low, high)
    ]
    # Straight lines between the knots of either.
    steps = {step for end in ends for step in end.steps}
    return all(ends[0](step) <= ends[1](step) for step in steps)


def _hint(*values):
    if any(
        callable(value) and not isinstance(value, PiecewiseLinear)
        for value in values
    ):
        return (
            "; a schedule is passed as "
            "`kd.views.sample_schedule(schedule, steps)`"
        )
    return ""


def default_groups():
    """Two long views for both networks, four short ones for the student.

    Returns:
        Tuple of `ViewGroup`.
    """
    return (
        ViewGroup("global", 2, span=(0.8, 1.0), mask_probability=0.5),
        ViewGroup("local", 4, span=(0.2, 0.4), roles="student"),
    )
