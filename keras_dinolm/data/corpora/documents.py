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
        alternates: sequence of str. Other texts of the same meaning, such as
            a translation, a paraphrase or a title, from which views may be
            drawn as well (`ViewGroup(alternate_probability=...)`).

    Raises:
        ValueError: if `alternates` is not a sequence of strings.
    """

    text: str
    id: str = ""
    label: str = ""
    module: str = ""
    alternates: tuple = ()

    def __post_init__(self):
        if self.alternates == ():
            return
        if not is_list_of_strings(self.alternates):
            raise ValueError(
                "`alternates` must be a list or tuple of strings; put a "
                "single one in brackets. Received: "
                f"alternates={_shorten(self.alternates)} (of type "
                f"{type(self.alternates).__name__})"
            )
        object.__setattr__(self, "alternates", tuple(self.alternates))


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
            `"id"`, `"label"`, `"module"`, `"alternates"`.
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
        if item.get("alternates") is not None:
            others["alternates"] = item["alternates"]
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


def read_documents(corpus, title, show_progress):
    """Yields each `Document`, below a progress bar."""
    yield from progress(to_documents(corpus), title, show_progress, corpus)


def read_texts(corpus, title, show_progress, alternates=False):
    """Yields the text of each document, below a progress bar.

    With `alternates`, these follow it, after a blank line each.
    """
    for document in read_documents(corpus, title, show_progress):
        others = document.alternates if alternates else ()
        yield "\n\n".join((document.text, *others))


def is_list_of_strings(value):
    """Whether a value is a list or tuple that holds strings alone."""
    return isinstance(value, list | tuple) and all(
        isinstance(item, str) for item in value
    )


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
