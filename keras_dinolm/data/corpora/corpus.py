"""`Corpus`: documents that can be read again and again."""

import collections
from collections.abc import Iterator

from keras_dinolm.data.corpora.document import Document


class Corpus:
    """Documents that can be read again, and that record what was skipped.

    Subclasses implement `_read`, a generator of documents that counts in
    `dropped` what it leaves out. `str(corpus)` is a summary.

    Args:
        name: str. What the summary calls the corpus.
    """

    def __init__(self, name: str):
        self.name = name
        self.count: int | None = None
        self.dropped: collections.Counter = collections.Counter()
        self._reported = False

    def _read(self) -> Iterator[Document]:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Document]:
        # Counters describe one complete pass; an interrupted one leaves
        # those of the last complete pass.
        dropped = self.dropped
        self.dropped = collections.Counter()
        count = 0
        complete = False
        try:
            for document in self._read():
                count += 1
                yield document
            complete = True
        finally:
            if complete:
                self.count = count
            else:
                self.dropped = dropped

    def __len__(self) -> int:
        if self.count is None:
            return sum(1 for _ in self)
        return self.count

    def __str__(self) -> str:
        lines = [f"{self.name}: {len(self):,} documents"]
        lines += [
            f"  left out: {count:,} {reason}"
            for reason, count in sorted(self.dropped.items())
            if count
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"
