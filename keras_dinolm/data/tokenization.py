"""From a corpus to a token store, in parallel, and safe to interrupt."""

import json
import os
import pathlib
import pickle
import queue
import subprocess
import sys
import threading
import warnings

from keras_dinolm.data.corpora.documents import read_documents
from keras_dinolm.data.paths import write_atomically
from keras_dinolm.data.shard import digest_texts
from keras_dinolm.data.shard import read_header
from keras_dinolm.data.shard import write_no_alternates
from keras_dinolm.data.shard import write_shard
from keras_dinolm.data.token_store import HEADER
from keras_dinolm.data.token_store import VERSION
from keras_dinolm.data.token_store import TokenStore
from keras_dinolm.text.encoder import Encoder

# Below, starting processes takes longer than the work.
_WORTH_A_PROCESS = 2_000_000


def tokenize(
    corpus,
    tokenizer,
    directory,
    num_workers=None,
    shard_characters=4_000_000,
    show_progress=True,
):
    """Writes the token ids of a corpus to disk.

    The corpus is read once, in order, and never held: a few shards of text
    are in memory at a time. Shards are written by parallel processes, each file
    appears whole or not at all, and a run that was killed goes on where it
    stopped: shards that are there are kept, after comparing a digest of their
    text. The same call again, with the same corpus, finds all of them there
    (it still reads the corpus, to compare).

    Args:
        corpus: iterable of `str`, `Document`, or mappings with `"text"`.
            Alternates of a document are tokenized, too.
        tokenizer: a `DinoLMTokenizer`.
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
    if num_workers < 0 or shard_characters < 1:
        raise ValueError(
            "`num_workers` must be at least 0 and `shard_characters` at least "
            f"1. Received: num_workers={num_workers}, "
            f"shard_characters={shard_characters}"
        )
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.glob("shard-*.json")):
        _check_owner(directory, tokenizer)
    settings = {
        "encoder": tokenizer.encoder_config(),
        "directory": str(directory),
        "dtype": "uint16"
        if tokenizer.vocabulary_size() <= 65_536
        else "uint32",
        "fingerprint": tokenizer.fingerprint(),
    }
    documents = read_documents(corpus, "Tokenizing", show_progress)
    headers = {}
    with _Pool(settings, num_workers) as pool:
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
    _check_contents(shards, directory)
    if any("alternates" in shard for shard in shards):
        for index, shard in enumerate(shards):
            if "alternates" not in shard:
                write_no_alternates(
                    directory, index, settings["dtype"], shard["documents"]
                )
    header = {
        "version": VERSION,
        "fingerprint": settings["fingerprint"],
        "dtype": settings["dtype"],
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
            "this one to build it anew."
        )


def _other_corpus(directory, what):
    return (
        f"{directory} holds tokens of another corpus (or of the same one with "
        f"another `shard_characters`): it differs at {what}. Choose another "
        "directory, or remove this one to build it anew."
    )


def _check_contents(shards, directory):
    documents = sum(shard["documents"] for shard in shards)
    tokens = sum(shard["tokens"] for shard in shards)
    if tokens == 0:
        raise ValueError(
            "The corpus is empty: nothing to tokenize. Received: "
            f"{documents} documents with 0 tokens. Check the path or the "
            "iterable (an iterator can be read only once)."
        )
    empty = sum(shard["empty"] for shard in shards)
    if empty:
        warnings.warn(
            f"{empty:,} of {documents:,} documents have no token (they are "
            "empty, or only white space); they stay in the store, and give no "
            "training window.",
            stacklevel=3,
        )
    distinct = sum(shard["distinct"] for shard in shards)
    if documents > 1 and distinct <= documents / 2:
        warnings.warn(
            f"Of {documents:,} documents only {distinct:,} are distinct. "
            "Copies teach nothing, and are pushed apart by KoLeo and InfoNCE. "
            "Remove them first: `keras_dinolm.data.find_near_duplicates`.",
            stacklevel=3,
        )
    unknown = sum(
        shard["unknown"] + shard.get("alternate_unknown", 0) for shard in shards
    )
    tokens += sum(shard.get("alternate_tokens", 0) for shard in shards)
    if unknown > 0.05 * tokens:
        warnings.warn(
            f"{unknown / tokens:.0%} of {tokens:,} tokens are [UNK]: the "
            "tokenizer does not fit this corpus. Train one on it with "
            "`keras_dinolm.data.train_tokenizer` (with a larger "
            "`alphabet_size`, if the writing system needs it).",
            stacklevel=3,
        )


def _batches(documents, characters):
    """What makes a shard; where it is cut depends on the documents alone."""
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


class _Pool:
    """Writes shards in worker processes, or here if there are none.

    Each worker has a thread that hands it one shard at a time; the queue is
    short, so reading the corpus waits for the workers.
    """

    def __init__(self, settings, num_workers):
        self.settings = settings
        self.num_workers = num_workers
        self.jobs = queue.Queue(maxsize=1)
        self.headers = {}
        self.errors = []
        self.threads = []
        self.processes = []
        self.encoder = None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None:
            for process in self.processes:
                process.kill()
        self._join()

    def submit(self, job):
        self._raise()
        self._raise()
        characters = sum(map(len, job["texts"]))
        for alternates in job.get("alternates", ()):
            characters += sum(map(len, alternates))
        small = job["index"] == 0 and characters < _WORTH_A_PROCESS
        if self.num_workers == 0 or small:
            if self.encoder is None:
                self.encoder = Encoder(**self.settings["encoder"])
            settings = {**self.settings, "encoder": self.encoder}
            self.headers[job["index"]] = write_shard(**settings, **job)
            return
        if len(self.threads) < self.num_workers:
            self._start()
        while True:
            try:
                self.jobs.put(job, timeout=1.0)
                return
            except queue.Full:
                self._raise()

    def finish(self):
        self._join()
        self._raise()
        return self.headers

    def _start(self):
        root = str(pathlib.Path(__file__).resolve().parents[2])
        paths = [root, os.environ.get("PYTHONPATH", "")]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "keras_dinolm.data.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        thread = threading.Thread(
            target=self._serve, args=(process,), daemon=True
        )
        self.processes.append(process)
        self.threads.append(thread)
        thread.start()

    def _serve(self, process):
        try:
            pickle.dump(self.settings, process.stdin)
            while (job := self.jobs.get()) is not None:
                pickle.dump(job, process.stdin)
                process.stdin.flush()
                answer = pickle.load(process.stdout)
                if isinstance(answer, Exception):
                    raise answer
                self.headers[job["index"]] = answer
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            self.errors.append(
                RuntimeError(
                    "A tokenizer process died (killed, or out of memory?): "
                    f"exit status {process.poll()}. Finished shards are "
                    "kept: call `tokenize` again to go on, perhaps with fewer "
                    f"`num_workers`. ({type(error).__name__}: {error})"
                )
            )
        except Exception as error:
            self.errors.append(error)
        finally:
            try:
                process.stdin.close()
            except OSError:
                pass
            process.wait()

    def _join(self):
        while any(thread.is_alive() for thread in self.threads):
            try:
                self.jobs.put(None, timeout=0.1)
            except queue.Full:
                pass
        for thread in self.threads:
            thread.join()
        for process in self.processes:
            process.stdout.close()
        self.threads, self.processes = [], []

    def _raise(self):
        if self.errors:
            raise self.errors[0]
