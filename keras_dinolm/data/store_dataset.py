"""A token store as a `keras.utils.PyDataset`, without TensorFlow."""

import collections
import threading
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_dinolm.data.alternates import index_alternates
from keras_dinolm.data.layout import Layout
from keras_dinolm.data.layout import block_order
from keras_dinolm.data.plan import cut_windows
from keras_dinolm.data.plan import gather_windows
from keras_dinolm.data.plan import plan_block
from keras_dinolm.data.plan import rows_of_batch
from keras_dinolm.data.token_store import TokenStore
from keras_dinolm.data.view_features import Features
from keras_dinolm.data.view_features import add_features
from keras_dinolm.views.namespace import NUMPY

# The block in use and the one that a thread may read ahead.
_BLOCKS_HELD = 2


def make_dataset(
    store: TokenStore,
    views: Callable,
    layout: Layout,
    seed: int,
    start_step: int,
    num_steps: int | None,
    features: Features | None = None,
) -> "StoreDataset":
    """Makes a `PyDataset` of a token store.

    Args:
        store: `TokenStore`.
        views: callable, `views(windows, seed=, step=)`.
        layout: `Layout`.
        seed: int.
        start_step: int. The step of the first batch.
        num_steps: int, or `None` for an endless dataset.
        features: dict of features by name, or `None`.

    Returns:
        A `StoreDataset`.
    """
    arguments = (store, views, layout, seed, start_step, features)
    if num_steps is None:
        return StoreDataset(*arguments)
    return FiniteStoreDataset(*arguments, num_steps=num_steps)


class StoreDataset(keras.utils.PyDataset):
    """Endless batches of a token store; made by `view_dataset`.

    Item i is the batch of step `start_step + i`. It is equal to the bit to
    that of the `tf.data.Dataset` which `view_dataset` makes where TensorFlow
    is installed.

    Attributes:
        views: what makes the batches.
        steps_per_epoch: int. Steps of one pass over the corpus.
    """

    def __init__(
        self, store, views, layout, seed, start_step, features=None, **kwargs
    ):
        super().__init__(**kwargs)
        self.store = store
        self.views = views
        self.layout = layout
        self.seed = seed
        self.start_step = start_step
        self.features = features
        self.steps_per_epoch = layout.steps_per_epoch
        self._blocks = collections.OrderedDict()
        self._lock = threading.Lock()

    @property
    def num_batches(self) -> int | None:
        return None

    def windows(self, step: int) -> dict[str, np.ndarray]:
        """The windows of a step, from which its batch is made."""
        batch, (ids, plan, _) = self._place(step)
        windows = gather_windows(
            ids, plan, batch, self.layout, self.store.header["pad_token_id"]
        )
        return cut_windows(windows, self.layout.buckets[plan["bucket"][batch]])

    def documents(self, step: int) -> np.ndarray:
        """The documents that the windows of a step are of: int64 `[B]`."""
        batch, (_, plan, ends) = self._place(step)
        first = plan["first"][rows_of_batch(plan, batch, self.layout)]
        places = np.searchsorted(ends["tokens"], first, side="right")
        return ends["documents"][places]

    def _place(self, step):
        """The batch of a step in its block, and that block."""
        visit, batch = self.layout.locate(self.seed, step)
        with self._lock:
            if visit not in self._blocks:
                if len(self._blocks) >= _BLOCKS_HELD:
                    self._blocks.popitem(last=False)
                self._blocks[visit] = self._load(visit)
            return batch, self._blocks[visit]

    def _load(self, visit):
        epoch, place = divmod(visit, len(self.layout.blocks))
        order = block_order(self.seed, epoch, len(self.layout.blocks))
        block = int(order[place])
        numbers = self.layout.blocks[block]
        ids, lengths = _joined(self.store.shard, numbers, 2)
        plan = plan_block(lengths, self.seed, epoch, block, self.layout)
        if self.layout.alternates:
            parts = _joined(self.store.shard_alternates, numbers, 3)
            plan |= index_alternates(*parts, NUMPY)
        return ids, plan, self._ends(numbers, lengths)

    def _ends(self, numbers, lengths):
        """Where each document of a block ends, and its number in the store."""
        counts = [shard["documents"] for shard in self.store.shards]
        first = np.cumsum([0, *counts])
        return {
            "tokens": np.cumsum(lengths, dtype="int64"),
            "documents": np.concatenate(
                [np.arange(first[i], first[i + 1]) for i in numbers]
            ),
        }

    def __getitem__(self, index: int) -> dict[str, Any]:
        step = self.start_step + index
        batch = self.views(self.windows(step), seed=self.seed, step=step)
        if self.features is None:
            return batch
        return add_features(batch, self.features, self.documents(step))


def _joined(read, numbers, count):
    """The first `count` arrays of several shards, one after the other."""
    # Copies, because maps keep their files open.
    parts = [[np.array(a) for a in read(i)[:count]] for i in numbers]
    return [np.concatenate(arrays) for arrays in zip(*parts)]


class FiniteStoreDataset(StoreDataset):
    """The same, with an end and a `len`."""

    def __init__(self, *args, num_steps, **kwargs):
        super().__init__(*args, **kwargs)
        self.num_steps = num_steps

    def __len__(self) -> int:
        return self.num_steps

    @property
    def num_batches(self) -> int:
        return self.num_steps

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.num_steps:
            raise IndexError(f"Batch {index} of {self.num_steps}")
        return super().__getitem__(index)
