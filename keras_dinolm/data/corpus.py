"""Documents, and what every function accepts as a corpus."""

import collections
import dataclasses
import sys
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """One text with its name and origin.

    Args:
        text: str. The text.
        id: str. A name, unique within its corpus.
        label: str. What to call its kind, for evaluation only; may be empty.
        module: str. A finer label, e.g. the dotted Python module.
    """

    text: str
    id: str = ""
    label: str = ""
    module: str = ""


class Corpus:
    """Documents that can be read again and again, with a record of losses.

    Subclasses implement `_read`, a generator of documents that counts in
    `dropped` what it leaves out. `str(corpus)` is a summary.

    Args:
        name: str. What the summary calls the corpus.
    """

    def __init__(self, name):
        self.name = name
        self.count = None
        self.dropped = collections.Counter()
        self._reported = False

    def _read(self):
        raise NotImplementedError

    def __iter__(self):
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

    def __len__(self):
        if self.count is None:
            for _ in self:
                pass
        return self.count

    def __str__(self):
        lines = [f"{self.name}: {len(self):,} documents"]
        lines += [
            f"  left out: {count:,} {reason}"
            for reason, count in sorted(self.dropped.items())
            if count
        ]
        return "\n".join(lines)

    def __repr__(self):
        return f"<{type(self).__name__} {self.name}>"


def to_document(item, index):
    """A `Document` of an item of any corpus.

    Args:
        item: `str`, `Document`, or a mapping with `"text"` and perhaps
            `"id"`, `"label"`, `"module"`.
        index: int. Its place in the corpus, for errors and as default id.

    Returns:
        A `Document`.

    Raises:
        ValueError: if the item is none of these.
    """
    if isinstance(item, Document):
        return item
    if isinstance(item, str):
        return Document(item, str(index))
    if isinstance(item, Mapping) and isinstance(item.get("text"), str):
        others = {
            key: str(item[key])
            for key in ("id", "label", "module")
            if item.get(key) is not None
        }
        return Document(item["text"], **{"id": str(index), **others})
    raise ValueError(
        "A corpus holds `str`, `Document` or mappings with a string under "
        f"'text'. Received at index {index}: {_shorten(item)} "
        f"(of type {type(item).__name__})"
    )


def to_documents(corpus):
    """Yields a `Document` for each item of a corpus.

    Args:
        corpus: iterable of `str`, `Document` or mappings with `"text"`.

    Raises:
        ValueError: if `corpus` is a single string, or holds something else.
    """
    if isinstance(corpus, str | bytes | Mapping) or not hasattr(
        corpus, "__iter__"
    ):
        raise ValueError(
            "`corpus` must be an iterable of documents, not one of them. "
            "Use `[text]` for a single document, or "
            "`keras_dinolm.data.read_text(path)` for a file. "
            f"Received: corpus={_shorten(corpus)} "
            f"(of type {type(corpus).__name__})"
        )
    for index, item in enumerate(corpus):
        yield to_document(item, index)


def read_texts(corpus, title, show_progress):
    """Yields the text of each document, below a progress bar."""
    for document in progress(
        to_documents(corpus), title, show_progress, corpus
    ):
        yield document.text


def progress(items, title, show=True, corpus=None, unit="doc"):
    """`items` with a progress bar on standard error."""
    from tqdm import tqdm

    total = corpus.count if isinstance(corpus, Corpus) else None
    if total is None and isinstance(corpus, list | tuple):
        total = len(corpus)
    return tqdm(
        items,
        desc=title,
        total=total,
        unit=f" {unit}",
        disable=not show,
        # A log file gets a line now and then, not thousands.
        mininterval=0.2 if sys.stderr.isatty() else 10.0,
    )


def _shorten(value, length=80):
    text = repr(value)
    return text if len(text) <= length else text[: length - 3] + "..."
