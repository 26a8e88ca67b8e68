"""Windows of texts as they come, shuffled in a buffer."""

import itertools
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from keras_dinolm.data.corpora.document import Document
from keras_dinolm.data.corpora.documents import is_read_once
from keras_dinolm.data.corpora.documents import to_documents
from keras_dinolm.data.store_encoder import encoder_config
from keras_dinolm.data.store_encoder import make_encoder

if TYPE_CHECKING:
    from keras_dinolm.models import DinoLMTokenizer

# Documents that are tokenized together.
_CHUNK = 256


class TextStream:
    """Iterates over the windows of texts, a batch of them at a time.

    Each iteration begins with the first text again, if `texts` do so. Items
    are dicts of arrays, as `keras_dinolm.data.plan.gather_windows` makes them.

    Args:
        texts: iterable of `str`, `Document`, or mappings with `"text"`.
        tokenizer: `DinoLMTokenizer`, or a tokenizer of keras-hub.
        window: int. Longest window, and the width of all of them.
        batch_size: int.
        seed: int.
        num_epochs: int, or `None` for as many as there are.
        shuffle_buffer: int. Number of windows among which the next one is
            drawn.
        max_alternates: int. How many alternates come with a window.
    """

    def __init__(
        self,
        texts: Iterable[str | Document | Mapping],
        tokenizer: "DinoLMTokenizer",
        window: int,
        batch_size: int,
        seed: int,
        num_epochs: int | None,
        shuffle_buffer: int,
        max_alternates: int,
    ):
        self.texts = texts
        self.window = window
        self.batch_size = batch_size
        self.seed = seed
        self.num_epochs = num_epochs
        self.shuffle_buffer = shuffle_buffer
        self.max_alternates = max_alternates
        self.pad_token_id = tokenizer.pad_token_id
        self._encoder = make_encoder(encoder_config(tokenizer))

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        generator = np.random.default_rng(self.seed)
        buffer: list[tuple] = []
        rows: list[tuple] = []
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

    def _make_windows(self):
        """(ids, place in the document, alternates), epoch after epoch."""
        epoch = 0
        while self.num_epochs is None or epoch < self.num_epochs:
            generator = np.random.default_rng([self.seed, epoch])
            found = False
            documents = to_documents(self.texts, "texts")
            while chunk := list(itertools.islice(documents, _CHUNK)):
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
                return
            if is_read_once(self.texts):
                return
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
