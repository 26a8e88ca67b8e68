"""What is done to embeddings when they are made: precision, similarity."""

from typing import Any

import keras
import numpy as np

from keras_dinolm import arguments

PRECISIONS = ("float32", "int8", "uint8", "binary", "ubinary")
SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")


def quantize_embeddings(embeddings: np.ndarray, precision: str) -> np.ndarray:
    """Embeddings in fewer bits, as sentence-transformers makes them.

    `"int8"` and `"uint8"` cut the range of each feature, from its least to its
    greatest value among these embeddings, into 256 steps. `"binary"` and
    `"ubinary"` keep the signs, eight to a byte.

    Args:
        embeddings: float array `[n, dim]`.
        precision: `"float32"`, `"int8"`, `"uint8"`, `"binary"` or
            `"ubinary"`.

    Returns:
        Array `[n, dim]`, or `[n, ceil(dim / 8)]` for signs. `"binary"` is
        int8, which is `"ubinary"` minus 128.

    Raises:
        ValueError: for another precision, or if one embedding alone is to be
            cut into steps.

    Example:

    ```python
    import numpy as np
    from keras_dinolm.models.tasks.embeddings import quantize_embeddings

    signs = quantize_embeddings(np.array([[1.0, -1.0]]), "ubinary")
    assert signs.tolist() == [[0b10000000]]
    ```
    """
    arguments.choice("precision", precision, PRECISIONS)
    if precision == "float32":
        return embeddings
    if precision in ("binary", "ubinary"):
        signs = np.packbits(embeddings > 0, axis=-1)
        # Minus 128 of a byte, which turns its first bit.
        return signs if precision == "ubinary" else (signs ^ 128).view("int8")
    if len(embeddings) == 1:
        raise ValueError(
            f"Argument `precision` can be {precision!r} for two texts or more: "
            "the range of each feature comes from the texts that are encoded "
            "together, and one text has none. Encode texts in one list, or "
            "choose 'binary'."
        )
    if not len(embeddings):
        return embeddings.astype(precision)
    low = embeddings.min(axis=0)
    step = (embeddings.max(axis=0) - low) / 255
    step = np.where(step == 0, 1, step)
    levels = np.clip(np.floor((embeddings - low) / step), 0, 255)
    if precision == "int8":
        levels -= 128
    return levels.astype(precision)


def similarity_matrix(name: str, first: Any, second: Any) -> np.ndarray:
    """How alike each of some embeddings is to each of others.

    Args:
        name: `"cosine"`, `"dot"`, `"euclidean"` or `"manhattan"`. The last two
            are distances with a minus sign.
        first: float array or tensor `[n, dim]` or `[dim]`.
        second: as `first`.

    Returns:
        float32 array `[n, m]`.

    Raises:
        ValueError: unless both are such arrays of the same `dim`.

    Example:

    ```python
    import numpy as np
    from keras_dinolm.models.tasks.embeddings import similarity_matrix

    similarity_matrix("cosine", np.eye(3), np.ones(3)).shape  # (3, 1)
    ```
    """
    first, second = _rows("embeddings1", first), _rows("embeddings2", second)
    _check_same(first.shape[1], second.shape[1], "features")
    if name in ("cosine", "dot"):
        if name == "cosine":
            first, second = unit_length(first), unit_length(second)
        return first @ second.T
    # One row at a time: all differences at once would be `[n, m, dim]`.
    return np.array(
        [_minus_distance(name, row, second) for row in first], dtype="float32"
    ).reshape(len(first), len(second))


def similarity_pairs(name: str, first: Any, second: Any) -> np.ndarray:
    """How alike the embeddings of each pair are.

    Args:
        name: as for `similarity_matrix`.
        first: as for `similarity_matrix`.
        second: as `first`, with as many rows.

    Returns:
        float32 array `[n]`.

    Raises:
        ValueError: unless both are such arrays of the same shape.

    Example:

    ```python
    import numpy as np
    from keras_dinolm.models.tasks.embeddings import similarity_pairs

    similarity_pairs("dot", np.eye(3), np.eye(3)).tolist()  # [1.0, 1.0, 1.0]
    ```
    """
    first, second = _rows("embeddings1", first), _rows("embeddings2", second)
    _check_same(first.shape[1], second.shape[1], "features")
    _check_same(len(first), len(second), "rows")
    if name in ("cosine", "dot"):
        if name == "cosine":
            first, second = unit_length(first), unit_length(second)
        return (first * second).sum(axis=-1)
    return _minus_distance(name, first, second)


def unit_length(embeddings: np.ndarray) -> np.ndarray:
    """Embeddings scaled to unit length; those of length 0 stay 0.

    Args:
        embeddings: float array `[n, dim]`.

    Returns:
        Array like `embeddings`.
    """
    norms = np.linalg.norm(embeddings, axis=-1, keepdims=True)
    return embeddings / np.maximum(norms, 1e-12)


def _minus_distance(name, first, second):
    difference = first - second
    if name == "manhattan":
        return -np.abs(difference).sum(axis=-1)
    return -np.sqrt(np.square(difference).sum(axis=-1))


def _rows(name, value):
    if not isinstance(value, np.ndarray):
        if isinstance(value, list | tuple):
            value = [keras.ops.convert_to_numpy(row) for row in value]
        value = np.asarray(keras.ops.convert_to_numpy(value))
    if value.dtype.kind in "iub":
        raise ValueError(
            f"Argument `{name}` must hold float embeddings: the values of "
            f"{value.dtype} are steps or packed signs. Encode with "
            "`precision='float32'`. "
            f"Received: {name} of dtype {value.dtype}"
        )
    if value.ndim == 1:
        value = value[None]
    if value.ndim != 2:
        raise ValueError(
            f"Argument `{name}` must be an array `[n, dim]` or `[dim]`. "
            f"Received: {name} of shape {value.shape}"
        )
    return value.astype("float32")


def _check_same(first, second, what):
    if first != second:
        raise ValueError(
            "Arguments `embeddings1` and `embeddings2` must have as many "
            f"{what}. Received: {first} and {second} {what}"
        )
