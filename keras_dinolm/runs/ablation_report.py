"""The runs of an ablation as a table and as a figure."""

import collections
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def table(results: list[dict], changes: list[str]) -> str:
    """A table in Markdown: the numbers, and below it their differences.

    Args:
        results: list of dicts with `change`, `seed`, `measured`, `failures`.
        changes: list of names. The rows; the first is what the others are
            compared with.

    Returns:
        A string.
    """
    headings = _headings(results)
    digits = {h: _digits(results, h) for h in headings}
    rows = [["", *headings, "runs", "failure"]]
    for change in changes:
        of_change = [r for r in results if r["change"] == change]
        rows.append(
            [
                change,
                *(
                    _cell(_by_seed(results, change, h).values(), digits[h])
                    for h in headings
                ),
                str(len(of_change)),
                _failures(of_change),
            ]
        )
    parts = ["Mean ± standard deviation over the seeds:", _markdown(rows)]
    if len(changes) > 1 and headings:
        rows = [["", *headings]]
        for change in changes[1:]:
            cells = [
                _cell(_paired(results, change, changes[0], h), digits[h], "+")
                for h in headings
            ]
            rows.append([change, *cells])
        parts += [
            f'Difference from "{changes[0]}", paired by seed:',
            _markdown(rows),
        ]
    return "\n\n".join(parts)


def figure(
    results: list[dict],
    changes: list[str],
    curves: list[str],
    steps_per_epoch: int,
    steps: int,
) -> "Figure":
    """Every number of every run, and curves of the training.

    Args:
        results: as for `table`, with `history` as well.
        changes: as for `table`.
        curves: list of names in the histories.
        steps_per_epoch: int.
        steps: int.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    # Imported late, since most users of this room draw nothing.
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    headings = _headings(results)
    num_panels = max(len(headings) + len(curves), 1)
    num_columns = min(num_panels, 3)
    num_rows = -(-num_panels // num_columns)
    height = 1.2 + 0.32 * max(len(changes), 6)
    plot = Figure((5.0 * num_columns, height * num_rows), layout="constrained")
    axes = plot.subplots(num_rows, num_columns, squeeze=False).ravel()
    palette = colormaps["tab10" if len(changes) <= 10 else "tab20"]
    colors = [palette(i % palette.N) for i in range(len(changes))]
    for axis, heading in zip(axes, headings):
        _dots(axis, results, changes, heading, colors)
    for axis, name in zip(axes[len(headings) :], curves):
        _lines(axis, results, changes, name, colors, steps_per_epoch, steps)
    for axis in axes[num_panels:]:
        axis.set_axis_off()
    # One legend serves all curves, since each change has its color.
    if len(curves) and axes[len(headings)].lines:
        plot.legend(
            *axes[len(headings)].get_legend_handles_labels(),
            loc="outside lower center",
            ncols=min(len(changes), 4),
            frameon=False,
        )
    if any(run["failures"] for run in results):
        plot.suptitle("x: a run with a failure", fontsize=9, x=0.99, ha="right")
    return plot


def _dots(axis, results, changes, heading, colors):
    for place, (change, color) in enumerate(zip(changes, colors)):
        values = _by_seed(results, change, heading)
        found = list(values.values())
        if found:
            axis.errorbar(
                np.mean(found),
                place,
                xerr=np.std(found, ddof=1) if len(found) > 1 else 0.0,
                fmt="|",
                markersize=14,
                color=color,
                capsize=3,
            )
        for run in results:
            if run["change"] == change and run["seed"] in values:
                axis.plot(
                    values[run["seed"]],
                    place,
                    marker="x" if run["failures"] else "o",
                    markersize=5,
                    color=color,
                )
    axis.set_yticks(range(len(changes)), changes)
    axis.set_ylim(len(changes) - 0.5, -0.5)
    axis.grid(axis="x", alpha=0.3)
    axis.set_title(heading, fontsize=10)


def _lines(axis, results, changes, name, colors, steps_per_epoch, steps):
    for change, color in zip(changes, colors):
        label = change
        for run in results:
            curve = run["history"].get(name)
            if run["change"] == change and curve:
                ends = np.arange(1, len(curve) + 1) * steps_per_epoch
                axis.plot(
                    np.minimum(ends, steps),
                    [np.nan if v is None else v for v in curve],
                    color=color,
                    linewidth=1.0,
                    label=label,
                )
                label = None  # once in the legend
    axis.set_title(name, fontsize=10)
    axis.set_xlabel("step")
    axis.grid(alpha=0.3)


def _headings(results):
    return list(dict.fromkeys(h for r in results for h in r["measured"]))


def _by_seed(results, change, heading):
    """Seed to value, for the runs that have one."""
    return {
        run["seed"]: run["measured"][heading]
        for run in results
        if run["change"] == change and run["measured"].get(heading) is not None
    }


def _paired(results, change, baseline, heading):
    ours = _by_seed(results, change, heading)
    base = _by_seed(results, baseline, heading)
    return [ours[seed] - base[seed] for seed in ours if seed in base]


def _digits(results, heading):
    """Decimals that leave the largest number of a column three digits."""
    values = [run["measured"].get(heading) or 0.0 for run in results]
    largest = max(map(abs, values))
    if largest == 0.0:
        return 2
    return min(max(2 - math.floor(math.log10(largest)), 0), 4)


def _cell(values, digits, sign=""):
    values = list(values)
    if not values:
        return "-"
    text = f"{np.mean(values):{sign}.{digits}f}"
    if len(values) > 1:
        text += f" ± {np.std(values, ddof=1):.{digits}f}"
    return text


def _failures(runs):
    if not runs:
        return "-"
    counts = collections.Counter(f for run in runs for f in run["failures"])
    parts = [f"{name} ({count})" for name, count in counts.items()]
    return ", ".join(parts) or "none"


def _markdown(rows):
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
