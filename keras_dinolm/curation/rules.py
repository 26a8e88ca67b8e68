"""A rule of quality: a number of a text, and its limits."""

import collections.abc
import dataclasses
from typing import Any

from keras_dinolm import arguments
from keras_dinolm.curation.parsed_text import ParsedText

# Rules that count, and take no fractions.
_COUNTS = (
    "minimum_words",
    "maximum_words",
    "minimum_stop_words",
    "minimum_sentences",
    "maximum_curly_brackets",
    "maximum_lorem_ipsum",
)


@dataclasses.dataclass(frozen=True)
class Rule:
    """A number that a text must not fall below, or not exceed.

    Args:
        name: str. What the report calls it.
        measure: function from a parsed text (with `text`, `words`, `lines` and
            `paragraphs`) to a number.
        minimum: number. The least that is allowed, or `None`.
        maximum: number. The most that is allowed, or `None`.

    Raises:
        ValueError: if a limit is no finite number, or `measure` no function.

    Example:

    ```python
    import keras_dinolm as kd

    rule = kd.curation.Rule("to_do", lambda t: t.text.count("TODO"), maximum=0)
    report = kd.curation.filter_quality(
        ["all is done", "TODO: write"], [rule], show_progress=False
    )
    report.counts  # {"to_do": 1}
    ```
    """

    name: str
    measure: collections.abc.Callable
    minimum: float | None = None
    maximum: float | None = None

    def __post_init__(self):
        arguments.string("name", self.name)
        if not callable(self.measure):
            arguments.refuse("measure", self.measure, "a function of a text")
        for name in "minimum", "maximum":
            if getattr(self, name) is not None:
                arguments.number(name, getattr(self, name))

    def fails(self, parsed: ParsedText) -> bool:
        """Whether a text breaks the rule.

        Args:
            parsed: the parsed text, as `measure` takes it.

        Returns:
            A bool.
        """
        value = self.measure(parsed)
        return (self.minimum is not None and value < self.minimum) or (
            self.maximum is not None and value > self.maximum
        )

    @property
    def limit(self) -> str:
        """The limits as a string for the table."""
        parts = ("≥", self.minimum), ("≤", self.maximum)
        return ", ".join(f"{s} {v:g}" for s, v in parts if v is not None)


def make_rules(*rows: tuple[str, Any, collections.abc.Callable]) -> list[Rule]:
    """A `Rule` for each row (name, limit, measure) that has a limit."""
    rules = []
    for name, limit, measure in rows:
        if limit is not None:
            # The error names the argument that the user wrote.
            if name in _COUNTS:
                limit = arguments.integer(name, limit, 0, (1 << 31) - 1)
            else:
                limit = arguments.number(name, limit, 0)
            side = name.partition("_")[0]
            rules.append(Rule(name, measure, **{side: limit}))
    return rules


def check_pairs(name: str, value: Any) -> list[tuple[int, float]]:
    """Returns pairs of a length in words and a limit, or raises."""
    what = "pairs (n, share), such as [(2, 0.2)], or ()"
    arguments.instance(name, value, (list, tuple), what)
    pairs = []
    for pair in value:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            arguments.refuse(name, value, what)
        n = arguments.integer(name, pair[0], 1, (1 << 31) - 1)
        pairs.append((n, arguments.number(name, pair[1], 0)))
    return pairs
