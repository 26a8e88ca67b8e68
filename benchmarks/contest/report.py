"""The contest's table, in markdown, and its plot."""

import statistics

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
REFERENCE = "crop_info_nce"


def table(lines, titles):
    """A markdown table of finished runs.

    Args:
        lines: list of dicts, one a run: `method`, `seed`, `scores` (task to
            fraction) and for trained ones `steps`.
        titles: dict of method to title, in the order of rows.

    Returns:
        A string. Mean and deviation over seeds in percent; the last column
        is the difference of the average to that of crop InfoNCE, seed by
        seed.
    """
    runs = {}
    for line in lines:
        runs.setdefault(line["method"], {})[line["seed"]] = line
    head = ["method", *TASKS.values(), "average", "− crop InfoNCE", "steps"]
    rows = [head, ["---"] * len(head)]
    for method, title in titles.items():
        if method not in runs:
            continue
        seeds = runs[method]
        cells = [
            _cell([100 * run["scores"][task] for run in seeds.values()])
            for task in TASKS
        ]
        cells.append(_cell([average(run) for run in seeds.values()]))
        cells.append(_difference(seeds, runs.get(REFERENCE, {}), method))
        steps = {run["steps"] for run in seeds.values() if "steps" in run}
        cells.append(" / ".join(f"{n:,}" for n in sorted(steps)))
        rows.append([title, *cells])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def average(run):
    """Mean of a run's tasks, in percent."""
    return 100 * statistics.mean(run["scores"][task] for task in TASKS)


def _difference(seeds, reference, method):
    shared = sorted(set(seeds) & set(reference))
    if method == REFERENCE or not shared:
        return ""
    return _cell([average(seeds[s]) - average(reference[s]) for s in shared])


def _cell(values):
    mean = f"{statistics.mean(values):.1f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(values):.1f}"


def plot(lines, titles, path):
    """Quality on dev against seconds of training, mean and range of seeds."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(8, 5), layout="constrained")
    for method, title in titles.items():
        curves = [
            line["curve"]
            for line in lines
            if line["method"] == method and line.get("curve")
        ]
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
    axis.legend(frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
