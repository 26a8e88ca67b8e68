"""A token store of which some documents are left out."""

from typing import Any

import numpy as np

from keras_dinolm.data.token_store import TokenStore


class RestrictedStore:
    """A token store in which some documents have no tokens.

    Documents keep their numbers, as those without a token of their own do. It
    has what a dataset reads of a `TokenStore`.

    Args:
        store: `TokenStore`.
        kept: bool array, one for each document.
    """

    def __init__(self, store: TokenStore, kept: np.ndarray):
        self.store = store
        counts = [shard["documents"] for shard in store.shards]
        self._kept = np.split(kept, np.cumsum(counts)[:-1])
        self.header = store.header
        self.num_documents = store.num_documents
        self.most_alternates = store.most_alternates
        self.directory = store.directory
        self.shards: list[dict[str, Any]] = [
            shard | {"tokens": int(self.document_lengths(index).sum())}
            for index, shard in enumerate(store.shards)
        ]

    def document_lengths(self, index: int) -> np.ndarray:
        """Number of tokens of each document of a shard: int32.

        Args:
            index: int. The number of the shard.
        """
        lengths = self.store.document_lengths(index)
        return np.where(self._kept[index], lengths, 0).astype("int32")

    def shard(self, index: int) -> tuple[np.ndarray, ...]:
        """Ids and lengths of a shard.

        Args:
            index: int. The number of the shard.
        """
        ids, lengths = self.store.shard(index)[:2]
        tokens = np.repeat(self._kept[index], lengths)
        return np.asarray(ids)[tokens], self.document_lengths(index)

    def shard_alternates(self, index: int) -> tuple[np.ndarray, ...]:
        """Arrays of the alternates of a shard; see `TokenStore`.

        Args:
            index: int. The number of the shard.
        """
        return self.store.shard_alternates(index)
