"""What `pretrain` accepts as texts, and what of it is held out."""

import hashlib
import json
import os
import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_dinolm import files
from keras_dinolm.data import Corpus
from keras_dinolm.data import Document
from keras_dinolm.data import read_files
from keras_dinolm.data.corpora.documents import to_documents

# Held out: this many texts at most, which is enough to measure a search on.
MOST_HELD_OUT = 1_000


def read_texts(texts: Any, name: str = "texts") -> Corpus | list[Document]:
    """Texts as they were given to `pretrain`, readable more than once.

    Args:
        texts: path of a file or folder, or iterable of strings, `Document`
            or mappings with `"text"`.
        name: string. The argument, for the messages.

    Returns:
        A re-iterable corpus, or a list of `Document`.

    Raises:
        FileNotFoundError: for a path that does not exist.
        ValueError: for anything else.
    """
    if isinstance(texts, os.PathLike):
        return read_files(texts)
    if isinstance(texts, str):
        if not _exists(texts):
            shown = texts if len(texts) <= 60 else texts[:57] + "..."
            raise FileNotFoundError(
                f"Argument `{name}` is a single string, so it must be the path "
                "of a file or folder, and there is none of that name in "
                f"{pathlib.Path.cwd()}. For texts, pass a list of strings. "
                f"Received: {name}={shown!r}"
            )
        return read_files(texts)
    if isinstance(texts, bytes | dict) or not isinstance(texts, Iterable):
        raise ValueError(
            f"Argument `{name}` must be a list of strings (or of `Document`, "
            "or any iterable of them), or the path of a file or folder. "
            f"Received: {name} of type {type(texts).__name__}"
        )
    if isinstance(texts, Corpus):
        return texts
    try:
        return list(to_documents(texts, name))
    except ValueError as error:
        raise ValueError(
            f"Argument `{name}` must hold strings, `Document` or mappings with "
            f"a string under 'text'. {error}"
        ) from None


def split_held_out(
    documents: Corpus | list[Document], share: float
) -> tuple[Corpus | list[Document], list[Document]]:
    """Texts to train on, and texts held out.

    Which texts are held out depends on their number alone, so that the same
    call finds the same ones.

    Args:
        documents: re-iterable of `Document`.
        share: float in [0, 1). At most `MOST_HELD_OUT` texts are held out.

    Returns:
        A pair of re-iterables of `Document`.
    """
    if not share:
        return documents, []
    documents = list(documents)
    count = min(int(share * len(documents)), MOST_HELD_OUT)
    order = np.random.default_rng(0).permutation(len(documents))
    chosen = set(order[:count].tolist())
    train = [d for i, d in enumerate(documents) if i not in chosen]
    return train, [documents[i] for i in sorted(chosen)]


def survey(corpus: Iterable[Document]) -> tuple[str, int]:
    """Reads a corpus once.

    Args:
        corpus: iterable of `Document`.

    Returns:
        A digest of all texts in their order, 16 hexadecimal digits, and how
        many texts there are that are not only white space.
    """
    digest, usable = hashlib.sha256(), 0
    for document in corpus:
        usable += not document.text.isspace() and bool(document.text)
        for text in (document.text, *document.alternates):
            data = text.encode("utf-8", "surrogatepass")
            digest.update(b"%d\n" % len(data) + data)
    return digest.hexdigest()[:16], usable


def write_documents(path: pathlib.Path, documents: list[Document]) -> None:
    """Writes documents as JSON lines, which `read_documents_of` reads.

    Args:
        path: path of the file.
        documents: list of `Document`.
    """
    with files.write_file(path, "w") as file:
        for d in documents:
            record = {"text": d.text, "id": d.id, "label": d.label}
            file.write(json.dumps(record) + "\n")


def read_documents_of(path: pathlib.Path) -> list[Document]:
    """Reads what `write_documents` wrote.

    Args:
        path: path of the file.

    Returns:
        A list of `Document`.

    Raises:
        ValueError: naming the file and the line of what is no document.
    """
    documents = []
    for index, record in enumerate(files.read_json_lines(path), 1):
        if not isinstance(record, dict) or not (
            isinstance(record.get("text"), str)
            and set(record) == {"text", "id", "label"}
        ):
            raise ValueError(
                f"'{path}', record {index}: no held-out text. Repeat the "
                "command of the run, which writes the file again."
            )
        documents.append(Document(**record))
    return documents


def _exists(path: str) -> bool:
    try:
        return pathlib.Path(path).exists()
    except (OSError, ValueError):  # a text, too long for a name
        return False
