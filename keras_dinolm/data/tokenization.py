"""From a corpus to a token store, in parallel, and safe to interrupt."""

import json
import os
import pathlib
from typing import TYPE_CHECKING

from keras_dinolm.data.arguments import check_integer
from keras_dinolm.data.corpora.documents import Texts
from keras_dinolm.data.corpora.documents import read_documents
from keras_dinolm.data.corpus_checks import check_contents
from keras_dinolm.data.paths import write_atomically
from keras_dinolm.data.shard import digest_texts
from keras_dinolm.data.shard import read_header
from keras_dinolm.data.shard import write_no_alternates
from keras_dinolm.data.token_store import HEADER
from keras_dinolm.data.token_store import VERSION
from keras_dinolm.data.token_store import TokenStore
from keras_dinolm.data.worker_pool import WorkerPool
from keras_dinolm.typing import Path

if TYPE_CHECKING:
    from keras_dinolm.models import DinoLMTokenizer


def tokenize(
    corpus: Texts,
    tokenizer: "DinoLMTokenizer",
    directory: Path,
    num_workers: int | None = None,
    shard_characters: int = 4_000_000,
    show_progress: bool = True,
) -> TokenStore:
    """Writes the token ids of a corpus to disk.

    The corpus is read once, in order, and only a few shards of text are in
    memory at a time. Shards are written by parallel processes, and each file
    appears whole or not at all. A run that was killed continues where it
    stopped: finished shards are kept, after comparing a digest of their text.
    The same call with the same corpus finds all of them (it still reads the
    corpus, to compare).

    Args:
        corpus: iterable of `str`, `Document`, or mappings with `"text"`.
            Alternates of a document are tokenized, too.
        tokenizer: a `DinoLMTokenizer`.
        directory: path of a folder that holds nothing else.
        num_workers: int. Number of processes; `0` does the work in this one.
            Defaults to the number of CPU cores (and to `0` for small
            corpora).
        shard_characters: int. A shard is closed when it holds this many
            characters. Defaults to 4 million, about a million tokens.
        show_progress: bool. Whether to show a progress bar.

    Returns:
        A `TokenStore`.

    Raises:
        ValueError: if the corpus is empty, or the directory holds tokens of
            another corpus or tokenizer.

    Example:

    ```python
    import keras_dinolm as kd

    texts = ["the cat sat on the mat", "a dog and a mat"]
    tokenizer = kd.data.train_tokenizer(texts * 9, vocabulary_size=60)
    tokens = kd.data.tokenize(texts, tokenizer, "tokens/")
    tokenizer.detokenize(tokens[0])  # "the cat sat on the mat"
    ```
    """
    if num_workers is None:
        num_workers = (
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else (os.cpu_count() or 1)
        )
    num_workers = check_integer("num_workers", num_workers, 0)
    shard_characters = check_integer("shard_characters", shard_characters, 1)
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.glob("shard-*.json")):
        _check_owner(directory, tokenizer)
    dtype = "uint16" if tokenizer.vocabulary_size() <= 65_536 else "uint32"
    settings = {
        "encoder": tokenizer.encoder_config(),
        "directory": str(directory),
        "dtype": dtype,
        "fingerprint": tokenizer.fingerprint(),
    }
    documents = read_documents(corpus, "Tokenizing", show_progress)
    headers = {}
    with WorkerPool(settings, num_workers) as pool:
        for index, batch in enumerate(_batches(documents, shard_characters)):
            old = read_header(directory, index)
            if old is None:
                pool.submit({"index": index, **batch})
            elif old["digest"] == digest_texts(**batch):
                headers[index] = old
            else:
                raise ValueError(_other_corpus(directory, f"shard {index}"))
        headers.update(pool.finish())
    shards = [headers[index] for index in range(len(headers))]
    if read_header(directory, len(shards)) is not None:
        raise ValueError(
            _other_corpus(directory, f"more than {len(shards)} shards")
        )
    check_contents(shards)
    if any("alternates" in shard for shard in shards):
        for index, shard in enumerate(shards):
            if "alternates" not in shard:
                write_no_alternates(directory, index, dtype, shard["documents"])
    header = {
        "version": VERSION,
        "fingerprint": settings["fingerprint"],
        "dtype": dtype,
        "pad_token_id": tokenizer.pad_token_id,
        "vocabulary_size": tokenizer.vocabulary_size(),
        "shard_characters": shard_characters,
        "shards": shards,
    }
    with write_atomically(directory / HEADER) as file:
        file.write(json.dumps(header, indent=1).encode())
    return TokenStore.open(directory, tokenizer)


def _check_owner(directory, tokenizer):
    old = next(
        header
        for path in sorted(directory.glob("shard-*.json"))
        if (header := read_header(directory, int(path.stem.split("-")[1])))
    )
    if old["fingerprint"] != tokenizer.fingerprint():
        raise ValueError(
            f"{directory} holds tokens of another tokenizer: fingerprint "
            f"{old['fingerprint']}, while that of the given tokenizer is "
            f"{tokenizer.fingerprint()}. Choose another directory, or remove "
            "this one to build it again."
        )


def _other_corpus(directory, what):
    return (
        f"{directory} holds tokens of another corpus (or of the same one with "
        f"another `shard_characters`): it differs at {what}. Choose another "
        "directory, or remove this one to build it again."
    )


def _batches(documents, characters):
    """Yields what makes a shard.

    Where shards are cut depends on the documents alone.
    """
    batch, size = [], 0
    for document in documents:
        batch.append(document)
        # Many tiny documents are work as well.
        size += len(document.text) + sum(map(len, document.alternates)) + 16
        if size >= characters:
            yield _batch(batch)
            batch, size = [], 0
    if batch:
        yield _batch(batch)


def _batch(documents):
    batch = {"texts": [document.text for document in documents]}
    if any(document.alternates for document in documents):
        batch["alternates"] = [document.alternates for document in documents]
    return batch
