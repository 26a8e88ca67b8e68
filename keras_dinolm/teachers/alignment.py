"""Features of one tokenizer's tokens for the tokens of another."""

import numpy as np

# Tokens aligned at a time, so that long texts need no square of memory.
_AT_A_TIME = 512


def align_features(
    features: np.ndarray, spans: np.ndarray, wanted: np.ndarray
) -> np.ndarray:
    """The mean feature of the tokens that overlap each of other tokens.

    Two tokenizers cut the same text in different places. A token of the one
    gets the features of the other's tokens that share characters with it,
    weighted by how many they share.

    Args:
        features: float `[n, dim]`, of the tokens of one tokenizer.
        spans: integers `[n, 2]`, the first character of each of them and the
            one after its last, in the order of the text.
        wanted: integers `[m, 2]`, spans of the tokens of another tokenizer.

    Returns:
        float32 `[m, dim]`. Zeros for a token that overlaps none.

    Example:

    ```python
    import numpy as np
    from keras_dinolm.teachers.alignment import align_features

    found = align_features(
        np.array([[1.0], [4.0]]), np.array([[0, 2], [2, 3]]), np.array([[0, 3]])
    )
    assert found.tolist() == [[2.0]]  # (2 * 1 + 1 * 4) / 3
    ```
    """
    features = np.asarray(features, dtype="float32")
    result = np.zeros((len(wanted), features.shape[-1]), dtype="float32")
    if not len(spans):
        return result
    for first in range(0, len(wanted), _AT_A_TIME):
        part = wanted[first : first + _AT_A_TIME]
        near = (spans[:, 1] > part[:, 0].min()) & (
            spans[:, 0] < part[:, 1].max()
        )
        starts, ends = spans[near].T
        shared = np.minimum(part[:, 1:], ends) - np.maximum(part[:, :1], starts)
        shared = np.maximum(shared, 0).astype("float32")
        total = shared.sum(1, keepdims=True)
        weights = shared / np.maximum(total, 1)
        result[first : first + _AT_A_TIME] = weights @ features[near]
    return result
