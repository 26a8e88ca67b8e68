"""Rows of features in several files, read as one array."""

import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_dinolm.data.feature_shards import DTYPE
from keras_dinolm.data.store_check import shard_path
from keras_dinolm.data.token_store import most_mapped


class FeatureRows:
    """float16 rows of all shards, one after the other, mapped from disk.

    It has a `shape`, a `dtype` and a `len`. An integer, a slice or an array
    of row numbers in brackets gives NumPy arrays; `np.asarray` reads all.

    Args:
        directory: path of the folder.
        kind: `"pooled"` or `"tokens"`.
        counts: rows of each shard.
        dim: int. Size of the features.
    """

    dtype = DTYPE
    ndim = 2

    def __init__(
        self,
        directory: pathlib.Path,
        kind: str,
        counts: Sequence[int],
        dim: int,
    ):
        self.directory = directory
        self.kind = kind
        self.counts = list(counts)
        self.dim = dim
        self._ends = np.cumsum(counts, dtype="int64")
        self._map = functools.lru_cache(most_mapped())(self._open)

    def __reduce__(self):
        # Maps stay in their process.
        return FeatureRows, (self.directory, self.kind, self.counts, self.dim)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), self.dim

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, key: Any) -> np.ndarray:
        if isinstance(key, slice):
            return self[np.arange(*key.indices(len(self)))]
        rows = np.asarray(key)
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        flat = rows.ravel()
        if len(flat) and not -len(self) <= flat.min() <= flat.max() < len(self):
            raise IndexError(f"Row {key} of {len(self):,}")
        flat = flat % max(len(self), 1)
        shards = np.searchsorted(self._ends, flat, side="right")
        found = np.empty((len(flat), self.dim), DTYPE)
        for shard in np.unique(shards):
            here = shards == shard
            first = self._ends[shard] - self.counts[shard]
            found[here] = self._map(int(shard))[flat[here] - first]
        return found.reshape(*rows.shape, self.dim)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self[:].astype(dtype or DTYPE)

    def _open(self, shard):
        if not self.counts[shard]:
            return np.zeros((0, self.dim), DTYPE)
        path = shard_path(self.directory, shard, self.kind)
        shape = (self.counts[shard], self.dim)
        return np.memmap(path, DTYPE, "r", shape=shape)
