"""A linear classifier on frozen features."""

from collections.abc import Hashable
from collections.abc import Iterable
from collections.abc import Sequence

from keras_dinolm import arguments
from keras_dinolm.evaluation.arguments import as_features
from keras_dinolm.evaluation.arguments import as_labels
from keras_dinolm.evaluation.logistic_regression import as_strengths
from keras_dinolm.evaluation.logistic_regression import choose
from keras_dinolm.typing import Tensor

STRENGTHS = tuple(2.0**power for power in range(-8, 5, 2))


def linear_probe(
    train_features: Tensor,
    train_labels: Iterable[Hashable],
    test_features: Tensor,
    test_labels: Iterable[Hashable],
    dev_features: Tensor | None = None,
    dev_labels: Iterable[Hashable] | None = None,
    strengths: float | Sequence[float] | None = None,
    max_iterations: int = 1000,
) -> float:
    """Accuracy of logistic regression on frozen features.

    Features are shifted and scaled to unit variance by the training rows.
    The regularisation is chosen on dev data where these are given; the
    classifier is trained on the training rows alone in any case. A test label
    that is not among the training labels counts as wrong.

    Args:
        train_features: Array of shape `[N, D]`.
        train_labels: N hashable values, such as strings or integers.
        test_features: Array of shape `[M, D]`.
        test_labels: M hashable values.
        dev_features: Optional array of shape `[P, D]`.
        dev_labels: P hashable values, with `dev_features`.
        strengths: Float or sequence of floats: inverse regularisation
            strengths (scikit-learn's `C`). Defaults to 2^-8, 2^-6, ..., 2^4
            with dev data, and to 1 without.
        max_iterations: Integer. Of the solver, L-BFGS; it warns if these were
            too few.

    Returns:
        Float from 0 to 1.

    Raises:
        ValueError: If shapes do not fit, features are empty or not finite,
            there is but one training label, or there are several strengths
            without dev data.

    Example:

    ```python
    import numpy as np
    from keras_dinolm.evaluation import linear_probe

    rng = np.random.default_rng(0)
    labels = ["north", "east"] * 30
    x = rng.normal(size=(60, 8))
    x[0::2, 0] += 3.0
    print(linear_probe(x[:40], labels[:40], x[40:], labels[40:]))
    ```

    Reference:

    - [Conneau & Kiela, 2018](https://arxiv.org/abs/1803.05449)
    """
    train = as_features("train_features", train_features)
    test = as_features("test_features", test_features, train.shape[1])
    train_labels = as_labels(
        "train_labels", train_labels, len(train), "train_features"
    )
    test_labels = as_labels(
        "test_labels", test_labels, len(test), "test_features"
    )
    max_iterations = arguments.count("max_iterations", max_iterations)
    if (dev_features is None) != (dev_labels is None):
        raise ValueError(
            "`dev_features` and `dev_labels` go together. Received only one."
        )
    dev, truth = None, []
    if dev_features is not None and dev_labels is not None:
        dev = as_features("dev_features", dev_features, train.shape[1])
        truth = as_labels("dev_labels", dev_labels, len(dev), "dev_features")
    if strengths is None:
        strengths = 1.0 if dev is None else STRENGTHS
    predict = choose(
        train,
        train_labels,
        dev,
        lambda predicted: _accuracy(truth, predicted),
        as_strengths(strengths, dev is not None),
        max_iterations,
    )
    return _accuracy(test_labels, predict(test))


def _accuracy(labels, predicted):
    right = sum(a == b for a, b in zip(labels, predicted, strict=True))
    return right / len(labels)
