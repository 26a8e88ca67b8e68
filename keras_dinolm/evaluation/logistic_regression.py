"""The linear classifier of the probes."""

import copy
import math
import warnings
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_dinolm import arguments


def choose(
    train: np.ndarray,
    labels: Sequence[Any],
    dev: np.ndarray | None,
    dev_score: Callable[[list[Any]], float],
    strengths: Sequence[float],
    max_iterations: int,
) -> Callable[[np.ndarray], list[Any]]:
    """Fits one classifier for each strength; returns the best on dev.

    Features are shifted and scaled to unit variance by the training rows, so
    that one grid of strengths suits all encoders. Ties go to the stronger
    regularisation.

    Args:
        train: Array of shape `[N, D]`.
        labels: List of N strings or integers.
        dev: Array of shape `[M, D]`, or `None` for a single strength.
        dev_score: Function of predicted dev labels.
        strengths: Sequence of floats, inverse regularisation.
        max_iterations: Integer.

    Returns:
        Function from features to a list of predicted labels.
    """
    # scikit-learn takes a second to import, and most users never probe.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    classes = list(dict.fromkeys(labels))
    if len(classes) < 2:
        raise ValueError(
            "A probe needs at least two different training labels. "
            f"Received: {classes[0]!r} for all {len(labels)} rows."
        )
    codes = {label: code for code, label in enumerate(classes)}
    target = np.array([codes[label] for label in labels])
    # Constant columns become zeros; tiny ones count as much as others.
    scaler = StandardScaler().fit(train.astype(np.float64))
    train = scaler.transform(train.astype(np.float64))

    def predictor(model):
        def predict(features):
            codes = model.predict(scaler.transform(features.astype(np.float64)))
            return [classes[code] for code in codes]

        return predict

    # Each strength begins where the one before ended, which takes fewer
    # iterations than a start from zero.
    model = LogisticRegression(max_iter=max_iterations, warm_start=True)
    best, best_score, unfinished = None, -math.inf, []
    for strength in sorted(strengths):
        model.set_params(C=strength)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(train, target)
        for warning in caught:
            if issubclass(warning.category, ConvergenceWarning):
                unfinished.append(strength)
            else:
                warnings.warn_explicit(
                    warning.message,
                    warning.category,
                    warning.filename,
                    warning.lineno,
                )
        predict = predictor(copy.deepcopy(model))
        # Without dev data there is one strength.
        score = 0.0 if dev is None else dev_score(predict(dev))
        if best is None or score > best_score:
            best, best_score = predict, score
    if unfinished:
        warnings.warn(
            f"{len(unfinished)} of {len(strengths)} logistic regressions did "
            f"not converge within max_iterations={max_iterations} (inverse "
            f"regularisation {unfinished}). Raise `max_iterations`.",
            stacklevel=3,
        )
    assert best is not None  # there is at least one strength
    return best


def as_strengths(
    strengths: float | Sequence[float], has_dev: bool
) -> tuple[float, ...]:
    """Checks the strengths; one is enough, several need dev data."""
    if isinstance(strengths, str | bytes) or not isinstance(
        strengths, Iterable
    ):
        strengths = [strengths]
    many = tuple(
        arguments.number("strengths", strength, above=0)
        for strength in strengths
    )
    if not many:
        arguments.refuse("strengths", strengths, "one number or more")
    if len(many) > 1 and not has_dev:
        raise ValueError(
            "To choose among several `strengths`, give `dev_features` and "
            "`dev_labels`: choosing on the test data would flatter. "
            f"Received: strengths={strengths}."
        )
    return many
