"""Token ids on disk, opened as memory maps."""

import json
import pathlib
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from keras_dinolm.data.shard import alternates_paths
from keras_dinolm.data.shard import shard_paths
from keras_dinolm.typing import Path

if TYPE_CHECKING:
    from keras_dinolm.models import DinoLMTokenizer

HEADER = "header.json"
VERSION = 1


class TokenStore:
    """A tokenized corpus on disk; made by `keras_dinolm.data.tokenize`.

    Nothing is loaded before it is used, so a store may be much larger than
    memory. Documents keep the order and number of the corpus. Empty ones have
    no tokens.

    Args:
        directory: path of the folder.
        header: dict. What `header.json` there holds.

    Attributes:
        directory: path of the folder.
        fingerprint: str. That of the tokenizer.
        dtype: `"uint16"` or `"uint32"`, of the ids on disk.
        num_documents: int. Number of documents.
        num_tokens: int. Number of tokens, without those of alternates.
        num_sentences: int. Number of sentences.
        num_empty: int. Number of documents without a token.
        num_alternates: int. Number of other texts of the same documents.
        num_alternate_tokens: int. Number of tokens of these.
        most_alternates: int. The most alternates that a document has.

    Example:

    ```python
    import keras_dinolm as kd

    texts = ["the cat sat. the cat ran.", "a mat"]
    tokenizer = kd.data.train_tokenizer(texts * 9, vocabulary_size=60)
    kd.data.tokenize(texts, tokenizer, "tokens/")

    store = kd.data.TokenStore.open("tokens/", tokenizer)
    store[0]  # ids of the first document, int32 [T]
    store.sentence_starts(0)  # index of each sentence's first token
    ```
    """

    def __init__(self, directory: Path, header: dict[str, Any]):
        self.directory = pathlib.Path(directory)
        self.header = header
        self.fingerprint = header["fingerprint"]
        self.dtype = header["dtype"]
        self.shards = header["shards"]
        counts = [shard["documents"] for shard in self.shards]
        self._first = np.cumsum([0, *counts])
        self.num_documents = int(self._first[-1])
        self.num_tokens = sum(shard["tokens"] for shard in self.shards)
        self.num_sentences = sum(shard["sentences"] for shard in self.shards)
        self.num_empty = sum(shard["empty"] for shard in self.shards)
        self.num_alternates = sum(
            shard.get("alternates", 0) for shard in self.shards
        )
        self.num_alternate_tokens = sum(
            shard.get("alternate_tokens", 0) for shard in self.shards
        )
        self.most_alternates = max(
            (shard.get("most_alternates", 0) for shard in self.shards),
            default=0,
        )
        self._maps: dict[int, tuple[np.ndarray, ...]] = {}
        self._alternate_maps: dict[int, tuple[np.ndarray, ...]] = {}

    @classmethod
    def open(
        cls, directory: Path, tokenizer: "DinoLMTokenizer | None" = None
    ) -> "TokenStore":
        """Opens a finished store.

        Args:
            directory: path of the folder.
            tokenizer: the tokenizer whose ids are expected, or `None` for
                no check. Defaults to `None`.

        Returns:
            A `TokenStore`.

        Raises:
            FileNotFoundError: if there is no finished store, or a file of it
                is missing or has the wrong size.
            ValueError: if the store was built with another tokenizer, or
                with another version of this library's format.
        """
        directory = pathlib.Path(directory)
        path = directory / HEADER
        if not path.exists():
            begun = any(directory.glob("shard-*"))
            raise FileNotFoundError(
                f"No finished token store in {directory}"
                + (" (it was begun, but interrupted)" if begun else "")
                + ". Build it with `keras_dinolm.data.tokenize(corpus, "
                f"tokenizer, {str(directory)!r})`."
            )
        try:
            header = json.loads(path.read_text())
            version = header["version"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is not the header of a token store ({error}). Remove "
                "the folder and build it again."
            ) from error
        if version != VERSION:
            raise ValueError(
                f"The token store {directory} has format {version}, this "
                f"version of keras_dinolm reads format {VERSION}. Remove the "
                "folder and build it again."
            )
        store = cls(directory, header)
        store._check_files()
        if tokenizer is not None:
            store.check_tokenizer(tokenizer)
        return store

    def check_tokenizer(self, tokenizer: "DinoLMTokenizer") -> None:
        """Raises `ValueError` if the ids are not those of `tokenizer`.

        Args:
            tokenizer: `DinoLMTokenizer`.
        """
        if tokenizer.fingerprint() != self.fingerprint:
            raise ValueError(
                f"The token store {self.directory} was built with another "
                f"tokenizer: its fingerprint is {self.fingerprint}, that of "
                f"the given tokenizer is {tokenizer.fingerprint()}. Use the "
                "tokenizer it was built with, or build a store for this one "
                "with `keras_dinolm.data.tokenize` in another directory (or "
                "remove this one)."
            )

    def _check_files(self):
        size = np.dtype(self.dtype).itemsize
        for index, shard in enumerate(self.shards):
            expected = (
                shard["tokens"] * size,
                shard["documents"] * 4,
                shard["sentences"] * 4,
            )
            paths = shard_paths(self.directory, index)[:3]
            if self.num_alternates:
                paths += alternates_paths(self.directory, index)
                expected += (
                    shard.get("alternate_tokens", 0) * size,
                    shard.get("alternates", 0) * 4,
                    shard["documents"] * 4,
                )
            for path, length in zip(paths, expected, strict=True):
                actual = path.stat().st_size if path.exists() else None
                if actual != length:
                    state = (
                        "is missing"
                        if actual is None
                        else (f"has {actual:,} bytes instead of {length:,}")
                    )
                    raise FileNotFoundError(
                        f"The token store {self.directory} is damaged: "
                        f"{path.name} {state}. Remove the folder and build it "
                        "again with `keras_dinolm.data.tokenize`."
                    )

    def shard(self, index: int) -> tuple[np.ndarray, ...]:
        """Memory maps of a shard: ids, lengths, sentence starts.

        Args:
            index: int. The number of the shard.
        """
        if index not in self._maps:
            paths = shard_paths(self.directory, index)[:3]
            self._maps[index] = self._map(paths)
        return self._maps[index]

    def shard_alternates(self, index: int) -> tuple[np.ndarray, ...]:
        """Memory maps of a shard's alternates, of a store that has some.

        Args:
            index: int. The number of the shard.

        Returns:
            Ids of all alternates in the order of the documents; length of
            each alternate; how many each document has.
        """
        if index not in self._alternate_maps:
            paths = alternates_paths(self.directory, index)
            self._alternate_maps[index] = self._map(paths)
        return self._alternate_maps[index]

    def _map(self, paths):
        types = (f"<u{np.dtype(self.dtype).itemsize}", "<i4", "<i4")
        return tuple(
            # An empty file cannot be mapped.
            np.memmap(path, dtype, "r")
            if path.stat().st_size
            else np.zeros(0, dtype)
            for path, dtype in zip(paths, types, strict=True)
        )

    def __len__(self) -> int:
        return self.num_documents

    def _find(self, index):
        """Number of a document's shard, and its place there."""
        if not -len(self) <= index < len(self):
            raise IndexError(
                f"Document {index} of a store of {len(self):,} documents"
            )
        index %= len(self)
        number = int(np.searchsorted(self._first, index, side="right")) - 1
        return number, index - int(self._first[number])

    def _bounds(self, lengths, place):
        start = int(lengths[:place].sum(dtype="int64"))
        return start, start + int(lengths[place])

    def __getitem__(self, index: int) -> np.ndarray:
        number, place = self._find(index)
        ids, lengths, _ = self.shard(number)
        start, stop = self._bounds(lengths, place)
        return np.array(ids[start:stop], dtype="int32")

    def sentence_starts(self, index: int) -> np.ndarray:
        """Where sentences begin, in tokens from the start of a document.

        Args:
            index: int. The number of the document.
        """
        number, place = self._find(index)
        _, lengths, sentences = self.shard(number)
        start, stop = self._bounds(lengths, place)
        low, high = np.searchsorted(sentences, [start, stop])
        return np.array(sentences[low:high] - start, dtype="int32")

    def alternates(self, index: int) -> list[np.ndarray]:
        """Ids of a document's alternates: a list of int32 arrays.

        Args:
            index: int. The number of the document.
        """
        number, place = self._find(index)
        if not self.num_alternates:
            return []
        ids, lengths, counts = self.shard_alternates(number)
        first, last = self._bounds(counts, place)
        bounds = [self._bounds(lengths, i) for i in range(first, last)]
        return [np.array(ids[a:b], dtype="int32") for a, b in bounds]

    def lengths(self) -> np.ndarray:
        """Number of tokens of each document: int32 [num_documents]."""
        arrays = [self.shard(i)[1] for i in range(len(self.shards))]
        return np.concatenate([np.zeros(0, "int32"), *arrays])

    def __repr__(self) -> str:
        return (
            f"<TokenStore {self.directory}: {self.num_documents:,} documents, "
            f"{self.num_tokens:,} tokens, {len(self.shards)} shards>"
        )
