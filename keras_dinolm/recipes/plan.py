"""How many steps each phase of a recipe gets."""

import statistics
import time
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_dinolm import arguments
from keras_dinolm.data import TokenStore
from keras_dinolm.data import view_dataset
from keras_dinolm.recipes.phase import Phase

# Fewer steps than that teach nothing, whatever the time.
FEWEST_STEPS = 20
# Points of a curve, at most and about at least, where there are so many steps.
MOST_EPOCHS, FEWEST_EPOCHS = 20, 10
# How much shorter than the others the last epoch may be.
SHORTER = 0.1
# Steps that are timed after those that compile, and for how long at most.
TIMED_STEPS = 9
TIMED_SECONDS = 10.0


def split_steps(
    phases: list[Phase], budget: float, costs: list[float], fewest: int = 1
) -> list[int]:
    """Shares a budget among phases.

    Each phase gets its share of what is left, but no more than its
    `max_steps`.

    Args:
        phases: list of `Phase`.
        budget: float, in the unit of `costs`.
        costs: list of floats, of a step of each phase.
        fewest: int. The fewest steps of a phase.

    Returns:
        A list of ints.
    """
    steps = []
    for index, (phase, cost) in enumerate(zip(phases, costs, strict=True)):
        rest = sum(p.share for p in phases[index:])
        count = max(round(budget * phase.share / rest / cost), fewest)
        if phase.max_steps is not None:
            count = min(count, phase.max_steps)
        budget = max(budget - count * cost, 0.0)
        steps.append(count)
    return steps


def steps_per_epoch(steps: int) -> int:
    """The length of an epoch, between two points of the curves.

    A last epoch much shorter than the others reads few texts, whose RankMe is
    low for that reason alone: the run would seem to collapse at its end.

    Args:
        steps: int. Of a phase.

    Returns:
        An int: the smallest that leaves a last epoch of nearly the same
        length, or else the one that comes nearest to it.
    """
    lengths = range(-(-steps // MOST_EPOCHS), -(-steps // FEWEST_EPOCHS) + 1)
    missing = {length: (-steps % length) / length for length in lengths}
    return min(missing, key=lambda length: max(missing[length], SHORTER))


def make_dataset(
    phase: Phase,
    tokens: TokenStore,
    seed: int,
    start_step: int = 0,
    features: Mapping[str, Any] | None = None,
    only_with_features: bool = False,
) -> Any:
    """The batches of a phase, from a step on.

    Args:
        phase: `Phase`.
        tokens: `TokenStore`.
        seed: int.
        start_step: int.
        features: dict of features of teachers by name; see `view_dataset`.
        only_with_features: bool. Whether to leave other documents out.

    Returns:
        As `view_dataset`. All batches have one width, so that one step is
        compiled.
    """
    arguments.instance("phase", phase, Phase, "a `keras_dinolm.recipes.Phase`")
    return view_dataset(
        tokens,
        phase.views,
        phase.batch_size,
        seed=seed,
        start_step=start_step,
        buckets=[phase.views.sequence_length - 1],
        features=features,
        only_with_features=only_with_features,
    )


def seconds_per_step(
    phases: list[Phase], tokens: TokenStore, seed: int
) -> list[float]:
    """Measures the seconds of a step of each phase.

    Args:
        phases: list of `Phase`.
        tokens: `TokenStore`.
        seed: int.

    Returns:
        A list of floats, medians of a few steps.
    """
    before, costs = None, []
    for phase in phases:
        keras.utils.set_random_seed(seed)
        model = phase.model(phase.backbone(before, None), 10_000)
        costs.append(_time_steps(model, make_dataset(phase, tokens, seed)))
        before = phase.kept(model)
    return costs


def _time_steps(model, dataset):
    data = iter(dataset)
    times = []
    for _ in range(3 + TIMED_STEPS):
        batch = keras.tree.map_structure(np.asarray, next(data))
        begin = time.perf_counter()
        model.train_on_batch(batch)
        times.append(time.perf_counter() - begin)
        timed = times[3:]
        if len(timed) >= 2 and sum(timed) > TIMED_SECONDS:
            break
    return statistics.median(times[3:])
