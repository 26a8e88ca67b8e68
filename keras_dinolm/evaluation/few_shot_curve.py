"""Accuracy as a function of how many labelled examples there are."""

import collections
from collections.abc import Hashable
from collections.abc import Iterable
from collections.abc import Sequence

import numpy as np

from keras_dinolm import arguments
from keras_dinolm.evaluation.arguments import as_features
from keras_dinolm.evaluation.arguments import as_labels
from keras_dinolm.evaluation.linear_probe import linear_probe
from keras_dinolm.typing import Tensor

SHOTS = tuple(2**power for power in range(2, 9))


def few_shot_curve(
    train_features: Tensor,
    train_labels: Iterable[Hashable],
    test_features: Tensor,
    test_labels: Iterable[Hashable],
    dev_features: Tensor | None = None,
    dev_labels: Iterable[Hashable] | None = None,
    shots: int | Sequence[int] | None = None,
    num_draws: int = 5,
    seed: int = 0,
    strengths: float | Sequence[float] | None = None,
    max_iterations: int = 1000,
) -> dict[int, tuple[float, float]]:
    """Accuracy of `linear_probe` from few examples a class.

    Good features need few labels. Each draw puts the examples of each class
    in a random order and takes the first 4, then the first 8, and so on. The
    order depends on `seed` and `train_labels` alone, so that all encoders are
    measured on the same examples, and compared draw by draw.

    Args:
        train_features: Array of shape `[N, D]`.
        train_labels: N hashable values, such as strings or integers.
        test_features: Array of shape `[M, D]`.
        test_labels: M hashable values.
        dev_features: Optional array of shape `[P, D]`.
        dev_labels: P hashable values, with `dev_features`.
        shots: Sequence of integers: examples a class. Defaults to those of
            4, 8, 16, ..., 256 that the smallest class has.
        num_draws: Integer, at least 1.
        seed: Integer, of the draws.
        strengths: As for `linear_probe`.
        max_iterations: Integer. Of the solver, L-BFGS.

    Returns:
        Dictionary from examples a class to `(mean, deviation)` over draws:
        floats, the deviation that of a sample (divided by `num_draws - 1`; 0
        for one draw).

    Raises:
        ValueError: If a class has too few examples, and for what
            `linear_probe` refuses.

    Example:

    ```python
    import numpy as np
    from keras_dinolm.evaluation import few_shot_curve

    rng = np.random.default_rng(0)
    labels = ["north", "east"] * 60
    x = rng.normal(size=(120, 8))
    x[0::2, 0] += 3.0
    curve = few_shot_curve(x[:80], labels[:80], x[80:], labels[80:])
    for examples, (mean, deviation) in curve.items():
        print(examples, mean, deviation)
    ```

    Reference:

    - [Chen et al., 2020](https://arxiv.org/abs/2006.10029)
    """
    num_draws = arguments.count("num_draws", num_draws)
    seed = arguments.count("seed", seed, 0)
    max_iterations = arguments.count("max_iterations", max_iterations)
    train = as_features("train_features", train_features)
    labels = as_labels(
        "train_labels", train_labels, len(train), "train_features"
    )
    members = collections.defaultdict(list)
    for row, label in enumerate(labels):
        members[label].append(row)
    numbers = _as_shots(shots, members)
    scores: dict[int, list[float]] = {number: [] for number in numbers}
    for draw in range(num_draws):
        rng = np.random.default_rng([seed, draw])
        orders = [rng.permutation(rows) for rows in members.values()]
        for number in numbers:
            rows = np.sort(np.concatenate([o[:number] for o in orders]))
            scores[number].append(
                linear_probe(
                    train[rows],
                    [labels[row] for row in rows],
                    test_features,
                    test_labels,
                    dev_features,
                    dev_labels,
                    strengths,
                    max_iterations,
                )
            )
    return {
        number: (
            float(np.mean(values)),
            float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
        )
        for number, values in scores.items()
    }


def _as_shots(shots, members):
    smallest = min(members, key=lambda label: len(members[label]))
    most = len(members[smallest])
    if shots is None:
        shots = [number for number in SHOTS if number <= most]
    if isinstance(shots, str | bytes | collections.abc.Mapping):
        arguments.refuse("shots", shots, "a list of integers")
    shots = [shots] if np.ndim(shots) == 0 else list(shots)
    for number in shots:
        arguments.count("shots", number)
    if not shots or max(shots) > most:
        raise ValueError(
            "`shots` must not be larger than the smallest class. Received: "
            f"shots={shots or SHOTS}, and {most} examples of {smallest!r}."
        )
    return sorted(int(number) for number in shots)
