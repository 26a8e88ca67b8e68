"""In which order the trial runs: what tells most comes first."""

from fair_trial.families import FAMILIES

# Of the targets for tokens: one of each kind, and each with masked LM.
KINDS = (
    "start",
    "masked_lm",
    "units_500",
    "ibot",
    "data2vec",
    "units_twice",
    "masked_lm_units",
    "masked_lm_ibot",
    "masked_lm_data2vec",
)
# Those that say most about a start that is better.
FEW = ("start", "masked_lm", "units_500", "ibot", "masked_lm_units")


def _runs(family, start, seeds, names=None):
    return [
        f"{family}/{start}/{name}/{seed}"
        for seed in seeds
        for name in names or FAMILIES[family].variants
    ]


# A run that is named twice runs once, at its first place.
QUEUE = list(
    dict.fromkeys(
        [
            *_runs("tokens", "bag", [0], KINDS),
            *_runs("bag", "bag", [0]),
            *_runs("tokens", "bag", [1], KINDS),
            *_runs("bag", "counted", [0]),
            *_runs("tokens", "bag", [0]),
            *_runs("minilm", "minilm", [0]),
            *_runs("tokens", "distilled", [0], FEW),
            *_runs("bag", "bag", [1, 2]),
            *_runs("tokens", "bag", [2], KINDS),
            *_runs("blocks", "bag", [0]),
            *_runs("bag", "counted", [1, 2]),
            *_runs("minilm", "minilm", [1, 2]),
        ]
    )
)
