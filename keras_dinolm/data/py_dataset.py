"""Batches of views without TensorFlow."""

import collections
import itertools
import threading

import keras
import numpy as np

from keras_dinolm.data.alternates import index_alternates
from keras_dinolm.data.corpora.documents import to_documents
from keras_dinolm.data.plan import block_order
from keras_dinolm.data.plan import cut_windows
from keras_dinolm.data.plan import gather_batch
from keras_dinolm.data.plan import plan_block
from keras_dinolm.text.encoder import Encoder
from keras_dinolm.views.namespace import NUMPY

# The block in use and the one that a reader ahead may want.
_BLOCKS_HELD = 2


class EndlessViewDataset(keras.utils.PyDataset):
    """Batches of views of a token store; made by `view_dataset`.

    Item i is the batch of step `start_step + i`, to the bit the one of the
    `tf.data.Dataset` that `view_dataset` makes where TensorFlow is installed.

    Attributes:
        steps_per_epoch: int. Steps of one pass over the corpus.
    """

    def __init__(self, store, views, layout, seed, start_step, **kwargs):
        super().__init__(**kwargs)
        self.store = store
        self.views = views
        self.layout = layout
        self.seed = seed
        self.start_step = start_step
        self.steps_per_epoch = layout.steps_per_epoch
        self._blocks = collections.OrderedDict()
        self._lock = threading.Lock()

    @property
    def num_batches(self):
        return None

    def windows(self, step):
        """The windows of a step, before views are cut from them."""
        visit, batch = self.layout.locate(self.seed, step)
        with self._lock:
            if visit not in self._blocks:
                if len(self._blocks) >= _BLOCKS_HELD:
                    self._blocks.popitem(last=False)
                self._blocks[visit] = self._load(visit)
            ids, plan = self._blocks[visit]
        made = gather_batch(
            ids, plan, batch, self.layout, self.store.header["pad_token_id"]
        )
        return cut_windows(made, self.layout.buckets[plan["bucket"][batch]])

    def _load(self, visit):
        epoch, place = divmod(visit, len(self.layout.blocks))
        order = block_order(self.seed, epoch, len(self.layout.blocks))
        block = int(order[place])
        numbers = self.layout.blocks[block]
        shards = [self.store.shard(i) for i in numbers]
        ids = np.concatenate([ids for ids, _, _ in shards])
        lengths = np.concatenate([lengths for _, lengths, _ in shards])
        plan = plan_block(lengths, self.seed, epoch, block, self.layout)
        if self.layout.alternates:
            parts = zip(*(self.store.shard_alternates(i) for i in numbers))
            plan |= index_alternates(*map(np.concatenate, parts), NUMPY)
        return ids, plan

    def __getitem__(self, index):
        step = self.start_step + index
        return self.views(self.windows(step), seed=self.seed, step=step)


class FiniteViewDataset(EndlessViewDataset):
    """The same, with an end and a `len`."""

    def __init__(self, *args, num_steps, **kwargs):
        super().__init__(*args, **kwargs)
        self.num_steps = num_steps

    def __len__(self):
        return self.num_steps

    @property
    def num_batches(self):
        return self.num_steps

    def __getitem__(self, index):
        if not 0 <= index < self.num_steps:
            raise IndexError(f"Batch {index} of {self.num_steps}")
        return super().__getitem__(index)


class StreamViewDataset(keras.utils.PyDataset):
    """Batches of views of raw texts as they come; made by `view_dataset`.

    For sources that cannot be tokenized beforehand: unbounded, or generated.
    Texts are tokenized in this process. Windows are shuffled within a buffer.
    Batches come one after the other: item i can only be had after item i - 1
    (the first two stay at hand, since Keras looks at them to learn shapes).
    """

    _KEPT = 2
    _CHUNK = 256

    def __init__(
        self,
        corpus,
        tokenizer,
        views,
        batch_size,
        seed,
        start_step,
        num_epochs,
        shuffle_buffer,
        max_alternates=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.corpus = corpus
        self.views = views
        self.batch_size = batch_size
        self.seed = seed
        self.start_step = start_step
        self.num_epochs = num_epochs
        self.shuffle_buffer = max(shuffle_buffer, batch_size)
        self.max_alternates = max_alternates
        self.pad_token_id = tokenizer.pad_token_id
        self.window = views.sequence_length - 1
        self._encoder = Encoder(**tokenizer.encoder_config())
        self._first = {}
        self._next = 0
        self._lock = threading.Lock()
        self._batches = self._make_batches()
        for _ in range(start_step):
            next(self._batches, None)

    @property
    def num_batches(self):
        return None

    def __iter__(self):
        # Ends with the texts, where these end.
        index = 0
        while True:
            try:
                batch = self[index]
            except IndexError:
                return
            yield batch
            index += 1

    def __getitem__(self, index):
        with self._lock:
            if index in self._first:
                return self._first[index]
            if index != self._next:
                raise ValueError(
                    "A stream of texts can only be read forward: batch "
                    f"{self._next} is next. Received: index={index}. For "
                    "random access, tokenize to disk first: "
                    "`keras_dinolm.data.tokenize`."
                )
            windows = next(self._batches, None)
            if windows is None:
                raise IndexError(
                    f"The texts ended before batch {index}: fewer than "
                    f"{(index + 1) * self.batch_size} windows. Use fewer "
                    "steps, `num_epochs=None` with a corpus that can be read "
                    "again (a list, or an object with `__iter__`), or a "
                    "smaller `batch_size`."
                )
            self._next += 1
            step = self.start_step + index
            batch = self.views(windows, seed=self.seed, step=step)
            if index < self._KEPT:
                self._first[index] = batch
            return batch

    def _make_windows(self):
        """(ids, place in the document, alternates), epoch after epoch."""
        epoch = 0
        while self.num_epochs is None or epoch < self.num_epochs:
            generator = np.random.default_rng([self.seed, epoch])
            found = False
            documents = to_documents(self.corpus)
            while chunk := list(itertools.islice(documents, self._CHUNK)):
                rows = self._encoder([d.text for d in chunk])
                for row, others in zip(rows, self._alternates(chunk)):
                    tokens = np.array(row, dtype="int32")
                    for start in self._starts(len(tokens), generator):
                        found = True
                        yield (
                            tokens[start : start + self.window],
                            start,
                            self._cut_alternates(
                                others, len(tokens), start, generator
                            ),
                        )
            if not found:
                if epoch == 0:
                    raise ValueError(
                        "The corpus is empty: no document with a token in it."
                    )
                return  # an iterator that could be read once only
            epoch += 1

    def _starts(self, length, generator):
        """As in `plan_block`: full windows, overlapping where they must."""
        if length <= self.window:
            return [0] if length else []
        pieces = -(-length // self.window)
        phase = int(generator.integers(pieces * self.window - length + 1))
        last = length - self.window
        return [
            max(min(piece * self.window - phase, last), 0)
            for piece in range(pieces)
        ]

    def _alternates(self, documents):
        """Ids of the alternates of each document, without empty ones."""
        if not self.max_alternates:
            return [[]] * len(documents)
        rows = iter(
            self._encoder([text for d in documents for text in d.alternates])
        )
        return [
            [row for _, row in zip(d.alternates, rows) if row]
            for d in documents
        ]

    def _cut_alternates(self, others, length, start, generator):
        """As `gather_alternates`: pairs of ids and place."""
        if not others:
            return []
        ends = length + np.cumsum([len(row) for row in others])
        turn = int(generator.integers(len(others)))
        rest = max(length - self.window, 0)
        made = []
        for slot in range(min(len(others), self.max_alternates)):
            number = (turn + slot) % len(others)
            row = others[number]
            room = max(len(row) - self.window, 0)
            if rest:
                begin = room * start // rest
            else:
                begin = int(generator.integers(room + 1))
            tokens = np.array(row[begin : begin + self.window], dtype="int32")
            made.append((tokens, ends[number] - len(row) + begin))
        return made

    def _make_batches(self):
        generator = np.random.default_rng(self.seed)
        buffer, rows = [], []
        # At the end, `None` stands for "no more", until the buffer is empty.
        windows = itertools.chain(self._make_windows(), itertools.repeat(None))
        for window in windows:
            if window is not None and len(buffer) < self.shuffle_buffer:
                buffer.append(window)
                continue
            if not buffer:
                return
            place = int(generator.integers(len(buffer)))
            buffer[place], buffer[-1] = buffer[-1], buffer[place]
            rows.append(buffer.pop())
            if window is not None:
                buffer.append(window)
            if len(rows) == self.batch_size:
                yield self._collate(rows)
                rows = []

    def _collate(self, rows):
        made = self._pad([row[:2] for row in rows])
        windows = dict(zip(("token_ids", "lengths", "starts"), made))
        if self.max_alternates:
            nothing = (np.zeros(0, dtype="int32"), 0)
            slots = [
                slot
                for *_, others in rows
                for slot in (others + [nothing] * self.max_alternates)[
                    : self.max_alternates
                ]
            ]
            shape = (len(rows), self.max_alternates)
            for key, array in zip(
                ("ids", "lengths", "starts"), self._pad(slots)
            ):
                array = array.reshape(shape + array.shape[1:])
                windows[f"alternate_{key}"] = array
        return windows

    def _pad(self, rows):
        """Ids, lengths and starts of pairs of ids and start."""
        ids = np.full(
            (len(rows), self.window), self.pad_token_id, dtype="int32"
        )
        for index, (tokens, _) in enumerate(rows):
            ids[index, : len(tokens)] = tokens
        return (
            ids,
            np.array([len(tokens) for tokens, _ in rows], dtype="int32"),
            np.array([start for _, start in rows], dtype="int32"),
        )
