"""Semantic textual similarity."""

import warnings

import numpy as np
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.evaluation.arguments import as_features
from keras_dinolm.evaluation.arguments import unit
from keras_dinolm.typing import Tensor


def sts_spearman(
    first_features: Tensor, second_features: Tensor, scores: Tensor
) -> float:
    """Rank correlation of cosines with human judgements of similarity.

    Equal cosines share their mean rank; cosines count as equal if they agree
    to ten digits, so that pairs of equal features are (their computed cosines
    differ in the sixteenth).

    Args:
        first_features: Array of shape `[N, D]`: one text of each pair.
        second_features: Array of shape `[N, D]`: the other text.
        scores: Array of shape `[N]`: the judgements, on any scale.

    Returns:
        Float from -1 to 1, a fraction and not percent. 0, with a warning, if
        all cosines are the same.

    Raises:
        ValueError: If shapes do not fit, there are fewer than two pairs,
            values are not finite, or all judgements are the same.

    Example:

    ```python
    import numpy as np
    from keras_dinolm.evaluation import sts_spearman

    first = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    second = np.array([[1.0, 0.1], [1.0, 1.0], [0.0, 1.0]])
    print(sts_spearman(first, second, scores=[5.0, 3.2, 0.4]))  # 1
    ```

    Reference:

    - [Cer et al., 2017](https://arxiv.org/abs/1708.00055)
    """
    from scipy.stats import spearmanr

    first = as_features("first_features", first_features)
    second = as_features("second_features", second_features, first.shape[1])
    if ops.is_tensor(scores):
        scores = ops.convert_to_numpy(scores)
    try:
        array = np.asarray(scores)
    except ValueError:  # rows of different lengths
        array = np.asarray(None)
    if array.dtype.kind not in "fiub":
        arguments.refuse("scores", scores, "an array of real numbers")
    scores = array.astype(np.float64)
    if not len(first) == len(second) == scores.size or scores.ndim != 1:
        raise ValueError(
            "`first_features`, `second_features` and `scores` must have one "
            f"entry a pair. Received: {len(first)} and {len(second)} rows, "
            f"scores of shape {scores.shape}."
        )
    if not np.isfinite(scores).all():
        raise ValueError("`scores` must be finite. Received NaN or infinity.")
    if len(set(scores.tolist())) < 2:
        raise ValueError(
            "`scores` must hold at least two different values, else there is "
            f"no rank to correlate with. Received: scores={scores[:3]}..."
        )
    cosines = np.round(np.sum(unit(first) * unit(second), axis=1), 10)
    if len(set(cosines.tolist())) < 2:
        warnings.warn(
            f"All {len(cosines)} pairs have the same cosine, {cosines[0]}: "
            "the encoder may have collapsed to constant features. Their rank "
            "correlation is not defined; 0 is returned.",
            stacklevel=2,
        )
        return 0.0
    return float(spearmanr(cosines, scores).statistic)
