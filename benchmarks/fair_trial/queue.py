"""In which order the trial runs: what tells most comes first."""

from fair_trial.families import FAMILIES


def _runs(family, start, seeds, names=None):
    return [
        f"{family}/{start}/{name}/{seed}"
        for seed in seeds
        for name in names or FAMILIES[family].variants
    ]


QUEUE = list(
    dict.fromkeys(
        [
            *_runs("tokens", "bag", [0]),
            *_runs("bag", "bag", [0]),
            *_runs("bag", "counted", [0]),
        ]
    )
)
