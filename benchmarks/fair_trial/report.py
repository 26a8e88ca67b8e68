"""The tables of the trial, in markdown."""

import statistics

from fair_trial.families import FAMILIES
from fair_trial.queue import QUEUE

# Columns by family: title, and where the score is in a record. What is
# compared with the reference is the first.
COLUMNS = {
    "tokens": {
        "slots": ("slots",),
        "TREC": ("last", "trec"),
        "SST-2": ("last", "sst2"),
        "average, last layer": ("last", "avg8"),
        "average, embeddings": ("embeddings", "avg8"),
    },
    "bag": {
        "average": ("embeddings", "avg8"),
        "in-domain": ("embeddings", "in_domain"),
        "STS-B": ("embeddings", "stsb"),
        "XQuAD": ("embeddings", "xquad"),
        "TREC": ("embeddings", "trec"),
    },
    "blocks": {
        "average": ("both", "avg8"),
        "in-domain": ("both", "in_domain"),
        "average, embeddings": ("embeddings", "avg8"),
        "in-domain, embeddings": ("embeddings", "in_domain"),
    },
    "minilm": {"in-domain": ("in_domain",), "STS-B": ("stsb",)},
}


def tables(lines):
    """A table for each family and start that has finished runs.

    Args:
        lines: list of dicts, as in the results.

    Returns:
        A dict of `family-start` to markdown.
    """
    runs = [line for line in lines if line["kind"] == "run"]
    found = {}
    for family in FAMILIES:
        of_family = [run for run in runs if run["family"] == family]
        for start in dict.fromkeys(run["start"] for run in of_family):
            mine = [run for run in of_family if run["start"] == start]
            found[f"{family}-{start}"] = table(family, mine)
    return found


def table(family, runs):
    """A row for each variant: means over seeds, and deviations."""
    known, columns = FAMILIES[family], COLUMNS[family]
    main, first = next(iter(columns.items()))
    by_name = {}
    for run in runs:
        by_name.setdefault(run["variant"], {})[run["seed"]] = run
    reference = by_name.get(known.reference, {})
    title = known.variants[known.reference].title
    head = ["variant", *columns, f"{main} − {title}", "steps", "seeds"]
    rows = [head, ["---"] * len(head)]
    for name, variant in known.variants.items():
        seeds = by_name.get(name, {})
        if not seeds:
            continue
        cells = [
            _cell([score(run, path) for run in seeds.values()])
            for path in columns.values()
        ]
        shared = sorted(set(seeds) & set(reference))
        differences = [
            score(seeds[seed], first) - score(reference[seed], first)
            for seed in shared
        ]
        compared = name != known.reference and differences
        steps = {
            " + ".join(f"{n:,}" for n in run["steps"]) for run in seeds.values()
        }
        rows.append(
            [
                variant.title,
                *cells,
                _cell(differences, sign="+") if compared else "",
                " / ".join(sorted(steps)),
                str(len(seeds)),
            ]
        )
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def origin(lines):
    """A sentence of what the results cost, where and by which code."""

    def values(name):
        return ", ".join(sorted({line[name] for line in lines}))

    hours = sum(line["processor_seconds"] for line in lines) / 3_600
    done = {line["run"] for line in lines if line["kind"] == "run"}
    return (
        f"{len(done & set(QUEUE))} of {len(QUEUE)} planned runs are done, "
        f"{hours:.1f} hours of one core; {values('machine')}, "
        f"backend {values('backend')}, {values('date')}, commits "
        f"{values('commit')}."
    )


def score(run, path):
    """A number of a record's scores."""
    found = run["scores"]
    for name in path:
        found = found[name]
    return found


def _cell(values, sign=""):
    mean = f"{statistics.mean(values):{sign}.1f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(values):.1f}"
