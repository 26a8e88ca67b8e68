"""A linear classifier of pairs of texts on frozen features."""

from collections.abc import Hashable
from collections.abc import Iterable
from collections.abc import Sequence

import numpy as np

from keras_dinolm.evaluation.arguments import as_features
from keras_dinolm.evaluation.linear_probe import linear_probe
from keras_dinolm.typing import Tensor


def nli_probe(
    train_first: Tensor,
    train_second: Tensor,
    train_labels: Iterable[Hashable],
    test_first: Tensor,
    test_second: Tensor,
    test_labels: Iterable[Hashable],
    dev_first: Tensor | None = None,
    dev_second: Tensor | None = None,
    dev_labels: Iterable[Hashable] | None = None,
    strengths: float | Sequence[float] | None = None,
    max_iterations: int = 1000,
) -> float:
    """Accuracy of logistic regression on the features of two texts.

    A pair with features u and v is classified by `[u, v, |u - v|, u * v]`,
    the protocol of InferSent and SentEval for natural language inference. The
    encoder sees each text alone, so what it cannot put into one feature is
    lost. See `linear_probe` for the rest.

    Args:
        train_first: Array of shape `[N, D]`: u, the premises.
        train_second: Array of shape `[N, D]`: v, the hypotheses.
        train_labels: N hashable values.
        test_first: Array of shape `[M, D]`.
        test_second: Array of shape `[M, D]`.
        test_labels: M hashable values.
        dev_first: Optional array of shape `[P, D]`.
        dev_second: Array of shape `[P, D]`, with `dev_first`.
        dev_labels: P hashable values, with `dev_first`.
        strengths: As for `linear_probe`; chosen on the dev data.
        max_iterations: Integer. Of the solver, L-BFGS.

    Returns:
        Float from 0 to 1.

    Raises:
        ValueError: If shapes do not fit, features are empty or not finite,
            there is but one training label, or there are several strengths
            without dev data.

    Example:

    ```python
    import numpy as np
    from keras_dinolm.evaluation import nli_probe

    rng = np.random.default_rng(0)
    u = rng.normal(size=(60, 8))
    labels = ["same", "other"] * 30
    v = np.where(np.arange(60)[:, None] % 2, rng.normal(size=(60, 8)), u)
    print(
        nli_probe(u[:40], v[:40], labels[:40], u[40:], v[40:], labels[40:])
    )
    ```

    Reference:

    - [Conneau et al., 2017](https://arxiv.org/abs/1705.02364)
    """
    dev = None
    given = [x is not None for x in (dev_first, dev_second, dev_labels)]
    if any(given) != all(given):
        raise ValueError(
            "`dev_first`, `dev_second` and `dev_labels` go together. Received "
            f"{sum(given)} of the three."
        )
    if dev_first is not None:
        dev = _pairs("dev", dev_first, dev_second)
    return linear_probe(
        _pairs("train", train_first, train_second),
        train_labels,
        _pairs("test", test_first, test_second),
        test_labels,
        dev,
        dev_labels,
        strengths,
        max_iterations,
    )


def _pairs(split, first, second):
    u = as_features(f"{split}_first", first)
    v = as_features(f"{split}_second", second, u.shape[1])
    if len(u) != len(v):
        raise ValueError(
            f"`{split}_second` must have one row for each row of "
            f"`{split}_first`. Received: {len(v)} and {len(u)} rows."
        )
    return np.concatenate([u, v, np.abs(u - v), u * v], axis=1)
