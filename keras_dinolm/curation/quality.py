"""Finds texts that break rules of quality."""

from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_dinolm import arguments
from keras_dinolm.curation.gopher import gopher_quality
from keras_dinolm.curation.gopher import gopher_repetition
from keras_dinolm.curation.parsed_text import ParsedText
from keras_dinolm.curation.passes import map_texts
from keras_dinolm.curation.report import Report
from keras_dinolm.curation.rules import Rule
from keras_dinolm.typing import Path


def filter_quality(
    corpus: Iterable[Any],
    rules: Sequence[Rule] | None = None,
    directory: Path | None = None,
    show_progress: bool = True,
) -> Report:
    """Finds texts that break rules of quality: junk, lists, repetition.

    Every text is measured by every rule, so the counts tell what each rule
    does, alone and with the others, whatever their order.

    Args:
        corpus: iterable of `str`, `Document`, or mappings with `"text"`. It
            is read once and may be larger than memory.
        rules: list of `Rule`. Defaults to those of `gopher_quality()` and
            `gopher_repetition()`; add lists for more, also rules of your own.
        directory: path of a folder where results are kept on the way, so that
            the same call continues where it was stopped. For rules of your
            own, only names and limits are compared. Defaults to `None`, which
            keeps nothing.
        show_progress: bool. Whether to show a progress bar.

    Returns:
        A `Report` with each rule's name and limit.

    Raises:
        ValueError: if two rules have the same name, or the directory holds
            results of another corpus or of other rules.
        InUseError: if another process works in the directory.

    Example:

    ```python
    import keras_dinolm as kd

    corpus = kd.data.installed_docs("all", packages=["json"], cache=False)
    report = kd.curation.filter_quality(
        corpus,
        kd.curation.gopher_quality(minimum_words=20)
        + kd.curation.gopher_repetition(),
    )
    print(report)
    documents = report.select(corpus)
    ```

    Reference:

    - [Rae et al., 2021](https://arxiv.org/abs/2112.11446)
    - [Raffel et al., 2020](https://arxiv.org/abs/1910.10683)
    """
    if rules is None:
        rules = gopher_quality() + gopher_repetition()
    rules = _check_rules(rules)
    show_progress = arguments.flag("show_progress", show_progress)
    names = [rule.name for rule in rules]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(
            "`rules` must have distinct names, which the report counts by. "
            f"Received several rules called: {', '.join(twice)}"
        )

    def failed(text):
        parsed = ParsedText(text)
        return [i for i, rule in enumerate(rules) if rule.fails(parsed)]

    found: dict[str, list[int]] = {name: [] for name in names}
    total = 0
    settings = [f"{rule.name} {rule.minimum} {rule.maximum}" for rule in rules]
    for row in map_texts(
        failed,
        len(rules),
        corpus,
        settings,
        directory,
        "Quality",
        show_progress,
    ):
        for index in row:
            found[names[index]].append(total)
        total += 1
    return Report(
        "Quality",
        total,
        {name: np.array(rows, dtype="int64") for name, rows in found.items()},
        columns={"limit": {rule.name: rule.limit for rule in rules}},
    )


def _check_rules(rules):
    what = "a list of `keras_dinolm.curation.Rule`"
    arguments.instance("rules", rules, list | tuple, what)
    for rule in rules:
        if not isinstance(rule, Rule):
            arguments.refuse("rules", rules, what)
    return list(rules)
