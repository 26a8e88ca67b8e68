"""`JoinedFeatures`: what several teachers say, side by side."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_dinolm import arguments
from keras_dinolm.data.feature_store import FeatureStore


class JoinedFeatures:
    """The features of several teachers of the same documents, concatenated.

    `view_dataset` takes it in the place of a `FeatureStore`. A document has
    features if every teacher has read it.

    Args:
        stores: list of `FeatureStore` of the same token store.

    Attributes:
        dim: int. The sum of their sizes.
        has_tokens: bool. Whether all have features of tokens.
        documents: int64 array. The documents that have features in all.
        num_done: int. How many these are.

    Raises:
        ValueError: if they are of different token stores.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    texts = ["the cat sat on the mat", "a dog and a mat", "the dog"]
    tokenizer = kd.data.train_tokenizer(texts * 9, vocabulary_size=60)
    tokens = kd.data.tokenize(texts, tokenizer, "tokens/")
    teachers = {
        "letters": lambda texts: np.array([[len(t)] for t in texts]),
        "words": lambda texts: np.array([[len(t.split())] for t in texts]),
    }
    stores = [
        kd.data.teacher_features(teacher, texts, tokens, name)
        for name, teacher in teachers.items()
    ]
    kd.data.JoinedFeatures(stores).pooled_of([0])  # [[22, 6]]
    ```
    """

    def __init__(self, stores: Sequence[FeatureStore]):
        if not isinstance(stores, list | tuple) or not all(
            isinstance(store, FeatureStore) for store in stores
        ):
            arguments.refuse("stores", stores, "a list of `FeatureStore`")
        self.stores = list(stores)
        if len({store.store_fingerprint for store in self.stores}) != 1:
            arguments.refuse(
                "stores", stores, "one or more stores of the same token store"
            )
        first = self.stores[0]
        self.store_fingerprint = first.store_fingerprint
        self.num_documents = first.num_documents
        self.dim = sum(store.dim for store in self.stores)
        self.has_tokens = all(store.has_tokens for store in self.stores)
        self.documents = first.documents[self.has(first.documents)]
        self.num_done = len(self.documents)

    def without_tokens(self) -> "JoinedFeatures":
        """The same features of documents, without those of tokens."""
        return JoinedFeatures([store.without_tokens() for store in self.stores])

    def has(self, documents: Any) -> np.ndarray:
        """Whether each of some documents has features of all teachers.

        Args:
            documents: integers, numbers of documents of the token store.

        Returns:
            bool array of the same shape.
        """
        return np.logical_and.reduce(
            [store.has(documents) for store in self.stores]
        )

    def pooled_of(self, documents: Any) -> np.ndarray:
        """Features of documents; see `FeatureStore.pooled_of`.

        Args:
            documents: integers `[n]`.

        Returns:
            float16 array `[n, dim]`; zeros for those that have none.
        """
        found = [store.pooled_of(documents) for store in self.stores]
        return self._known(np.concatenate(found, -1), documents)

    def tokens_of(self, documents: Any, positions: Any) -> np.ndarray:
        """Features of tokens; see `FeatureStore.tokens_of`.

        Args:
            documents: integers `[n]`.
            positions: integers `[n, ...]`.

        Returns:
            float16 array `[n, ..., dim]`; zeros for those that have none.
        """
        found = [store.tokens_of(documents, positions) for store in self.stores]
        return self._known(np.concatenate(found, -1), documents)

    def _known(self, found, documents):
        found[~self.has(documents)] = 0
        return found

    def origin(self) -> dict[str, Any]:
        """What tells these features apart from others; for run folders."""
        return {"joined": [store.origin() for store in self.stores]}
