"""The contest's table, in markdown, and its plot."""

import math
import statistics

from keras_dinolm import files

TASKS = {
    "topic": "topic",
    "trec": "TREC",
    "sst2": "SST-2",
    "clinc150": "CLINC150",
    "snips_intent": "intents",
    "snips_slots": "slots",
    "snli": "SNLI",
    "stsb": "STS-B",
    "xquad": "XQuAD",
}
# How the head of a column names a method.
SHORT = {"crop_info_nce": "crop InfoNCE", "old_default": "old default"}


def table(lines, titles, reference="crop_info_nce"):
    """A markdown table of finished runs.

    Args:
        lines: list of dicts, one a run: `method`, `seed`, `scores` (task to
            fraction) and for trained ones `steps`.
        titles: dict of method to title, in the order of rows.
        reference: string. The method that the others are compared with.

    Returns:
        A string. Mean and deviation over seeds, in percent. The last column
        but one is the difference from the average of `reference`, seed by
        seed. Cells of tasks that a method cannot do stay empty.
    """
    runs = {}
    for line in lines:
        runs.setdefault(line["method"], {})[line["seed"]] = line
    short = SHORT.get(reference, reference)
    head = ["method", *TASKS.values(), "average", f"− {short}", "steps"]
    rows = [head, ["---"] * len(head)]
    for method, title in titles.items():
        if method not in runs:
            continue
        seeds = runs[method]
        scores = [
            [run["scores"].get(task, math.nan) for run in seeds.values()]
            for task in TASKS
        ]
        cells = [_cell([100 * x for x in task]) for task in scores]
        cells.append(_cell([average(run) for run in seeds.values()]))
        others = {} if method == reference else runs.get(reference, {})
        cells.append(_difference(seeds, others))
        steps = {run["steps"] for run in seeds.values() if "steps" in run}
        cells.append(" / ".join(f"{n:,}" for n in sorted(steps)))
        rows.append([title, *cells])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def average(run):
    """Mean of all tasks, in percent; NaN of a run that leaves some out."""
    scores = [run["scores"].get(task, math.nan) for task in TASKS]
    return 100 * statistics.mean(scores)


def _difference(seeds, reference):
    shared = sorted(set(seeds) & set(reference))
    if not shared:
        return ""
    return _cell([average(seeds[s]) - average(reference[s]) for s in shared])


def _cell(values):
    if any(map(math.isnan, values)):
        return ""
    mean = f"{statistics.mean(values):.1f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(values):.1f}"


def origin(lines):
    """A sentence of when, where and by which code lines were made."""

    def values(name):
        return ", ".join(sorted({line[name] for line in lines}))

    return (
        f"{values('machine')}, backend {values('backend')}, "
        f"{values('date')}, commits {values('commit')}."
    )


def publish(text, path, mark):
    """Puts a text between the two comments of that mark in a document."""
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    document = path.read_text(encoding="utf-8")
    before, found, rest = document.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(
            f"{path} must have a line `{begin}` and, below, a line `{end}`. "
            "Add them where the table belongs."
        )
    files.write_text(path, f"{before}{begin}\n{text}\n{end}{after}")


def plot(lines, titles, path):
    """Quality on dev against seconds of training, mean and range of seeds."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(8, 6), layout="constrained")
    for method, title in titles.items():
        curves = [line["curve"] for line in lines if line["method"] == method]
        if not curves:
            continue
        points = list(zip(*curves))
        seconds = [point[0]["seconds"] for point in points]
        values = [[100 * p["probe"] for p in point] for point in points]
        axis.plot(seconds, list(map(statistics.mean, values)), label=title)
        axis.fill_between(
            seconds, list(map(min, values)), list(map(max, values)), alpha=0.2
        )
    axis.set(
        xlabel="seconds of training (steps x seconds a step)",
        ylabel="mean of the dev probes, %",
        xscale="log",
    )
    figure.legend(loc="outside lower center", frameon=False)
    with files.write_file(path) as file:
        figure.savefig(file, format="png", dpi=110)
    plt.close(figure)
