"""What a step of curation removes, rule by rule."""

import dataclasses
import functools
from collections.abc import Iterable
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Report:
    """Which documents go, and why; prints as a table.

    A document may break several rules and is listed under each of them, so
    the order of rules does not matter. In the table, *alone* counts documents
    that only this rule removes: they would stay without it.

    Args:
        title: str. What was done.
        total: int. Documents that were looked at.
        rules: dict from the name of a rule to the indices of the documents
            that it removes.
        columns: dict from a heading to a dict from rules to values: more
            columns for the table.
        notes: tuple of str. Lines below the table.
        details: dict of what else the step found; see each function.

    Example:

    ```python
    import keras_dinolm as kd

    report = kd.curation.Report("Mine", 4, {"too long": [1], "too odd": [1, 3]})
    print(report)  # a table
    report.kept  # array([0, 2])
    report.counts  # {"too long": 1, "too odd": 2}
    report.select(["a", "b", "c", "d"])  # ["a", "c"]
    ```
    """

    title: str
    total: int
    rules: dict
    columns: dict = dataclasses.field(default_factory=dict)
    notes: tuple = ()
    details: dict = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def removed(self) -> np.ndarray:
        """Indices of the documents that go, ascending: int64."""
        parts = [np.asarray(part, "int64") for part in self.rules.values()]
        return np.unique(np.concatenate([np.zeros(0, "int64"), *parts]))

    @functools.cached_property
    def kept(self) -> np.ndarray:
        """Indices of the documents that stay, ascending: int64."""
        return np.setdiff1d(np.arange(self.total), self.removed)

    @property
    def counts(self) -> dict[str, int]:
        """Dict from each rule to the number of documents that it removes."""
        return {name: len(part) for name, part in self.rules.items()}

    def select(self, items: Iterable[Any]) -> list[Any]:
        """The items that stay.

        Args:
            items: iterable with one item for each document, in the same
                order: the corpus, its labels, its features.

        Returns:
            A list.

        Raises:
            ValueError: if the number of items is not `total`.
        """
        stays = np.zeros(self.total, dtype=bool)
        stays[self.kept] = True
        kept, count = [], 0
        for item in items:
            if count < self.total and stays[count]:
                kept.append(item)
            count += 1
        if count != self.total:
            raise ValueError(
                "`items` must be as many as the documents of this report "
                f"({self.total:,}). Received: {count:,} items. Select from "
                "the corpus that was curated, before anything else is removed "
                "(and from a list, if it is an iterator)."
            )
        return kept

    def __str__(self) -> str:
        times = np.zeros(self.total, dtype="int64")
        for part in self.rules.values():
            times[part] += 1
        headings = ["rule", *self.columns, "documents", "alone"]
        rows = [
            [
                name,
                *(column.get(name, "") for column in self.columns.values()),
                len(part),
                int((times[part] == 1).sum()),
            ]
            for name, part in self.rules.items()
        ]
        cells = [headings, *([_format(cell) for cell in row] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*cells)]
        lines = [
            f"{self.title}: {len(self.kept):,} of {self.total:,} documents stay"
        ]
        for row in cells:
            first, *others = [
                cell.ljust(width) if place == 0 else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths))
            ]
            lines.append("  ".join(["", first, *others]).rstrip())
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])

    def __repr__(self) -> str:
        return f"<Report {self.title}: {len(self.kept)} of {self.total}>"


def _format(cell):
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
