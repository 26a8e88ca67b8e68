"""Kinds of arguments, each with values that it refuses and values it takes."""

import dataclasses
import decimal
import math
from typing import Any

import numpy as np

NAN = math.nan
INF = math.inf
HUGE = 10**30

# These are no number, whatever its range.
NO_NUMBER = (
    NAN,
    INF,
    -INF,
    np.float32("nan"),
    np.float64("inf"),
    decimal.Decimal("nan"),
    1j,
    True,
    np.True_,
    "x",
    "1",
    b"1",
    None,
    [],
    [1],
    {},
    object(),
    np.array([1.0, 2.0]),
    np.array([1, 2]),
)
# These are no word, path or flag.
NO_WORD = (NAN, 7, 1.5, 1j, True, None, [], [1], {}, object(), b"x", np.ones(2))


@dataclasses.dataclass(frozen=True, eq=False)
class Kind:
    """What an argument may be.

    Attributes:
        bad: values that must be refused by an error that names the argument.
        good: values that must be taken.
    """

    bad: tuple
    good: tuple = ()

    def optional(self) -> "Kind":
        """The same, or `None`."""
        return Kind(
            tuple(v for v in self.bad if v is not None), (*self.good, None)
        )

    def without(self, *types: type) -> "Kind":
        """The same, where values of these types have a meaning, too."""
        return Kind(
            tuple(v for v in self.bad if not isinstance(v, types)), self.good
        )

    def but(self, *bad: Any, good: tuple = ()) -> "Kind":
        """The same with more of both."""
        return Kind((*self.bad, *bad), (*self.good, *good))


def whole(low: int = 1) -> Kind:
    """An integer that becomes no size: as large as one likes."""
    kind = integer(low)
    return Kind(
        tuple(v for v in kind.bad if not (type(v) is int and v == HUGE)),
        kind.good,
    )


def number(
    low: float = -INF,
    high: float = INF,
    above: float = -INF,
    below: float = INF,
) -> Kind:
    """A finite number in a range."""
    bad = [*NO_NUMBER, 10**400]
    good: list = [] if math.inf in (high, below) else []
    for bound, step in ((low, -1), (high, 1)):
        if math.isfinite(bound):
            bad += [bound + step, math.nextafter(bound, bound + step)]
            good += [bound, np.float64(bound)]
    for bound, step in ((above, -1), (below, 1)):
        if math.isfinite(bound):
            bad += [bound, bound + step, np.float32(bound)]
    bottom = max(low, above)
    top = min(high, below)
    if math.isfinite(bottom) and math.isfinite(top):
        good += [np.float32((bottom + top) / 2), (bottom + top) / 2]
    elif math.isfinite(bottom):
        good += [bottom + 1, np.int64(bottom + 1), np.float32(bottom + 1)]
    return Kind(tuple(bad), tuple(good))


def scheduled(kind: Kind, *outside: float) -> Kind:
    """A number or a schedule, with values of schedules out of range."""
    return kind.but(
        lambda step: NAN,
        lambda step: "x",
        lambda: 1.0,
        _raises,
        float,
        *(_constant(value) for value in outside),
    )


def _constant(value):
    return lambda step: value


def _raises(step):
    raise RuntimeError("no value")


def integer(low: int = 1, high: int | None = None) -> Kind:
    """An integer in a range, below 2^63 in any case."""
    bad = [*NO_NUMBER, low - 1, low - 7, low + 0.5, low + 1.0, HUGE, -HUGE]
    if high is not None:
        bad += [high + 1]
    top = low + 1 if high is None else min(high, low + 1)
    return Kind(tuple(bad), (top, np.int64(top), np.int32(top)))


def choice(*allowed: Any) -> Kind:
    """One of a few words."""
    return Kind((*NO_WORD, "nonsense", ""), allowed)


FLAG = Kind(
    (NAN, 0, 1, 7, 1.5, 1j, "x", "True", None, [], {}, object(), np.ones(2)),
    (True, False, np.True_),
)
WORD = Kind(NO_WORD)
PATH = Kind((NAN, 7, 1.5, 1j, True, None, [], {}, object(), np.ones(2)))
PATHS = PATH.without(list).but([], [7], [None])
TEXT = Kind(NO_WORD)
# A list of strings, of any length but 0.
WORDS = Kind((NAN, 7, 1.5, True, None, object(), [7], [None], b"x"))
OBJECT = Kind((NAN, 7, 1.5, 1j, True, None, [], {}, object(), "x", b"x"))
CORPUS = Kind((NAN, 7, 1.5, True, None, object(), "x", b"x", [7], [None], {}))
MATRIX = Kind(
    (
        None,
        "x",
        7,
        NAN,
        [],
        object(),
        np.ones(3),
        np.ones((2, 3, 4)),
        np.full((6, 4), NAN),
        np.full((6, 4), INF),
        np.ones((6, 4), complex),
        np.full((6, 4), "x"),
        np.ones((0, 4)),
    )
)
# Losses cannot look at values; kind and rank they can.
TENSOR = Kind(
    (None, "x", object(), np.full((6, 4), "x"), np.ones((6, 4), complex), {})
)
TEMPERATURE = number(above=0)
PROBABILITY = number(0, 1)
RATE = number(0, below=1)
SEED = integer(0)
