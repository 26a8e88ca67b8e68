"""From a corpus to a token store, in parallel, and safe to interrupt."""

import contextlib
import os
import secrets
import warnings
from typing import TYPE_CHECKING

from keras_dinolm import arguments
from keras_dinolm import files
from keras_dinolm.data.corpora.documents import Texts
from keras_dinolm.data.corpora.documents import read_documents
from keras_dinolm.data.corpus_checks import check_contents
from keras_dinolm.data.corpus_difference import first_difference
from keras_dinolm.data.shard import check_shard_files
from keras_dinolm.data.shard import digest_texts
from keras_dinolm.data.shard import move_shard
from keras_dinolm.data.shard import read_shard_header
from keras_dinolm.data.shard import write_no_alternates
from keras_dinolm.data.store_check import shard_path
from keras_dinolm.data.store_encoder import check_tokenizer_kind
from keras_dinolm.data.store_encoder import encoder_config
from keras_dinolm.data.store_header import ALL_KINDS
from keras_dinolm.data.store_header import HEADER
from keras_dinolm.data.store_header import MOST
from keras_dinolm.data.store_header import SETTINGS
from keras_dinolm.data.store_header import check_header
from keras_dinolm.data.store_header import check_settings
from keras_dinolm.data.store_header import check_shard
from keras_dinolm.data.store_header import make_settings
from keras_dinolm.data.store_header import read_rendered
from keras_dinolm.data.store_header import render
from keras_dinolm.data.token_store import TokenStore
from keras_dinolm.data.worker_pool import WorkerPool
from keras_dinolm.files.temporary import temporary
from keras_dinolm.typing import Path

if TYPE_CHECKING:
    import keras_hub

    from keras_dinolm.models import DinoLMTokenizer

_FILES = (HEADER, SETTINGS, "shard-*")


def tokenize(
    corpus: Texts,
    tokenizer: "DinoLMTokenizer | keras_hub.tokenizers.Tokenizer",
    directory: Path,
    num_workers: int | None = None,
    shard_characters: int = 4_000_000,
    show_progress: bool = True,
) -> TokenStore:
    """Writes the token ids of a corpus to disk.

    The corpus is read once, in order, and only a few shards of text are in
    memory at a time. Shards are written by parallel processes, and each file
    appears whole or not at all. A run that was killed continues where it
    stopped: finished shards are kept, after comparing a digest of their text
    and their checksums; damaged ones are written again. The same call with the
    same corpus finds all of them (it still reads the corpus, to compare). Two
    calls for the same directory wait for each other.

    Args:
        corpus: iterable of `str`, `Document`, or mappings with `"text"`.
            Alternates of a document are tokenized, too.
        tokenizer: a `DinoLMTokenizer`, or the WordPiece, byte-pair or
            SentencePiece tokenizer of an encoder of keras-hub. Their ids are
            those of `tokenizer.tokenize`. They are slower.
        directory: path of a folder for this store alone.
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
            another corpus, tokenizer or `shard_characters`; it says how they
            differ.
        FileExistsError: if the directory holds files of these names that
            `tokenize` did not write.
        RuntimeError: if a process died, or could not be started.
        OSError: if the disk is full. Finished shards stay.

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
    num_workers = arguments.integer("num_workers", num_workers, 0, 4_096)
    shard_characters = arguments.integer(
        "shard_characters", shard_characters, 1, MOST
    )
    show_progress = arguments.flag("show_progress", show_progress)
    check_tokenizer_kind(tokenizer)
    directory = arguments.path("directory", directory).absolute()
    settings = make_settings(tokenizer, shard_characters)
    documents = read_documents(corpus, "Tokenizing", show_progress)
    if (directory / HEADER).exists() and not (directory / SETTINGS).exists():
        # Names the format of an older store, or what else it is.
        read_rendered(directory / HEADER)
    files.claim_folder(directory, "token store", _FILES)
    with _alone(directory):
        # What killed runs left, which hold the lock no more.
        files.sweep(directory)
        _compare_settings(directory, settings)
        with _scratch(directory) as scratch:
            shards = _write_shards(
                directory, scratch, settings, tokenizer, documents, num_workers
            )
        check_contents(shards)
        _write_if_other(directory / HEADER, settings | {"shards": shards})
    return TokenStore.open(directory, tokenizer)


@contextlib.contextmanager
def _alone(directory):
    """Waits until no other process tokenizes into a folder."""
    path = directory / ".lock"
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(files.lock(path, 0, "token store"))
        except files.InUseError as error:
            warnings.warn(
                f"{error} This call waits until the other one ends.",
                stacklevel=4,
            )
            stack.enter_context(files.lock(path, None, "token store"))
        yield


@contextlib.contextmanager
def _scratch(directory):
    """A folder for files that are not complete, gone at the end.

    Its last name is used once: a worker of a killed run, which still writes to
    its own folder, finds it gone.
    """
    with temporary(directory / "shards", folder=True) as folder:
        scratch = folder / secrets.token_hex(8)
        scratch.mkdir()
        yield scratch
        files.remove(folder)


def _compare_settings(directory, settings):
    """Writes the settings of a new store, or refuses those of another one."""
    path = directory / SETTINGS
    old = None
    try:
        old = check_settings(read_rendered(path), path)
    except FileNotFoundError:
        pass
    except ValueError as error:
        _warn_of_repair(error)
    if old is None:
        # Shards know their tokenizer, in case the settings are lost.
        for file in sorted(directory.glob("shard-*.json"))[:1]:
            with contextlib.suppress(ValueError):
                shard = check_shard(read_rendered(file), file)
                old = settings | {"fingerprint": shard["fingerprint"]}
    differences = [
        f"`{name}` is {old[name]!r} there and {settings[name]!r} here"
        for name in settings
        if old is not None and old[name] != settings[name]
    ]
    if differences:
        what = "with other settings"
        if old["fingerprint"] != settings["fingerprint"]:
            what = "of another tokenizer"
        raise ValueError(
            f"{directory} holds tokens {what}: {'; '.join(differences)}. "
            "Choose another directory, or remove this one to build it again."
        )
    _write_if_other(path, settings)


def _write_shards(
    directory, scratch, settings, tokenizer, documents, num_workers
):
    """Writes the shards that are missing; returns the headers of all."""
    config = encoder_config(tokenizer)
    job_settings = {
        "encoder": config,
        "scratch": str(scratch),
        "dtype": settings["dtype"],
        "fingerprint": settings["fingerprint"],
    }
    finished = _finished_shards(directory)
    headers, first = {}, 0
    batches = _batches(documents, settings["shard_characters"])
    with WorkerPool(directory, job_settings, num_workers) as pool:
        for index, batch in enumerate(batches):
            old = _old_shard(directory, index, finished)
            if old is not None and old["digest"] != digest_texts(**batch):
                raise _other_corpus(
                    directory,
                    first_difference(
                        directory, index, settings, old, batch, config, first
                    ),
                )
            if old is None or not _is_whole(directory, index, settings, old):
                pool.submit({"index": index, **batch})
            else:
                headers[index] = old
            first += len(batch["texts"])
        headers.update(pool.finish())
    shards = [headers[index] for index in range(len(headers))]
    if shard_path(directory, len(shards), "json").exists():
        raise _other_corpus(
            directory, f"it ends after {first:,} documents, and has more there"
        )
    if not any(shard["tokens"] for shard in shards):
        # Nobody shall be told that these are the tokens of another corpus.
        for name in _FILES:
            for path in directory.glob(name):
                path.unlink()
        return shards
    if any(shard["alternates"] for shard in shards):
        for index, shard in enumerate(shards):
            if not set(ALL_KINDS) <= set(shard["checksums"]):
                shards[index] = write_no_alternates(
                    scratch, index, settings["dtype"], shard
                )
                move_shard(scratch, directory, index)
    return shards


def _finished_shards(directory):
    """The headers of all shards of a finished store; a list."""
    path = directory / HEADER
    try:
        return check_header(read_rendered(path), path)["shards"]
    except FileNotFoundError:
        return []
    except ValueError as error:
        _warn_of_repair(error)
        return []


def _old_shard(directory, index, finished):
    """The header of a shard that is there, or `None`."""
    known = finished[index] if index < len(finished) else None
    try:
        return read_shard_header(directory, index) or known
    except ValueError as error:
        _warn_of_repair(error)
        if known is None:
            return None
        # What is damaged here is written again only with the same texts.
        return known | {"checksums": {}}


def _is_whole(directory, index, settings, header):
    """Whether the files of a shard are right; warns if they are not."""
    try:
        check_shard_files(directory, index, settings, header)
    except (ValueError, FileNotFoundError) as error:
        _warn_of_repair(error)
        return False
    return bool(header["checksums"])


def _warn_of_repair(error):
    warnings.warn(
        f"This is written again, because it was damaged: {error}", stacklevel=5
    )


def _write_if_other(path, value):
    data = render(value)
    if not path.is_file() or path.read_bytes() != data:
        with files.write_file(path, size=len(data)) as file:
            file.write(data)


def _other_corpus(directory, what):
    return ValueError(
        f"{directory} holds tokens of another corpus: {what}. "
        "Choose another directory, or remove this one to build it again."
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
