"""The table of what was distilled, in markdown."""

import math
import statistics

from contest.report import TASKS


def table(lines, titles):
    """A markdown table of finished runs, a method a row.

    Args:
        lines: list of dicts, one a run, as `distill.py` writes them.
        titles: dict of method to title, in the order of rows.

    Returns:
        A string. Mean and deviation over seeds: scores in percent, speed as
        multiples of the teacher's, size in MB, cost in minutes.
    """
    head = [
        "encoder",
        *TASKS.values(),
        "average",
        "without slots",
        "in domain",
        "speed",
        "MB",
        "minutes",
        "seeds",
    ]
    rows = [head, ["---"] * len(head)]
    for method, title in titles.items():
        runs = [line for line in lines if line["method"] == method]
        if not runs:
            continue
        columns = [
            *([run["scores"][task] for run in runs] for task in TASKS),
            [statistics.mean(run["scores"].values()) for run in runs],
            [without_slots(run["scores"]) for run in runs],
            [run["in_domain"] for run in runs],
        ]
        cells = [_cell([100 * x for x in values]) for values in columns]
        cells += [
            _cell([relative_speed(run) for run in runs]),
            _cell([run.get("megabytes", math.nan) for run in runs]),
            _cell([run.get("seconds", math.nan) / 60 for run in runs]),
            str(len(runs)),
        ]
        rows.append([title, *cells])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def without_slots(scores):
    """Mean of the tasks that need features of texts only.

    Args:
        scores: dict of task to fraction.

    Returns:
        Float from 0 to 1.
    """
    return statistics.mean(
        value for task, value in scores.items() if task != "snips_slots"
    )


def relative_speed(run):
    """How many times the teacher's texts a second an encoder has.

    Args:
        run: dict, a line of the results.

    Returns:
        Float; NaN of what was not timed.
    """
    if "texts_per_second" not in run:
        return math.nan
    return run["texts_per_second"] / run["teacher_texts_per_second"]


def _cell(values):
    if any(map(math.isnan, values)):
        return ""
    mean = f"{statistics.mean(values):.1f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(values):.1f}"
