"""Classification by the nearest labelled features: nothing is trained."""

from collections.abc import Hashable
from collections.abc import Iterable

import numpy as np

from keras_dinolm import arguments
from keras_dinolm.evaluation.arguments import as_features
from keras_dinolm.evaluation.arguments import as_labels
from keras_dinolm.evaluation.nearest import nearest
from keras_dinolm.typing import Tensor


def knn_accuracy(
    train_features: Tensor,
    train_labels: Iterable[Hashable],
    test_features: Tensor,
    test_labels: Iterable[Hashable],
    k: int = 20,
    temperature: float = 0.07,
    batch_size: int = 256,
) -> float:
    """Accuracy of a weighted vote of the k nearest neighbours.

    The protocol of DINO: each of the k training rows of highest cosine votes
    for its label with weight `exp(cosine / temperature)`. It has nothing to
    tune, so it measures the features and not a classifier.

    Equally near rows count by index, lowest first; of labels with equal votes
    the one that comes first in `train_labels` wins. A test label that is not
    among the training labels cannot be predicted and counts as wrong.

    Args:
        train_features: Array of shape `[N, D]`.
        train_labels: N hashable values, such as strings or integers.
        test_features: Array of shape `[M, D]`.
        test_labels: M hashable values.
        k: Integer from 1 to N. Number of neighbours that vote.
        temperature: Positive float. Lower gives more weight to the nearest.
        batch_size: Integer. Number of test rows at a time; it does not change
            the result. The accelerator holds `batch_size * N` cosines.

    Returns:
        Float from 0 to 1.

    Raises:
        ValueError: If shapes do not fit, features are empty or not finite, or
            `k` is larger than N.

    Example:

    ```python
    import numpy as np
    from keras_dinolm.evaluation import knn_accuracy

    rng = np.random.default_rng(0)
    labels = ["north", "east"] * 20
    features = rng.normal(size=(40, 8))
    features[0::2, 0] += 5.0
    features[1::2, 1] += 5.0
    print(
        knn_accuracy(
            features[:30], labels[:30], features[30:], labels[30:], k=5
        )
    )
    ```

    References:

    - [Wu et al., 2018](https://arxiv.org/abs/1805.01978)
    - [Caron et al., 2021](https://arxiv.org/abs/2104.14294)
    """
    train = as_features("train_features", train_features)
    test = as_features("test_features", test_features, train.shape[1])
    train_labels = as_labels(
        "train_labels", train_labels, len(train), "train_features"
    )
    test_labels = as_labels(
        "test_labels", test_labels, len(test), "test_features"
    )
    k = arguments.count("k", k)
    batch_size = arguments.count("batch_size", batch_size)
    if k > len(train):
        raise ValueError(
            "`k` must not be larger than the number of training rows. "
            f"Received: k={k}, {len(train)} rows."
        )
    temperature = arguments.number("temperature", temperature, above=0)
    classes = {label: i for i, label in enumerate(dict.fromkeys(train_labels))}
    voters = np.array([classes[label] for label in train_labels])
    truth = np.array([classes.get(label, -1) for label in test_labels])
    right, start = 0, 0
    for cosines, indices in nearest(test, train, k, batch_size):
        # The nearest one's weight is 1: a common factor, and no overflow.
        weights = np.exp((cosines - cosines[:, :1]) / temperature)
        votes = np.zeros((len(cosines), len(classes)))
        rows = np.arange(len(cosines))[:, None]
        np.add.at(votes, (rows, voters[indices]), weights)
        batch = truth[start : start + len(cosines)]
        right += int(np.sum(votes.argmax(axis=1) == batch))
        start += len(cosines)
    return right / len(test)
