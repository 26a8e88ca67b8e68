"""Seconds of a step of each method, measured side by side."""

import statistics
import time

import keras
import numpy as np

from contest.methods import count_embeddings
from contest.methods import encoder


def seconds_per_step(workshop, methods, rounds=7, steps=6):
    """Median seconds of a training step, of processor time on one core.

    Methods take turns, so that a machine that is slower for a while is
    slower for all of them. Time in which other processes had the core is not
    counted. Data is made before the clock starts: making it takes a hundredth
    of a step.

    Args:
        workshop: `contest.run.Workshop`.
        methods: list of `Method`.
        rounds: int. Turns of each method.
        steps: int. Steps a turn.

    Returns:
        A dict of `Method.cost()` to seconds. Of methods that cost the same,
        one is measured.
    """
    measured = {method.cost(): method for method in methods}
    runners = {
        cost: _runner(workshop, method, steps)
        for cost, method in measured.items()
    }
    times = {cost: [] for cost in measured}
    for number in range(rounds + 1):
        for cost, runner in runners.items():
            begin = time.process_time()
            runner()
            if number:  # the first turn compiles
                times[cost].append((time.process_time() - begin) / steps)
    return {cost: statistics.median(values) for cost, values in times.items()}


def counting_seconds(workshop):
    """Seconds of `kd.data.ppmi_embeddings`, of processor time on one core."""
    begin = time.process_time()
    count_embeddings(
        encoder(workshop.args.size, workshop.tokenizer), workshop.tokens
    )
    return time.process_time() - begin


def _runner(workshop, method, steps):
    keras.utils.set_random_seed(0)
    model = method.model(
        workshop.args.size, workshop.tokenizer, workshop.tokens, 10_000
    )
    data = iter(workshop.dataset(method, 0, 0))
    batches = [
        keras.tree.map_structure(np.asarray, next(data)) for _ in range(steps)
    ]

    def runner():
        for batch in batches:
            model.train_on_batch(batch)

    return runner
