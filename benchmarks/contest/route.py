"""How the default recipe was found: changes of it, measured as it is."""

import dataclasses

from contest import methods
from contest.methods import METHODS
from contest.methods import Method
from keras_dinolm import objectives
from keras_dinolm import schedules
from keras_dinolm.views import ViewGroup

DEFAULT = METHODS["dino_lm"]


def change(title, of=DEFAULT, **changes):
    """The default, or another method, with something else in it."""
    return dataclasses.replace(of, title=title, **changes)


NO_BAG = change("no bag, counted", start=None, start_share=0.0, counted=True)


def crops(**changes):
    """The default's crops, some of whose tokens are masked, with changes."""
    return (ViewGroup("local", **{**methods.MASKED_CROPS, **changes}),)


def distilled(steps):
    """The default's objectives with DINO and iBOT beside them."""
    temperature = schedules.Linear(0.04, 0.07, max(steps // 5, 1))
    return [
        *methods.default(steps),
        *(
            objective(weight=0.25, teacher_temperature=temperature)
            for objective in (
                objectives.SequenceDistillation,
                objectives.TokenDistillation,
            )
        ),
    ]


# A whole window, masked, for masked LM; crops as they are for InfoNCE.
WHOLE_AND_CROPS = (
    *METHODS["masked_lm"].groups,
    ViewGroup("local", **methods.CROPS),
)


def masked_lm_of(weight):
    return lambda steps: [
        objectives.InfoNCE(0.05),
        objectives.MaskedLM(weight=weight),
    ]


# Two halves of a window: as many tokens as masked LM reads, nearly as long.
HALVES = crops(span=(0.45, 0.5))
ATTENTION_BAG = dataclasses.replace(
    methods.BAG, backbone={**methods.BAG.backbone, "pooling": "attention"}
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
    "no_bag_rate_5e-4": change("no bag, rate 5e-4", NO_BAG, learning_rate=5e-4),
    "no_bag_rate_2e-3": change("no bag, rate 2e-3", NO_BAG, learning_rate=2e-3),
    "no_bag_no_masked_lm": change(
        "no bag, rate 2e-3, no masked LM",
        NO_BAG,
        learning_rate=2e-3,
        groups=METHODS["crop_info_nce"].groups,
        objectives=methods.info_nce,
    ),
    "no_start": change("no bag, random", NO_BAG, counted=False),
    "whole_masked": change(
        "masked LM on whole windows",
        groups=WHOLE_AND_CROPS,
        objectives=masked_lm_of(1.0),
    ),
    "whole_masked_no_bag": change(
        "masked LM on whole windows, no bag",
        NO_BAG,
        groups=WHOLE_AND_CROPS,
        objectives=masked_lm_of(1.0),
    ),
    "halves": change(
        "halves of windows, masked LM of weight 1",
        groups=HALVES,
        objectives=masked_lm_of(1.0),
    ),
    "halves_no_bag": change(
        "halves of windows, masked LM of weight 1, no bag",
        NO_BAG,
        groups=HALVES,
        objectives=masked_lm_of(1.0),
    ),
    "halves_info_nce_0.1": change(
        "halves of windows, masked LM of weight 1, InfoNCE of 0.1",
        groups=HALVES,
        objectives=lambda steps: [
            objectives.InfoNCE(0.05, weight=0.1),
            objectives.MaskedLM(),
        ],
    ),
    "longer_crops": change(
        "crops of 30 to 50 %, masked LM of weight 1, rate 2e-3, 15 % of "
        "the time for the start",
        groups=crops(span=(0.3, 0.5)),
        objectives=masked_lm_of(1.0),
        start_share=0.15,
        learning_rate=2e-3,
    ),
    "attention_bag": change(
        "the start alone, attention pooling", ATTENTION_BAG
    ),
    "start_share_0.5": change("half the time for the start", start_share=0.5),
    "layer_scale_0.1": change(
        "branches start at 0.1", backbone={"layer_scale": 0.1}
    ),
    "no_masked_lm": change(
        "no masked LM",
        groups=METHODS["crop_info_nce"].groups,
        objectives=methods.info_nce,
    ),
    "no_info_nce": change("no InfoNCE", objectives=methods.masked_lm),
    "half_masked": change(
        "half of the views masked", groups=crops(mask_probability=0.5)
    ),
    "spans_masked": change("spans of 3 masked", groups=crops(mask_span=3.0)),
    "masked_lm_1": change(
        "masked LM of weight 1", objectives=masked_lm_of(1.0)
    ),
    "dino_ibot": change("with DINO and iBOT", objectives=distilled),
    "student": change("the student is kept", network="student"),
    "batch_128": change(
        "batch of 128, rate 1.5e-3", batch_size=128, learning_rate=1.5e-3
    ),
    "short_crops": change(
        "crops of 12 to 25 %", groups=crops(span=(0.12, 0.25))
    ),
    "rate_5e-4": change("rate 5e-4", learning_rate=5e-4),
    "rate_2e-3": change("rate 2e-3", learning_rate=2e-3),
    "slow_embeddings": change(
        "a tenth of the rate for embeddings",
        multipliers={"token_embedding": 0.1},
    ),
    "no_registers": change("no registers", backbone={"num_registers": 0}),
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
