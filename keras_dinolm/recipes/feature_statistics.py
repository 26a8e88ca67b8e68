"""Means and deviations of teachers' features, to take out of them."""

from collections.abc import Sequence

import numpy as np

from keras_dinolm.data import FeatureStore

# Rows that are read: more change no digit that matters.
MOST_ROWS = 20_000

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]


def feature_statistics(stores: Sequence[FeatureStore]) -> Statistics:
    """What `CachedTeacher` subtracts from features, and divides them by.

    Most encoders have a large direction that all texts share, and features
    of tokens with very different variances. Features of texts are centred,
    and those of several teachers get the same length on average, so that each
    counts as much in a cosine. Features of tokens are standardised one by
    one.

    Args:
        stores: list of `FeatureStore`.

    Returns:
        A dict of `"sequence"` and, if all have features of tokens, `"token"`
        to a mean and a deviation, float32 `[sum of dims]`.
    """
    parts = []
    for store in stores:
        rows = store.pooled_of(store.documents[:MOST_ROWS]).astype("float64")
        spread = np.sqrt(rows.var(0).mean())
        parts.append((rows.mean(0), np.full(store.dim, spread)))
    statistics = {"sequence": _joined(parts)}
    tokens = [store.tokens for store in stores]
    if all(rows is not None for rows in tokens):
        statistics["token"] = _joined([_of_tokens(rows) for rows in tokens])
    return statistics


def _of_tokens(rows):
    step = max(len(rows) // MOST_ROWS, 1)
    sample = rows[::step].astype("float64")
    sample = sample[sample.any(1)]  # zeros are of tokens without a feature
    if not len(sample):
        return np.zeros(rows.shape[1]), np.ones(rows.shape[1])
    return sample.mean(0), sample.std(0)


def _joined(parts):
    mean, deviation = (np.concatenate(side) for side in zip(*parts))
    # A feature that is always the same says nothing.
    deviation = np.where(deviation > 1e-6, deviation, 1.0)
    return mean.astype("float32"), deviation.astype("float32")
