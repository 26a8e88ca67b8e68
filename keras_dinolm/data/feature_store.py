"""`FeatureStore`: what a teacher says of the documents of a token store."""

import json
import os
import pathlib
import zlib
from typing import Any

import numpy as np

from keras_dinolm import arguments
from keras_dinolm.data.feature_rows import FeatureRows
from keras_dinolm.data.feature_shards import DTYPE
from keras_dinolm.data.feature_shards import read_settings
from keras_dinolm.data.feature_shards import read_shard
from keras_dinolm.data.token_store import TokenStore
from keras_dinolm.typing import Path

# Purpose of the draw, see `layout`.
_FEATURE_ORDER = 1008


class FeatureStore:
    """Features of a teacher on disk; made by `teacher_features`.

    They are float16 and memory-mapped. Documents come in a random order, so
    that a part of them is a sample of the corpus. Use `FeatureStore.open`.

    Args:
        directory: path of the folder.
        settings: dict. What `settings.json` there holds.
        shards: list of the headers of its shards.
        lengths: int32 array, tokens of each document of the token store.

    Attributes:
        directory: path of the folder.
        fingerprint: str. That of the teacher.
        store_fingerprint: str. That of the token store and its texts.
        dim: int. Size of the features.
        num_documents: int. Documents of the token store.
        num_done: int. How many of them have features.
        num_cut: int. How many of these are longer than the teacher reads.
        num_uncovered: int. Tokens without features, as the teacher has none
            there. Their rows are zeros.
        has_tokens: bool. Whether there are features of tokens.
        documents: int64 array `[num_done]`. The documents that have features.
        pooled: float16 `[num_done, dim]`, one row for each of `documents`. An
            array on disk: index it, or use `np.asarray`.
        tokens: float16 `[tokens of documents, dim]`, one row for each token
            of `documents`, in their order; `None` if there are none.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    texts = ["the cat sat on the mat", "a dog and a mat", "the dog"]
    tokenizer = kd.data.train_tokenizer(texts * 9, vocabulary_size=60)
    tokens = kd.data.tokenize(texts, tokenizer, "tokens/")

    def lengths(texts):
        return np.array([[len(text)] for text in texts], "float32")

    kd.data.teacher_features(lengths, texts, tokens, "features/")
    features = kd.data.FeatureStore.open("features/", tokens)
    features.pooled_of([0, 2])  # [[22], [7]]
    ```
    """

    def __init__(
        self,
        directory: Path,
        settings: dict[str, Any],
        shards: list[dict[str, Any]],
        lengths: np.ndarray,
    ):
        directory = arguments.path("directory", directory)
        self.directory = pathlib.Path(os.path.abspath(directory))
        self.settings = settings
        self.shards = shards
        self.lengths = np.asarray(lengths)
        self.fingerprint = settings["teacher"]
        self.store_fingerprint = settings["store"]
        self.dim = settings["dim"]
        self.num_documents = settings["num_documents"]
        self.num_done = sum(shard["documents"] for shard in shards)
        self.num_cut = sum(shard["cut"] for shard in shards)
        self.num_uncovered = sum(shard["uncovered"] for shard in shards)
        order = feature_order(self.lengths, settings["seed"])
        self.documents = order[: self.num_done]
        self._row = np.full(self.num_documents, -1, dtype="int64")
        self._row[self.documents] = np.arange(self.num_done)
        self.pooled = FeatureRows(
            self.directory,
            "pooled",
            [shard["documents"] for shard in shards],
            self.dim,
        )
        self.has_tokens = bool(settings["tokens"])
        self.tokens: FeatureRows | None = None
        if self.has_tokens:
            self.tokens = FeatureRows(
                self.directory,
                "tokens",
                [shard["tokens"] for shard in shards],
                self.dim,
            )
            ends = np.cumsum(self.lengths[self.documents], dtype="int64")
            self._first_token = ends - self.lengths[self.documents]

    def __reduce__(self):
        state = (self.directory, self.settings, self.shards, self.lengths)
        return _restored, (state, self.has_tokens)

    @classmethod
    def open(
        cls, directory: Path, tokens: TokenStore, verify: bool = True
    ) -> "FeatureStore":
        """Opens the features that have been computed so far.

        Args:
            directory: path of the folder.
            tokens: `TokenStore` whose documents they are of.
            verify: bool. Whether to compare the checksums of all files now.
                `False` compares sizes only. Defaults to `True`.

        Returns:
            A `FeatureStore`.

        Raises:
            FileNotFoundError: if there are no features.
            ValueError: if they are of other texts or tokens, or damaged.
        """
        directory = arguments.path("directory", directory)
        verify = arguments.flag("verify", verify)
        check_tokens(tokens)
        settings = read_settings(directory)
        if settings["store"] != store_fingerprint(tokens):
            raise ValueError(
                f"{directory} holds features of the documents of another "
                f"token store than {tokens.directory}: of other texts, or of "
                "another tokenizer. Compute them in another directory with "
                "`keras_dinolm.data.teacher_features`."
            )
        shards = []
        while True:
            shard = read_shard(directory, len(shards), settings["dim"], verify)
            if shard is None:
                break
            shards.append(shard)
        if not shards:
            raise FileNotFoundError(
                f"No teacher features in {directory} are finished. Call "
                "`keras_dinolm.data.teacher_features` again to resume."
            )
        return cls(directory, settings, shards, tokens.lengths())

    def without_tokens(self) -> "FeatureStore":
        """The same features of documents, without those of tokens."""
        state = (self.directory, self.settings, self.shards, self.lengths)
        return _restored(state, False)

    def has(self, documents: Any) -> np.ndarray:
        """Whether each of some documents has features.

        Args:
            documents: integers, numbers of documents of the token store.

        Returns:
            bool array of the same shape.
        """
        return self._row[np.asarray(documents)] >= 0

    def pooled_of(self, documents: Any) -> np.ndarray:
        """Features of documents.

        Args:
            documents: integers `[n]`, numbers of documents of the token store.

        Returns:
            float16 array `[n, dim]`; zeros for those that have none.
        """
        rows = self._row[np.asarray(documents)]
        found = np.zeros((*rows.shape, self.dim), DTYPE)
        found[rows >= 0] = self.pooled[rows[rows >= 0]]
        return found

    def tokens_of(self, documents: Any, positions: Any) -> np.ndarray:
        """Features of some tokens of documents.

        Args:
            documents: integers `[n]`, numbers of documents of the token store.
            positions: integers `[n, ...]`, the places of tokens in them.

        Returns:
            float16 array `[n, ..., dim]`; zeros for those that have none, and
            for positions outside of the document.

        Raises:
            ValueError: if there are no features of tokens.
        """
        if self.tokens is None:
            raise ValueError(
                f"{self.directory} holds no features of tokens. Compute them "
                "with `teacher_features(..., tokenizer=)`, in another "
                "directory."
            )
        documents, positions = np.asarray(documents), np.asarray(positions)
        shape = (len(documents),) + (1,) * (positions.ndim - 1)
        rows = self._row[documents].reshape(shape)
        sizes = self.lengths[documents].reshape(shape)
        there = (rows >= 0) & (positions >= 0) & (positions < sizes)
        places = self._first_token[rows] + positions
        found = np.zeros((*positions.shape, self.dim), DTYPE)
        found[there] = self.tokens[places[there]]
        return found

    def origin(self) -> dict[str, Any]:
        """What tells these features apart from others; for run folders."""
        return {
            "teacher": self.fingerprint,
            "store": self.store_fingerprint,
            "documents": self.num_done,
            "tokens": self.has_tokens,
        }

    def __repr__(self) -> str:
        what = "documents and tokens" if self.has_tokens else "documents"
        return (
            f"<FeatureStore {self.directory}: {self.num_done:,} of "
            f"{self.num_documents:,} documents, {self.dim} numbers for "
            f"{what}>"
        )


def feature_order(lengths: np.ndarray, seed: int) -> np.ndarray:
    """The order in which documents get features: int64, without empty ones.

    Args:
        lengths: integers, tokens of each document.
        seed: int.
    """
    # Imported late, as views import Keras.
    from keras_dinolm.views.namespace import NUMPY
    from keras_dinolm.views.random import fold
    from keras_dinolm.views.random import permutation
    from keras_dinolm.views.random import stream

    key = fold(stream(seed, 0, NUMPY), _FEATURE_ORDER, NUMPY)
    order = np.asarray(permutation(key, len(lengths), NUMPY), dtype="int64")
    return order[lengths[order] > 0]


def store_fingerprint(tokens: TokenStore) -> str:
    """What tells a token store and its texts apart.

    Args:
        tokens: `TokenStore`.
    """
    checksum = zlib.crc32(json.dumps(tokens.shards).encode())
    return f"{tokens.fingerprint}-{tokens.num_documents}-{checksum:08x}"


def check_tokens(tokens: Any) -> None:
    """Raises a `ValueError` unless this is a token store."""
    arguments.instance(
        "tokens",
        tokens,
        TokenStore,
        "a `TokenStore`, from `keras_dinolm.data.tokenize`",
    )


def _restored(state, has_tokens):
    directory, settings, shards, lengths = state
    settings = {**settings, "tokens": has_tokens}
    return FeatureStore(directory, settings, shards, lengths)
