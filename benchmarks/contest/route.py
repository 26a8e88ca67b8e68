"""How the default recipe was found: changes of it, measured as it is.

What was tried before this default stands in `RESULTS.md`, and the code of
each line of `route.jsonl` in the commit that it names.
"""

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


NO_BAG = change("no bag, counted", start=None, start_steps=0, counted=True)


def halves(**changes):
    """The default's views, some of whose tokens are masked, with changes."""
    return (ViewGroup("local", **{**methods.HALVES, **changes}),)


def whole(**changes):
    """The view of masked LM, with changes."""
    return (ViewGroup("whole", 1, **{**methods.MASKED, **changes}),)


def pooled(*layers):
    return {**DEFAULT.backbone, "pooled_layers": layers}


# The blocks learn from masked LM alone, the embeddings from both.
APART = {
    "groups": (*METHODS["masked_lm"].groups, *methods.BAG.groups),
    "learning_rate": 1e-3,
    "multipliers": {},
    "backbone": pooled(0),
}


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
    "no_info_nce": change("no InfoNCE", objectives=methods.masked_lm),
    "no_masked_lm": change(
        "no masked LM",
        groups=(ViewGroup("local", count=2, span=(0.45, 0.5)),),
        objectives=methods.info_nce,
    ),
    "short_crops": change(
        "crops of 20 to 40 %", groups=halves(span=(0.2, 0.4))
    ),
    "pieces": change(
        "pieces of words are masked", groups=halves(mask_unit="token")
    ),
    "mask_ratio_0.3": change("30 % are masked", groups=halves(mask_ratio=0.3)),
    "last_layer": change("the last layer is pooled", backbone=pooled(-1)),
    "apart": change(
        "apart: masked LM of windows, InfoNCE of crops' embeddings", **APART
    ),
    "apart_more": change(
        "apart, 30 % are masked, four crops, half the start",
        **{
            **APART,
            "groups": (
                *whole(mask_ratio=0.3),
                ViewGroup("local", **{**methods.CROPS, "count": 4}),
            ),
            "start_steps": 992,
        },
    ),
    "embeddings": change("the embeddings are pooled", backbone=pooled(0)),
    "full_rate": change("embeddings at the full rate", multipliers={}),
    "full_rate_1e-3": change(
        "embeddings at the full rate, 1e-3",
        multipliers={},
        learning_rate=1e-3,
    ),
    "layer_scale_0": change(
        "branches start at 0", backbone={**DEFAULT.backbone, "layer_scale": 0.0}
    ),
    "layer_scale_1": change(
        "branches start at 1", backbone={**DEFAULT.backbone, "layer_scale": 1.0}
    ),
    "batch_32": change("batch of 32", batch_size=32),
    "rate_1e-3": change("rate 1e-3", learning_rate=1e-3),
    "dino_ibot": change("with DINO and iBOT", objectives=distilled),
    "student": change("the student is kept", network="student"),
    "masked_lm_pieces": change(
        "masked LM, pieces of words are masked",
        METHODS["masked_lm"],
        groups=whole(mask_unit="token"),
    ),
    "masked_lm_layer_scale_1": change(
        "masked LM, branches start at 1",
        METHODS["masked_lm"],
        backbone={**METHODS["masked_lm"].backbone, "layer_scale": 1.0},
    ),
    "masked_lm_mask_ratio_0.3": change(
        "masked LM, 30 % are masked",
        METHODS["masked_lm"],
        groups=whole(mask_ratio=0.3),
    ),
    **{
        f"{name}_last_layer": change(
            f"{METHODS[name].title}, the last layer is pooled",
            METHODS[name],
            backbone={**METHODS[name].backbone, "pooled_layers": (-1,)},
        )
        for name in ("masked_lm", "simcse", "crop_info_nce")
    },
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
