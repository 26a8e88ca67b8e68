"""What every function accepts as a corpus, and how it is read."""

import os
import pathlib
import sys
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import NoReturn
from typing import TypeAlias

from keras_dinolm import arguments
from keras_dinolm.data.corpora import csv_files
from keras_dinolm.data.corpora import json_lines
from keras_dinolm.data.corpora import text_files
from keras_dinolm.data.corpora.corpus import Corpus
from keras_dinolm.data.corpora.document import Document
from keras_dinolm.data.corpora.files import ending_of
from keras_dinolm.data.corpora.tables import column_names
from keras_dinolm.data.corpora.tables import cure

Texts: TypeAlias = Iterable[str | Document | Mapping]

_ENDINGS = (*text_files.ENDINGS, *json_lines.ENDINGS, *csv_files.ENDINGS)


def to_document(
    item: str | Document | Mapping, index: int, name: str = "corpus"
) -> Document:
    """Makes a `Document` of an item of any corpus.

    Args:
        item: `str`, `Document`, or a mapping with `"text"` and perhaps
            `"id"`, `"label"`, `"module"`, `"alternates"`.
        index: int. Its place in the corpus, for errors and as default id.
        name: string. The argument that holds the corpus, for errors.

    Returns:
        A `Document`.

    Raises:
        ValueError: if the item is none of these.
    """
    if isinstance(item, Document):
        return item
    if isinstance(item, str):
        return Document(str(item), str(index))
    if isinstance(item, Mapping) and isinstance(item.get("text"), str):
        others = {
            key: str(item[key])
            for key in ("id", "label", "module")
            if item.get(key) is not None
        }
        if item.get("alternates") is not None:
            others["alternates"] = item["alternates"]
        return Document(item["text"], **{"id": str(index), **others})
    if hasattr(item, "as_py"):  # an item of a column of Arrow
        return to_document(item.as_py(), index, name)
    raise ValueError(
        f"Argument `{name}` must hold `str`, `Document` or mappings with a "
        f"string under 'text'. Received at index {index}: "
        f"{arguments.shorten(item)} (of type {type(item).__name__}). "
        f"{_cure_of_item(item)}"
    )


def _cure_of_item(item):
    if item is None or str(item) in ("nan", "<NA>", "NaT"):
        return (
            "It is a missing value: drop such rows first, or use "
            "`keras_dinolm.data.read_table`, which counts them."
        )
    if isinstance(item, bytes):
        return "Decode it: `item.decode()`."
    if isinstance(item, os.PathLike):
        return "It is a path: use `keras_dinolm.data.read_files(paths)`."
    if isinstance(item, Mapping):
        return (
            "Its keys are "
            f"{', '.join(map(repr, list(item)[:8])) or '(none)'}: use "
            "`keras_dinolm.data.read_table(records, text_key=...)`."
        )
    return "A list of texts has one string for each document."


def check_corpus(corpus: Any, name: str = "corpus") -> None:
    """Raises unless a value may be a corpus; of a list, looks at its start.

    Args:
        corpus: anything.
        name: string. The argument that holds it.

    Raises:
        ValueError: if it is a single text, a path, a table, or nothing that
            can be iterated over.
    """
    if isinstance(corpus, Corpus):
        return
    if isinstance(corpus, str | bytes | bytearray | os.PathLike | Document):
        _refuse(corpus, name)
    names = column_names(corpus)
    if names is not None:
        # The rows of a table of Hugging Face are mappings. Iterating over any
        # other table gives the names of its columns, or its columns.
        rows = hasattr(corpus, "features") and not isinstance(corpus, Mapping)
        if rows and "text" in names:
            return
        if isinstance(corpus, Mapping) and isinstance(corpus.get("text"), str):
            _refuse(corpus, name)
        raise ValueError(
            f"Argument `{name}` must be an iterable of documents, not a table "
            f"or mapping. {cure(corpus)} Received: a {type(corpus).__name__} "
            "with the columns "
            f"{arguments.shorten(names)}"
        )
    if not hasattr(corpus, "__iter__") or getattr(corpus, "ndim", 1) != 1:
        _refuse(corpus, name)
    if isinstance(corpus, list | tuple) and corpus:
        _first_document(corpus[0], name)


def is_read_once(corpus: Iterable) -> bool:
    """Whether there can be one pass over a corpus only.

    Args:
        corpus: iterable.

    Returns:
        Bool: `True` for an iterator, and for a corpus of a pipe.
    """
    return isinstance(corpus, Iterator) or getattr(corpus, "once", False)


def _refuse(corpus: Any, name: str) -> NoReturn:
    raise ValueError(
        f"Argument `{name}` must be an iterable of documents, not one of "
        "them. Use `[text]` for a single document, or "
        "`keras_dinolm.data.read_files(path)` (or `read_text`, `read_jsonl`, "
        "...) for a file or folder. Received: "
        f"{name}={arguments.shorten(corpus)} "
        f"(of type {type(corpus).__name__})"
    )


def to_documents(corpus: Texts, name: str = "corpus") -> Iterator[Document]:
    """Yields a `Document` for each item of a corpus.

    The one way from what users hand in to documents.

    Args:
        corpus: iterable of `str`, `Document` or mappings with `"text"`; a
            column of a table is one.
        name: string. The argument that holds the corpus, for errors.

    Raises:
        ValueError: if `corpus` is a single string or a table, holds
            something else, or begins with the name of a file.

    Example:

    ```python
    from keras_dinolm.data.corpora.documents import to_documents

    documents = to_documents(["one", {"text": "two", "label": "b"}])
    assert [document.text for document in documents] == ["one", "two"]
    ```
    """
    check_corpus(corpus, name)
    for index, item in enumerate(corpus):
        if index:
            yield to_document(item, index, name)
        else:
            yield _first_document(item, name)


def _first_document(item, name):
    if isinstance(item, str):
        _refuse_name_of_file(item, name)
    return to_document(item, 0, name)


def _refuse_name_of_file(text, name):
    if len(text) > 1_000 or "\n" in text:
        return
    path = pathlib.PurePath(text.strip())
    if ending_of(path) not in _ENDINGS or (
        any(c.isspace() for c in text) and not _exists(text)
    ):
        return
    raise ValueError(
        f"Argument `{name}` must hold texts, and the first one is the name of "
        f"a file: {name}[0]={text!r}. To read files, use "
        f"`keras_dinolm.data.read_files({name})`. If it is a text, write "
        "`Document(text)`."
    )


def _exists(path):
    try:
        return pathlib.Path(path).exists()
    except (OSError, ValueError):
        return False


def read_documents(
    corpus: Texts, title: str, show_progress: bool, name: str = "corpus"
) -> Iterator[Document]:
    """Yields each `Document`, under a progress bar."""
    documents = to_documents(corpus, name)
    yield from progress(documents, title, show_progress, corpus)


def read_texts(
    corpus: Texts,
    title: str,
    show_progress: bool,
    alternates: bool = False,
    name: str = "corpus",
) -> Iterator[str]:
    """Yields the text of each document, under a progress bar.

    With `alternates`, these follow the text, after a blank line each.
    """
    for document in read_documents(corpus, title, show_progress, name):
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
