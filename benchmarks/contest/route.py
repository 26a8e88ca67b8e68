"""How the default recipe was found: changes of it, measured as it is.

What was tried before stands in `RESULTS.md`, and the code of each line of
`route.jsonl` in the commit that it names.
"""

import dataclasses

import keras_dinolm as kd
from contest import methods
from contest.methods import METHODS
from contest.methods import Method
from keras_dinolm.views import ViewGroup

DEFAULT = METHODS["dino_lm"]


def change(title, of=DEFAULT, **changes):
    """The default, or another method, with something else in it."""
    return dataclasses.replace(of, title=title, **changes)


def whole(mask_ratio=0.3):
    return ViewGroup("whole", 1, **{**methods.MASKED, "mask_ratio": mask_ratio})


def crops(count=4):
    return ViewGroup("local", **{**methods.CROPS, "count": count})


def library_objectives(steps):
    """Those of a `kd.models.DinoLM` that is given none."""
    return [
        kd.objectives.SequenceDistillation(),
        kd.objectives.TokenDistillation(),
        kd.objectives.KoLeo(),
        kd.objectives.InfoNCE(),
    ]


NO_BAG = change("no bag, counted", start=None, start_steps=0, counted=True)
SLOW = {"token_embedding|output_norm": 0.1}

# The default before this one: halves of a window, which are as many tokens as
# masked LM reads and nearly as much context, are told apart by what the blocks
# make of them, while some of their words are predicted.
TOGETHER = change(
    "InfoNCE and masked LM together, of halves",
    groups=(ViewGroup("local", 2, span=(0.45, 0.5), **methods.MASKED),),
    learning_rate=2e-3,
    # So that the blocks do not undo what the bag has learned.
    multipliers=SLOW,
    backbone={**methods.FIRST_LAST, "layer_scale": 0.1},
    start_steps=2_000,
)

# The rates that rivals were tried with, beside their own.
RIVALS = {
    "crop_info_nce": ("5e-4", "2e-3"),
    "masked_lm": ("5e-4", "2e-3"),
    "simcse": ("1e-3",),
    "bag": ("1e-3", "4e-3"),
    "dino_lm_without_info_nce": ("2e-3",),
}

ROUTE: dict[str, Method] = {
    "no_blocks": change("the start alone, no blocks", methods.BAG),
    "random_embeddings": change(
        "embeddings of the start random",
        start=dataclasses.replace(methods.BAG, counted=False),
    ),
    "no_bag": NO_BAG,
    "no_start": change("no bag, random", NO_BAG, counted=False),
    "no_info_nce": change(
        "no InfoNCE after the start",
        groups=(whole(),),
        objectives=methods.masked_lm,
    ),
    "mask_ratio_0.15": change("15 % are masked", groups=(whole(0.15), crops())),
    "two_crops": change("two crops", groups=(whole(), crops(2))),
    "start_2000": change("a start of 2,000", start_steps=2_000),
    "apart": change(
        "15 % are masked, two crops, a start of 2,000",
        groups=(whole(0.15), crops(2)),
        start_steps=2_000,
    ),
    "slow_embeddings": change(
        "embeddings at a tenth of the rate", multipliers=SLOW
    ),
    "rate_2e-3": change("rate 2e-3", learning_rate=2e-3),
    # So that users know what they have who leave everything as it is.
    "library": Method(
        "`DinoLM` without arguments: DINO, iBOT, KoLeo, InfoNCE",
        kd.views.default_groups(),
        library_objectives,
        network="teacher",
        learning_rate=1e-3,
        momentum=DEFAULT.momentum,
    ),
    "together": TOGETHER,
    "together_rate_1e-3": change(
        "together, rate 1e-3", TOGETHER, learning_rate=1e-3
    ),
    "together_full_rate": change(
        "together, embeddings at the full rate", TOGETHER, multipliers={}
    ),
    "together_full_rate_1e-3": change(
        "together, embeddings at the full rate, 1e-3",
        TOGETHER,
        multipliers={},
        learning_rate=1e-3,
    ),
    # As their losses read them.
    **{
        f"{name}_first_last": change(
            f"{METHODS[name].title}, first and last layer read",
            METHODS[name],
            read_layers=None,
        )
        for name in (
            "masked_lm",
            "simcse",
            "crop_info_nce",
            "dino_lm_without_info_nce",
        )
    },
    "masked_lm_mask_ratio_0.3": change(
        "masked LM, 30 % are masked", METHODS["masked_lm"], groups=(whole(),)
    ),
    **{
        f"{name}_rate_{rate}": change(
            f"{METHODS[name].title}, rate {rate}",
            METHODS[name],
            learning_rate=float(rate),
        )
        for name, rates in RIVALS.items()
        for rate in rates
    },
}


def all_methods():
    """Everything that can be trained, by name."""
    return {**METHODS, **ROUTE}
