"""`Corpus`: documents that can be read again and again."""

import collections
import inspect
import weakref
from collections.abc import Generator
from collections.abc import Iterator

from keras_dinolm.data.corpora.document import Document


class Corpus:
    """Documents that can be read again, and that record what was skipped.

    Subclasses implement `_read`, a generator of documents that counts in
    `dropped` what it leaves out. `str(corpus)` is a summary. `list(corpus)`
    reads once. `len(corpus)` reads as well, unless a pass has come to its
    end before.

    Args:
        name: str. What the summary calls the corpus.

    Attributes:
        count: int or `None`. The number of documents of the last complete
            pass.
        dropped: counter of what that pass left out, and why.
        once: bool. Whether there can be one pass only, as over a pipe.
    """

    once = False

    def __init__(self, name: str):
        self.name = name
        self.count: int | None = None
        self.dropped: collections.Counter = collections.Counter()
        self._newest: weakref.ref[Generator] | None = None

    def _read(self, dropped: collections.Counter) -> Iterator[Document]:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Document]:
        generator = self._pass()
        self._newest = weakref.ref(generator)
        return generator

    def _pass(self):
        # Counters describe one complete pass; an interrupted one leaves
        # those of the last complete pass.
        dropped: collections.Counter = collections.Counter()
        count = 0
        for document in self._read(dropped):
            count += 1
            yield document
        self.count = count
        self.dropped = dropped

    def __len__(self) -> int:
        if self.count is not None:
            return self.count
        # `list` makes an iterator and then asks for the length. It takes this
        # error for "not known", and so reads once.
        newest = self._newest() if self._newest is not None else None
        begun = newest is not None and (
            inspect.getgeneratorstate(newest) == inspect.GEN_CREATED
        )
        if begun or self.once:
            raise TypeError(
                f"The number of documents of {self.name} is known once they "
                "have been read."
            )
        return sum(1 for _ in self)

    def __str__(self) -> str:
        if self.count is None and self.once:
            return f"{self.name}: not read to its end yet"
        lines = [f"{self.name}: {len(self):,} documents"]
        lines += [
            f"  left out: {count:,} {reason}"
            for reason, count in sorted(self.dropped.items())
            if count
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"
