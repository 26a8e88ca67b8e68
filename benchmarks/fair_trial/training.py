"""Trains a variant, and measures what a step of it costs."""

import statistics
import time

import keras
import numpy as np

import keras_dinolm as kd
from fair_trial.families import FAMILIES
from fair_trial.scene import Scene

# Of a step's cost, after the round that compiles.
ROUNDS, STEPS = 7, 6
# Between two points of the curves and two checkpoints.
EPOCHS = 8


def build(workshop, family, variant, phase, before, steps, seed, momentum=None):
    """The model of a phase, not yet compiled.

    Args:
        workshop: `Workshop`.
        family: `Family`.
        variant: `Variant`.
        phase: int. Which of the variant's phases.
        before: backbone that the phase begins with.
        steps: int. Of the phase.
        seed: int.
        momentum: float or schedule, in place of the family's.

    Returns:
        `(model, views)`.
    """
    keras.utils.set_random_seed(seed)
    backbone = family.backbone(before, workshop.size)
    scene = Scene(workshop, family, before, steps, seed)
    lesson = variant.phases[phase](scene)
    views = family.make_views(workshop, variant)
    for given in (
        variant.momentum,
        kd.schedules.Cosine(*family.momentum, steps),
    ):
        momentum = given if momentum is None else momentum
    keras.utils.set_random_seed(seed)
    model = kd.models.DinoLM(
        backbone,
        lesson.objectives,
        roles=views.roles,
        num_prototypes=lesson.prototypes,
        momentum=momentum,
    )
    if lesson.prototypes:
        kd.recipes.start_prototypes(
            model, family.sample(workshop), family.num_rows, seed
        )
    return model, views


def make(workshop, family, variant, phase, before, steps, seed):
    """The compiled model of a phase, and its views; as `build`."""
    model, views = build(workshop, family, variant, phase, before, steps, seed)
    multipliers = dict(family.multipliers)
    if model.student.heads and family.heads != 1:
        multipliers[r"_head/|_prototypes/"] = family.heads
    model.compile(
        kd.optimizers.adamw(
            family.rate,
            warmup_steps=min(100, steps // 10),
            total_steps=steps,
            multipliers=multipliers,
        ),
        jit_compile=kd.training.COMPILE_BY_DEFAULT,
    )
    return model, views


def train(workshop, family, variant, seed, start, steps, folder, callbacks=()):
    """Trains all phases; started again, it continues.

    Args:
        workshop: `Workshop`.
        family: `Family`.
        variant: `Variant`.
        seed: int.
        start: backbone.
        steps: list of ints, of each phase.
        folder: path, for checkpoints.
        callbacks: callbacks of the runs.

    Returns:
        `(backbone, logs)`, the last numbers of each phase.
    """
    before, logs = start, []
    if not steps:
        keras.utils.set_random_seed(seed)
        before = family.backbone(start, workshop.size)
    for phase, count in enumerate(steps):
        model, views = make(
            workshop, family, variant, phase, before, count, seed
        )
        history = kd.runs.fit(
            model,
            # Other texts in each phase.
            lambda step, views=views, phase=phase: family.dataset(
                workshop, views, seed + 1_000 * phase, step
            ),
            folder / f"phase-{phase}",
            steps=count,
            steps_per_epoch=-(-count // EPOCHS),
            keep=1,
            callbacks=list(callbacks),
            deterministic=False,
            verbose=0,
        ).history
        logs.append({name: float(x[-1]) for name, x in history.items()})
        before = model.learned().encoder.backbone
    return before, logs


def measure_costs(workshop, family, names, rounds=ROUNDS, steps=STEPS):
    """Costs of variants as multiples of a step of the family's reference.

    Variants take turns, so that a machine that is slower for a while is
    slower for all. Processor time counts, of batches that are ready.

    Args:
        workshop: `Workshop`.
        family: string.
        names: list of strings, the variants.
        rounds: int. Turns of each.
        steps: int. Steps a turn.

    Returns:
        A dict: `"seconds"` of a step of the reference; `"steps"`, of each
        variant's phases to multiples; and `"before"`, the same for all that
        a phase needs before its first step.
    """
    family = FAMILIES[family]
    runners, before = {}, {}
    for name in dict.fromkeys([family.reference, *names]):
        variant = family.variants[name]
        backbone = workshop.start(family.starts[0], 0)
        for phase, key in enumerate(_keys(family, name)):
            begin = time.process_time()
            model, views = make(
                workshop, family, variant, phase, backbone, 2_000, 0
            )
            before[key] = time.process_time() - begin
            print(f"{key}: made in {before[key]:.0f} s", flush=True)
            data = iter(family.dataset(workshop, views, 0))
            batches = [
                keras.tree.map_structure(np.asarray, next(data))
                for _ in range(steps)
            ]
            runners[key] = lambda model=model, batches=batches: [
                model.train_on_batch(batch) for batch in batches
            ]
            backbone = model.learned().encoder.backbone
    times = {key: [] for key in runners}
    for number in range(rounds + 1):
        for key, run in runners.items():
            begin = time.process_time()
            run()
            if number:  # the first round compiles
                times[key].append((time.process_time() - begin) / steps)
        print(f"round {number} of {rounds}", flush=True)
    (key,) = _keys(family, family.reference)
    seconds = statistics.median(times[key])
    return {
        "seconds": seconds,
        "steps": {
            name: statistics.median(
                a / b for a, b in zip(values, times[key], strict=True)
            )
            for name, values in times.items()
        },
        # What any model needs is no difference.
        "before": {
            name: max(value - before[key], 0.0) / seconds
            for name, value in before.items()
        },
    }


def costs_of(lines, family):
    """All costs of a family among the results; newer ones replace older."""
    found = {"steps": {}, "before": {}}
    for line in lines:
        if line["kind"] == "costs" and line["family"] == family:
            for kind, costs in found.items():
                costs.update(line["costs"][kind])
    return found


def missing_costs(family, names, costs):
    """Those of some variants that were not timed, once for each cost."""
    family = FAMILIES[family]
    missing = {}
    for name in names:
        keys = _keys(family, name)
        if not set(keys) <= set(costs["steps"]):
            missing.setdefault(tuple(keys), name)
    return list(missing.values())


def steps_of(family, name, costs):
    """Steps of each phase, within the budget.

    Args:
        family: `Family`.
        name: string, of a variant.
        costs: dict, as from `costs_of`.

    Returns:
        A list of ints.
    """
    keys = _keys(family, name)
    return [
        max(
            round(
                (family.budget / len(keys) - costs["before"][key])
                / costs["steps"][key]
            ),
            1,
        )
        for key in keys
    ]


def _keys(family, name):
    """What the costs of a variant's phases are filed under."""
    variant = family.variants[name]
    cost = variant.cost or name
    return [f"{cost}/{phase}" for phase in range(len(variant.phases))]
