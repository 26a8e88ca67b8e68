"""A stream of texts as a `keras.utils.PyDataset`."""

import threading
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import keras

from keras_dinolm.data.text_stream import TextStream


class TextDataset(keras.utils.PyDataset):
    """Batches of a `TextStream`; made by `stream_dataset`.

    Batches come one after the other: item i can only be had after item i - 1.
    The first two stay at hand, since Keras looks at them to learn shapes.

    Attributes:
        views: what makes the batches.
    """

    _KEPT = 2

    def __init__(
        self,
        stream: TextStream,
        views: Callable,
        start_step: int,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.views = views
        self.seed = stream.seed
        self.batch_size = stream.batch_size
        self.start_step = start_step
        self._first: dict[int, dict[str, Any]] = {}
        self._next = 0
        self._lock = threading.Lock()
        self._windows = iter(stream)
        for _ in range(start_step):
            next(self._windows, None)

    @property
    def num_batches(self) -> None:
        return None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        # Ends with the texts, where these end.
        index = 0
        while True:
            try:
                batch = self[index]
            except IndexError:
                return
            yield batch
            index += 1

    def __getitem__(self, index: int) -> dict[str, Any]:
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
            windows = next(self._windows, None)
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
