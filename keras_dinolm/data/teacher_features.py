"""`teacher_features`: a teacher reads the documents of a token store once."""

import contextlib
import time
import warnings
from typing import Any

import numpy as np

from keras_dinolm import arguments
from keras_dinolm import files
from keras_dinolm.data.corpora.documents import Texts
from keras_dinolm.data.corpora.documents import to_documents
from keras_dinolm.data.feature_shards import DTYPE
from keras_dinolm.data.feature_shards import FORMAT
from keras_dinolm.data.feature_shards import KIND
from keras_dinolm.data.feature_shards import PATTERNS
from keras_dinolm.data.feature_shards import SETTINGS
from keras_dinolm.data.feature_shards import read_settings
from keras_dinolm.data.feature_shards import read_shard
from keras_dinolm.data.feature_shards import write_shard
from keras_dinolm.data.feature_store import FeatureStore
from keras_dinolm.data.feature_store import check_tokens
from keras_dinolm.data.feature_store import feature_order
from keras_dinolm.data.feature_store import store_fingerprint
from keras_dinolm.data.shard import digest_texts
from keras_dinolm.data.token_store import TokenStore
from keras_dinolm.teachers.alignment import align_features
from keras_dinolm.teachers.get import get
from keras_dinolm.teachers.pieces import TokenSpans
from keras_dinolm.teachers.teacher import Teacher
from keras_dinolm.typing import Path

# A shard is what a killed call loses: a part of the whole, within these bounds.
_SHARDS, _FEWEST, _MOST = 128, 64, 1_024
_LARGEST = float(np.finfo("float16").max)
# Features whose largest number is smaller have too few digits in float16.
_SMALLEST = 2.0**-12


def teacher_features(
    teacher: Any,
    texts: Texts,
    tokens: TokenStore,
    directory: Path,
    tokenizer: Any = None,
    max_documents: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    show_progress: bool = False,
) -> FeatureStore:
    """Computes what a fixed teacher says of documents, once, and keeps it.

    A teacher takes most of the time of a distillation. Its features do not
    change, so they are written to disk beside the token store: float16, one
    row a document and, on demand, one row a token. `view_dataset(features=)`
    reads them from there.

    Documents come in a random order, so that the first ones are a sample of
    the corpus. The work is done in shards, and each appears whole or not at
    all. A call that was killed resumes where it stopped, with the same result
    to the bit. A call with more `max_documents` or more time adds to what is
    there.

    The teacher's tokens need not be those of the store. A token gets the mean
    of the teacher's tokens that share characters with it. Where there are
    none, also behind the end of what the teacher reads, it gets zeros.

    Args:
        teacher: what `keras_dinolm.teachers.get` takes, or what it returned.
        texts: the corpus that the token store was made of, in the same
            order. It should be of short texts, see
            `keras_dinolm.data.passages`. All of it is held in memory.
        tokens: `TokenStore`.
        directory: path of a folder for these features alone.
        tokenizer: the tokenizer of the store. With it, features of tokens are
            computed, too, if the teacher has them. Defaults to `None`.
        max_documents: int. How many documents get features, at most. Defaults
            to `None`: all.
        seconds: number. Stops before a shard that would end later than that
            (the first one is always computed). Defaults to `None`.
        seed: int. Of the order of the documents. Defaults to `0`.
        show_progress: bool. Whether to show a progress bar. Defaults to
            `False`.

    Returns:
        A `FeatureStore`.

    Raises:
        ValueError: if `texts` are not those of the store, the folder holds
            features of another teacher, store or seed, or a feature is NaN,
            infinite, or no number of float16; it names the text.
        OSError: if the disk has no room. Finished shards stay.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    texts = ["the cat sat on the mat", "a dog and a mat", "the dog"]
    tokenizer = kd.data.train_tokenizer(texts * 9, vocabulary_size=60)
    tokens = kd.data.tokenize(texts, tokenizer, "tokens/")

    def lengths(texts):  # or the folder of an encoder
        return np.array([[len(text)] for text in texts], "float32")

    features = kd.data.teacher_features(lengths, texts, tokens, "features/")
    features.pooled_of([0, 1, 2])  # [[22], [15], [7]]
    ```
    """
    begin = time.perf_counter()
    budget = np.inf
    directory = arguments.path("directory", directory).absolute()
    check_tokens(tokens)
    seed = arguments.integer("seed", seed, 0, (1 << 63) - 1)
    show_progress = arguments.flag("show_progress", show_progress)
    if max_documents is not None:
        max_documents = arguments.integer("max_documents", max_documents, 1)
    if seconds is not None:
        budget = arguments.number("seconds", seconds, 0)
    if tokenizer is not None:
        tokens.check_tokenizer(tokenizer)
    teacher = get(teacher)
    documents = _same_texts(texts, tokens)
    lengths = tokens.lengths()
    order = feature_order(lengths, seed)
    wanted = len(order)
    if max_documents is not None:
        wanted = min(wanted, max_documents)
    with teacher.silence():
        dim = teacher.encode([documents[order[0]].text]).shape[1]
    spans = None
    if tokenizer is not None and teacher.has_tokens:
        spans = TokenSpans(tokenizer)
    settings = {
        "format": FORMAT,
        "teacher": teacher.fingerprint(),
        "store": store_fingerprint(tokens),
        "num_documents": tokens.num_documents,
        "dim": dim,
        "dtype": DTYPE.name,
        "tokens": spans is not None,
        "seed": seed,
        "shard_documents": min(max(len(order) // _SHARDS, _FEWEST), _MOST),
    }
    files.claim_folder(directory, KIND, PATTERNS)
    with files.lock(directory / ".lock", None, "folder of teacher features"):
        _compare_settings(directory, settings)
        shards = _finished(directory, settings, lengths, order)
        work = _Work(directory, settings, teacher, tokens, documents, spans)
        work.repair(shards, order)
        done = sum(shard["documents"] for shard in shards)
        if seconds is None:
            _check_space(directory, settings, lengths[order[done:wanted]])
        longest = 0.0
        with _bar(wanted, done, show_progress) as bar:
            while done < wanted:
                start = time.perf_counter()
                if shards and start - begin + longest > budget:
                    break
                size = min(settings["shard_documents"], wanted - done)
                shards.append(work.shard(len(shards), order[done:][:size]))
                done += size
                bar.update(size)
                longest = max(longest, time.perf_counter() - start)
    store = FeatureStore(directory, settings, shards, lengths)
    if store.num_cut:
        warnings.warn(
            f"{store.num_cut:,} of {store.num_done:,} documents are longer "
            "than the teacher reads. What follows is in no feature, and the "
            "tokens there have zeros. Cut the documents before you tokenize "
            "them: `keras_dinolm.data.passages`.",
            stacklevel=2,
        )
    return store


class _Work:
    """Computes and writes shards."""

    def __init__(self, directory, settings, teacher, tokens, documents, spans):
        self.directory = directory
        self.settings = settings
        self.teacher: Teacher = teacher
        self.tokens = tokens
        self.documents = documents
        self.spans = spans

    def shard(self, index, numbers):
        """Writes the features of some documents as a shard."""
        texts = [self.documents[number].text for number in numbers]
        with self.teacher.silence():
            before = self.teacher.num_cut
            if self.spans is None:
                pooled, found = self.teacher.encode(texts), None
            else:
                pooled, found = self.teacher.encode_both(texts)
            cut = self.teacher.num_cut - before
        _check(pooled, numbers, texts)
        rows, uncovered = None, 0
        if found is not None:
            parts = []
            for number, text, (features, spans) in zip(numbers, texts, found):
                _check(features, [number] * len(features), [text] * len(spans))
                wanted = self.spans(text, self.tokens[int(number)])
                parts.append(align_features(features, spans, wanted))
            rows = np.concatenate(parts)
            uncovered = int((~rows.any(1)).sum())
        return write_shard(
            self.directory,
            index,
            pooled,
            rows,
            {"cut": cut, "uncovered": uncovered},
        )

    def repair(self, shards, order):
        """Computes the shards again whose files are damaged."""
        first = 0
        for index, shard in enumerate(shards):
            size = shard["documents"]
            if shard.get("damaged"):
                shards[index] = self.shard(index, order[first : first + size])
            first += size


def _same_texts(texts, tokens):
    """The documents of a token store, or an error if they are others."""
    documents = list(to_documents(texts, "texts"))
    first = 0
    for shard in tokens.shards:
        part = documents[first : first + shard["documents"]]
        others = [document.alternates for document in part]
        digest = digest_texts(
            [document.text for document in part],
            others if any(others) else None,
        )
        if digest != shard["digest"]:
            raise ValueError(
                "`texts` must be the corpus that the token store was made of, "
                f"in the same order. They differ among the documents {first} "
                f"to {first + shard['documents'] - 1} of {tokens.directory}."
            )
        first += shard["documents"]
    if len(documents) != first:
        raise ValueError(
            "`texts` must be the corpus that the token store was made of. "
            f"Received: {len(documents):,} texts, and {tokens.directory} has "
            f"{first:,} documents"
        )
    return documents


def _compare_settings(directory, settings):
    """Writes the settings of new features, or refuses those of others."""
    try:
        old = read_settings(directory)
    except FileNotFoundError:
        files.write_json(directory / SETTINGS, settings)
        return
    names = {
        "teacher": "another teacher, or other settings of it",
        "store": "the documents of another token store",
        "seed": "another order of documents (`seed`)",
        "tokens": "documents alone, or also of tokens (`tokenizer`)",
    }
    for name, value in settings.items():
        if old.get(name) != value:
            raise ValueError(
                f"{directory} holds features of {names.get(name, name)}: "
                f"`{name}` is {old.get(name)!r} there and {value!r} here. "
                "Choose another directory, or remove this one."
            )


def _finished(directory, settings, lengths, order):
    """The headers of the shards that are there; damaged ones are marked."""
    shards: list[dict[str, Any]] = []
    size, done = settings["shard_documents"], 0
    while True:
        index = len(shards)
        try:
            shard = read_shard(directory, index, settings["dim"])
        except ValueError as error:
            warnings.warn(
                f"This is computed again, because it was damaged: {error}",
                stacklevel=3,
            )
            shard = {"documents": min(size, len(order) - done), "damaged": 1}
        if shard is None:
            return shards
        count = shard["documents"]
        numbers = order[done : done + count]
        expected = int(lengths[numbers].sum()) if settings["tokens"] else 0
        if len(numbers) < count or shard.get("tokens", expected) != expected:
            shard = {"documents": min(size, len(order) - done), "damaged": 1}
        if not shard["documents"]:
            return shards
        shards.append(shard)
        done += shard["documents"]


def _check(features, numbers, texts):
    """Raises if a feature cannot be kept; names its text."""
    if not len(features):
        return
    largest = np.abs(features).max(-1)
    bad = ~np.isfinite(features).all(-1)
    what = "is NaN or infinite"
    if not bad.any():
        bad = largest > _LARGEST
        what = (
            f"has a number of {largest.max():.3g}, and float16 ends at "
            f"{_LARGEST:,.0f}: divide all features by a constant"
        )
    if not bad.any() and 0 < largest.max() < _SMALLEST:
        bad = largest == largest.max()
        what = (
            f"has no number above {largest.max():.3g}, of which float16 keeps "
            "few digits: multiply all features by a constant"
        )
    if bad.any():
        place = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"The teacher's feature of document {numbers[place]} {what}. The "
            f"text: {arguments.shorten(texts[place])}"
        )


def _check_space(directory, settings, lengths):
    rows = len(lengths)
    if settings["tokens"]:
        rows += int(lengths.sum(dtype="int64"))
    size = rows * settings["dim"] * DTYPE.itemsize
    files.require_space(directory, size, "The features of the teacher")


@contextlib.contextmanager
def _bar(total, done, show):
    from tqdm import tqdm

    with tqdm(
        desc="Teacher", total=total, initial=done, unit=" doc", disable=not show
    ) as bar:
        yield bar
