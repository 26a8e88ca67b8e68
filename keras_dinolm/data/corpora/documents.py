"""What every function accepts as a corpus, and how it is read."""

import sys
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import TypeAlias

from keras_dinolm.data.arguments import shorten
from keras_dinolm.data.corpora.corpus import Corpus
from keras_dinolm.data.corpora.document import Document

Texts: TypeAlias = Iterable[str | Document | Mapping]


def to_document(item: str | Document | Mapping, index: int) -> Document:
    """Makes a `Document` of an item of any corpus.

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
        f"'text'. Received at index {index}: {shorten(item)} "
        f"(of type {type(item).__name__})"
    )


def to_documents(corpus: Texts) -> Iterator[Document]:
    """Yields a `Document` for each item of a corpus.

    Args:
        corpus: iterable of `str`, `Document` or mappings with `"text"`.

    Raises:
        ValueError: if `corpus` is a single string or a table, or holds
            something else.
    """
    if isinstance(corpus, str | bytes | Mapping) or not hasattr(
        corpus, "__iter__"
    ):
        raise ValueError(
            "`corpus` must be an iterable of documents, not one of them. "
            "Use `[text]` for a single document, or "
            "`keras_dinolm.data.read_text(path)` for a file. "
            f"Received: corpus={shorten(corpus)} "
            f"(of type {type(corpus).__name__})"
        )
    if hasattr(corpus, "columns"):
        # Iterating over a table gives the names of its columns.
        raise ValueError(
            "`corpus` must be an iterable of documents, not a table. Use its "
            'column of texts, such as `table["text"]`. Received: a '
            f"{type(corpus).__name__} with the columns "
            f"{shorten(list(corpus.columns))}"
        )
    for index, item in enumerate(corpus):
        yield to_document(item, index)


def read_documents(
    corpus: Texts, title: str, show_progress: bool
) -> Iterator[Document]:
    """Yields each `Document`, under a progress bar."""
    yield from progress(to_documents(corpus), title, show_progress, corpus)


def read_texts(
    corpus: Texts, title: str, show_progress: bool, alternates: bool = False
) -> Iterator[str]:
    """Yields the text of each document, under a progress bar.

    With `alternates`, these follow the text, after a blank line each.
    """
    for document in read_documents(corpus, title, show_progress):
        others = document.alternates if alternates else ()
        yield "\n\n".join((document.text, *others))


def progress(
    items: Iterable,
    title: str,
    show: bool = True,
    corpus: Any = None,
    unit: str = "doc",
) -> Iterable:
    """Returns `items` with a progress bar on standard error.

    The bar's length is that of `corpus`, if it is known.
    """
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
