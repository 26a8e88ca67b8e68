"""What is compared: targets for blocks and for features of texts.

A variant is one phase or several. A phase gets a `Scene` and returns a
`Lesson`: objectives, and what they need beside the student.
"""

import dataclasses
from collections.abc import Callable

import keras_dinolm as kd
from keras_dinolm import objectives as o
from keras_dinolm import schedules


@dataclasses.dataclass(frozen=True)
class Lesson:
    """What a phase teaches.

    Args:
        objectives: list of objectives.
        prototypes: int or `None`. How many prototypes there are, which begin
            as centroids.
    """

    objectives: list
    prototypes: int | None = None


@dataclasses.dataclass(frozen=True)
class Variant:
    """A row of a table.

    Args:
        title: string.
        phases: callables `scene -> Lesson`, which share the budget equally.
        views: string, one of the family's views.
        cost: string. Variants of one cost are timed once.
        momentum: float or `None`. In place of the family's schedule.
    """

    title: str
    phases: tuple[Callable, ...]
    views: str = "words"
    cost: str | None = None
    momentum: float | None = None


# === Targets for tokens ===

NUM_TOKEN_PROTOTYPES = 256


def masked_lm(scene):
    return Lesson([o.MaskedLM()])


def ibot(scene):
    objective = o.TokenDistillation(teacher_temperature=_warm(scene))
    return Lesson([objective], prototypes=NUM_TOKEN_PROTOTYPES)


def data2vec(scene):
    return Lesson([o.FeatureRegression(num_layers=2)])


def units(scene, clusters=500, window=0, temperature=None):
    """HuBERT: clusters of what a fixed encoder says of the masked tokens."""
    rows = scene.token_features(scene.before, window)
    objective = o.UnitPrediction(
        kd.data.centroids(rows, clusters, scene.seed),
        teacher=scene.before,
        window=window,
        temperature=temperature,
    )
    return Lesson([objective])


def with_masked_lm(phase, **options):
    """The sum of masked LM and other targets."""

    def both(scene):
        lesson = phase(scene, **options)
        return dataclasses.replace(
            lesson, objectives=[o.MaskedLM(), *lesson.objectives]
        )

    return both


def given(phase, **options):
    return lambda scene: phase(scene, **options)


def _warm(scene):
    return schedules.Linear(0.04, 0.07, max(scene.steps // 5, 1))


TOKENS = {
    "start": Variant("untrained blocks", ()),
    "masked_lm": Variant("masked LM", (masked_lm,)),
    "units_500": Variant("units, K 500", (units,), cost="units_500"),
    "ibot": Variant("iBOT, k-means prototypes", (ibot,)),
    "data2vec": Variant("data2vec", (data2vec,)),
    "units_twice": Variant(
        "units, K 500, two iterations", (units, units), cost="units_twice"
    ),
    "masked_lm_units": Variant(
        "masked LM + units, K 500", (with_masked_lm(units),)
    ),
    "masked_lm_ibot": Variant("masked LM + iBOT", (with_masked_lm(ibot),)),
    "masked_lm_data2vec": Variant(
        "masked LM + data2vec", (with_masked_lm(data2vec),)
    ),
    "units_soft": Variant(
        "units, K 500, soft",
        (given(units, temperature=0.1),),
        cost="units_500",
    ),
    "units_near": Variant(
        "units, K 500, with 2 neighbours each side",
        (given(units, window=2),),
        cost="units_500",
    ),
    "units_100": Variant("units, K 100", (given(units, clusters=100),)),
    "units_2000": Variant("units, K 2,000", (given(units, clusters=2_000),)),
    "units_near_soft": Variant(
        "units, K 500, with neighbours, soft",
        (given(units, window=2, temperature=0.1),),
        cost="units_500",
    ),
    "units_near_twice": Variant(
        "units, K 500, with neighbours, two iterations",
        (given(units, window=2), given(units, window=2)),
        cost="units_twice",
    ),
    "masked_lm_then_units": Variant(
        "masked LM, then units of its blocks", (masked_lm, units)
    ),
}

# === Targets for texts ===

NUM_TEXT_PROTOTYPES, QUEUE_SIZE = 256, 4_096


def info_nce(scene):
    return Lesson([o.InfoNCE(group=scene.family.group)])


def momentum_contrast(scene, queue_size=0):
    return Lesson([o.MomentumContrast(queue_size=queue_size)])


def dino(scene, weight=1.0):
    objective = o.SequenceDistillation(
        teacher_temperature=_warm(scene), weight=weight
    )
    return Lesson([objective], prototypes=NUM_TEXT_PROTOTYPES)


def sigreg(scene, target="student"):
    return Lesson([o.SIGReg(target=target, seed=scene.seed)])


def with_info_nce(phase, **options):
    """The sum of InfoNCE of two spans and another objective."""

    def both(scene):
        lesson = phase(scene, **options)
        return dataclasses.replace(
            lesson,
            objectives=[*info_nce(scene).objectives, *lesson.objectives],
        )

    return both


SEQUENCES = {
    "start": Variant("the start", ()),
    "info_nce": Variant("InfoNCE of two spans", (info_nce,), views="spans"),
    "whole": Variant(
        "InfoNCE to the moving average's whole window",
        (momentum_contrast,),
        views="spans_and_whole",
    ),
    "whole_now": Variant(
        "the same, no average: the student of the step before",
        (momentum_contrast,),
        views="spans_and_whole",
        cost="whole",
        momentum=0.0,
    ),
    "queue": Variant(
        "InfoNCE to the moving average's whole window, queue of 4,096",
        (given(momentum_contrast, queue_size=QUEUE_SIZE),),
        views="spans_and_whole",
    ),
    "info_nce_whole": Variant(
        "InfoNCE of two spans + to the whole window",
        (with_info_nce(momentum_contrast),),
        views="spans_and_whole",
    ),
    "dino": Variant(
        "DINO, k-means prototypes", (dino,), views="spans_and_whole"
    ),
    "info_nce_dino": Variant(
        "InfoNCE of two spans + 0.3 DINO",
        (with_info_nce(dino, weight=0.3),),
        views="spans_and_whole",
    ),
    "sigreg": Variant("SIGReg, no teacher", (sigreg,), views="all_read"),
    "sigreg_teacher": Variant(
        "SIGReg, to the moving average's whole window",
        (given(sigreg, target="teacher"),),
        views="spans_and_whole",
    ),
}
