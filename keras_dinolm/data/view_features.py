"""Features of a teacher, beside the views of a batch."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_dinolm import arguments
from keras_dinolm.data.feature_store import FeatureStore
from keras_dinolm.data.feature_store import store_fingerprint
from keras_dinolm.data.joined_features import JoinedFeatures
from keras_dinolm.data.token_store import TokenStore

Features = Mapping[str, FeatureStore | JoinedFeatures]


def check_features(features: Any, tokens: TokenStore) -> dict[str, Any]:
    """Returns features by name, or raises.

    Args:
        features: dict of `FeatureStore` or `JoinedFeatures`.
        tokens: `TokenStore` whose documents they must be of.

    Returns:
        A dict.

    Raises:
        ValueError: if they are of another kind or another store.
    """
    if not isinstance(features, Mapping) or not features:
        arguments.refuse(
            "features",
            features,
            "a dict of a teacher's name to its `FeatureStore`, from "
            "`keras_dinolm.data.teacher_features`",
        )
    expected = store_fingerprint(tokens)
    for name, store in features.items():
        if not isinstance(name, str) or not name.isidentifier():
            arguments.refuse("features", features, "a dict with names as keys")
        if not isinstance(store, FeatureStore | JoinedFeatures):
            arguments.refuse(f"features[{name!r}]", store, "a `FeatureStore`")
        if store.store_fingerprint != expected:
            raise ValueError(
                f"`features[{name!r}]` must be of the documents of the token "
                f"store {tokens.directory}, and it is of those of another "
                "one: of other texts, or of another tokenizer. "
                f"Received: features={arguments.shorten(features)}"
            )
    return dict(features)


def have_features(features: Features, count: int) -> np.ndarray:
    """Which documents have features of all teachers: bool `[count]`.

    Args:
        features: dict of features by name.
        count: int. Documents of the token store.
    """
    numbers = np.arange(count)
    return np.logical_and.reduce([f.has(numbers) for f in features.values()])


def add_features(
    batch: dict[str, dict[str, Any]], features: Features, documents: np.ndarray
) -> dict[str, dict[str, Any]]:
    """Adds features to each group of a batch of views.

    Args:
        batch: dict of view group to its arrays.
        features: dict of features by name.
        documents: integers `[B]`, the document of each row.

    Returns:
        The batch with `NAME_sequence`, float16 `[B, dim]`, and, if there are
        features of tokens, `NAME_tokens`, float16 `[B, V, L, dim]`, in each
        group. Zeros stand where there are none.
    """
    added: dict[str, dict[str, Any]] = {group: {} for group in batch}
    for name, store in features.items():
        pooled = store.pooled_of(documents)
        for group, arrays in batch.items():
            added[group][f"{name}_sequence"] = pooled
            if store.has_tokens:
                added[group][f"{name}_tokens"] = store.tokens_of(
                    documents, arrays["positions"]
                )
    return {group: {**batch[group], **added[group]} for group in batch}
