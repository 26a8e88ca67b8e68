"""Checks and conversions that all evaluations share."""

import collections.abc
from collections.abc import Hashable
from collections.abc import Iterable

import numpy as np
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.typing import Tensor


def as_features(
    name: str, features: Tensor, width: int | None = None
) -> np.ndarray:
    """Returns features as a NumPy array `[N, D]` of float32 or float64.

    Raises:
        ValueError: If they are not a matrix, are empty, hold NaN or infinity,
            or differ in width from those they are compared with.
    """
    if ops.is_tensor(features):
        # NumPy alone knows no bfloat16.
        features = ops.convert_to_numpy(ops.cast(features, "float32"))
    try:
        array = np.asarray(features)
    except ValueError:  # rows of different lengths
        array = np.asarray(None)
    if array.dtype.kind not in "fiub":
        arguments.refuse(name, features, "an array of real numbers")
    features = array
    if features.ndim != 2 or 0 in features.shape:
        raise ValueError(
            f"`{name}` must have shape [N, D], with at least one row and one "
            f"column. Received: {name} of shape {features.shape}."
        )
    if features.dtype != np.float64:
        features = features.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise ValueError(
            f"`{name}` must be finite. Received: NaN or infinity in "
            f"{len(bad)} of {len(features)} rows, first in row {bad[0]}. "
            "Was the encoder's training stopped by non-finite steps?"
        )
    if width is not None and features.shape[1] != width:
        raise ValueError(
            f"`{name}` must have {width} columns, as the features it is "
            f"compared with. Received: {name} of shape {features.shape}."
        )
    return features


def as_labels(
    name: str, labels: Iterable[Hashable], num_rows: int, rows_name: str
) -> list[Hashable]:
    """Returns labels as a list of hashable values, one a row.

    Raises:
        ValueError: If their number differs from that of the features, or
            they cannot be compared.
    """
    if ops.is_tensor(labels):
        labels = ops.convert_to_numpy(labels)
    if isinstance(labels, str | bytes) or not isinstance(
        labels, collections.abc.Iterable
    ):
        arguments.refuse(name, labels, "a list of labels")
    labels = labels.tolist() if hasattr(labels, "tolist") else list(labels)
    if len(labels) != num_rows:
        raise ValueError(
            f"`{name}` must have one label for each row of `{rows_name}`. "
            f"Received: {len(labels)} labels, {num_rows} rows."
        )
    for label in labels:
        if not isinstance(label, collections.abc.Hashable):
            raise ValueError(
                f"`{name}` must hold one hashable value (a string, an "
                f"integer, ...) for each row. Received: {label!r}."
            )
    return labels


def unit(features: np.ndarray) -> np.ndarray:
    """Rows scaled to unit length, in float64; zero rows stay zero."""
    features = features.astype(np.float64)
    largest = np.abs(features).max(axis=1, keepdims=True)
    features /= np.where(largest == 0, 1.0, largest)  # squares cannot vanish
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(norms == 0, 1.0, norms)
