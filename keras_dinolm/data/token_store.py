"""Token ids on disk, opened as memory maps."""

import concurrent.futures
import functools
import os
import pathlib
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from keras_dinolm import arguments
from keras_dinolm.data.store_check import check_file
from keras_dinolm.data.store_check import damaged
from keras_dinolm.data.store_check import open_file
from keras_dinolm.data.store_check import shard_path
from keras_dinolm.data.store_check import signature
from keras_dinolm.data.store_check import type_of
from keras_dinolm.data.store_header import ALL_KINDS
from keras_dinolm.data.store_header import ALTERNATE_KINDS
from keras_dinolm.data.store_header import HEADER
from keras_dinolm.data.store_header import KINDS
from keras_dinolm.data.store_header import SETTING_NAMES
from keras_dinolm.data.store_header import SETTINGS
from keras_dinolm.data.store_header import check_header
from keras_dinolm.data.store_header import read_rendered
from keras_dinolm.data.store_header import render
from keras_dinolm.typing import Path

try:
    import resource
except ImportError:  # Windows
    resource = None

if TYPE_CHECKING:
    from keras_dinolm.models import DinoLMTokenizer

# A mapped file keeps a descriptor open. A store takes at most this share of
# those that the system allows, and this many if the system does not say.
_SHARE_OF_DESCRIPTORS = 1 / 8
_FEWEST_MAPPED, _MOST_MAPPED = 16, 1_024
# A smaller store is read before threads have started.
_WORTH_THREADS = 1 << 25


class TokenStore:
    """A tokenized corpus on disk; made by `keras_dinolm.data.tokenize`.

    Nothing is loaded before it is used, so a store may be much larger than
    memory, and only a few of its files are open at a time. Documents keep the
    order and number of the corpus. Empty ones have no tokens.

    Use `TokenStore.open`, which reads the header and looks at the files. Each
    file is compared with its checksum when it is first read, and again after
    it was replaced or written to.

    Args:
        directory: path of the folder.
        header: dict. What `header.json` there holds.

    Raises:
        ValueError: if the header is not that of a token store.

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
        directory = arguments.path("directory", directory)
        # A relative path would end with the next change of directory.
        self.directory = pathlib.Path(os.path.abspath(directory))
        self.header = check_header(header, self.directory / HEADER)
        self.fingerprint = header["fingerprint"]
        self.dtype = header["dtype"]
        self.shards = header["shards"]
        counts = [shard["documents"] for shard in self.shards]
        self._first = np.cumsum([0, *counts], dtype="int64")
        self.num_documents = self._total("documents")
        self.num_tokens = self._total("tokens")
        self.num_sentences = self._total("sentences")
        self.num_empty = self._total("empty")
        self.num_alternates = self._total("alternates")
        self.num_alternate_tokens = self._total("alternate_tokens")
        self.most_alternates = max(s["most_alternates"] for s in self.shards)
        self._kinds = tuple(ALL_KINDS if self.num_alternates else KINDS)
        # How each file was when its contents were right.
        shape = (len(self.shards), len(self._kinds))
        self._signatures = np.zeros(shape, dtype="int64")
        self._prefix = str(self.directory / "shard")
        self._map_once = functools.lru_cache(most_mapped())(self._map)

    def _total(self, name):
        return sum(shard[name] for shard in self.shards)

    def __reduce__(self):
        # Maps stay in their process.
        return TokenStore, (self.directory, self.header)

    @classmethod
    def open(
        cls,
        directory: Path,
        tokenizer: "DinoLMTokenizer | None" = None,
        verify: bool = True,
    ) -> "TokenStore":
        """Opens a finished store.

        Args:
            directory: path of the folder.
            tokenizer: the tokenizer whose ids are expected, or `None` for
                no check. Defaults to `None`.
            verify: bool. Whether to read all files now and to compare their
                checksums, at about 2 GB a second if the disk is as fast.
                `False` compares sizes only, and leaves the rest until a file
                is first read. Defaults to `True`.

        Returns:
            A `TokenStore`.

        Raises:
            FileNotFoundError: if there is no finished store, or a file of it
                is missing or has the wrong size.
            ValueError: if a file is damaged, or the store was built with
                another tokenizer or another version of this library's format.
        """
        directory = arguments.path("directory", directory)
        verify = arguments.flag("verify", verify)
        path = directory / HEADER
        if not path.exists():
            begun = any(directory.glob("shard-*"))
            raise FileNotFoundError(
                f"No finished token store in {directory}"
                + (" (it was begun, but interrupted)" if begun else "")
                + ". Build it with `keras_dinolm.data.tokenize(corpus, "
                f"tokenizer, {str(directory)!r})`."
            )
        store = cls(directory, read_rendered(path))
        # First of all what is wrong with the call, not with the files.
        if tokenizer is not None:
            store.check_tokenizer(tokenizer)
        store._check(contents=verify)
        return store

    def verify(self) -> None:
        """Reads all files again, and compares them with the header.

        Raises:
            FileNotFoundError: if a file is missing or has the wrong size.
            ValueError: if a file is damaged.
        """
        self._signatures[:] = 0
        self._check(contents=True)

    def _check(self, contents):
        places = [
            (index, kind)
            for index in range(len(self.shards))
            for kind in self._kinds
        ]

        def check(place):
            with self._open(*place, check=contents):
                pass

        # Sizes first, which takes no time.
        for place in places:
            with self._open(*place, check=False):
                pass
        if not contents:
            return
        size = np.dtype(self.dtype).itemsize
        if (self.num_tokens + self.num_alternate_tokens) * size < (
            _WORTH_THREADS
        ):
            for place in places:
                check(place)
            self._check_rendered()
            return
        with concurrent.futures.ThreadPoolExecutor() as pool:
            try:
                for _ in pool.map(check, places):
                    pass
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        self._check_rendered()

    def _check_rendered(self):
        """Compares the files from which an interrupted run continues."""
        settings = {name: self.header[name] for name in SETTING_NAMES}
        expected = {self.directory / SETTINGS: settings}
        for index, shard in enumerate(self.shards):
            expected[shard_path(self.directory, index, "json")] = shard
        for path, value in expected.items():
            # Nothing is read from them here, so they may be missing.
            if path.is_file() and path.read_bytes() != render(value):
                damaged(self.directory, path, "differs from the header")

    def check_tokenizer(self, tokenizer: "DinoLMTokenizer") -> None:
        """Raises `ValueError` if the ids are not those of `tokenizer`.

        Args:
            tokenizer: `DinoLMTokenizer`, or a tokenizer of keras-hub.
        """
        from keras_dinolm.data.store_encoder import check_tokenizer_kind
        from keras_dinolm.data.store_encoder import tokenizer_fingerprint

        check_tokenizer_kind(tokenizer)
        fingerprint = tokenizer_fingerprint(tokenizer)
        if fingerprint != self.fingerprint:
            raise ValueError(
                f"The token store {self.directory} was built with another "
                f"tokenizer: its fingerprint is {self.fingerprint}, that of "
                f"the given tokenizer is {fingerprint}. Use the "
                "tokenizer it was built with, or build a store for this one "
                "with `keras_dinolm.data.tokenize` in another directory (or "
                "remove this one)."
            )

    def shard(self, index: int) -> tuple[np.ndarray, ...]:
        """Memory maps of a shard: ids, lengths, sentence starts.

        Args:
            index: int. The number of the shard.
        """
        index = self._check_shard_number(index)
        return tuple(self._mapped(index, kind) for kind in KINDS)

    def shard_alternates(self, index: int) -> tuple[np.ndarray, ...]:
        """Memory maps of a shard's alternates, of a store that has some.

        Args:
            index: int. The number of the shard.

        Returns:
            Ids of all alternates in the order of the documents; length of
            each alternate; how many each document has.
        """
        index = self._check_shard_number(index)
        if not self.num_alternates:
            raise ValueError(
                f"The token store {self.directory} has no alternates. Tokenize "
                "documents with `alternates`, in another directory."
            )
        return tuple(self._mapped(index, kind) for kind in ALTERNATE_KINDS)

    def document_lengths(self, index: int) -> np.ndarray:
        """Number of tokens of each document of a shard: int32, a memory map.

        Args:
            index: int. The number of the shard.
        """
        return self._mapped(self._check_shard_number(index), "lengths")

    def _check_shard_number(self, index):
        return arguments.integer("index", index, 0, len(self.shards) - 1)

    def _open(self, index, kind, check=True):
        """Opens a file, and reads all of it if it is new or has changed."""
        place = self.directory, index, kind, self.header, self.shards[index]
        file = open_file(*place)
        try:
            column = self._kinds.index(kind)
            if check and self._signatures[index, column] != signature(file):
                check_file(file, *place)
                self._signatures[index, column] = signature(file)
        except BaseException:
            file.close()
            raise
        return file

    def _mapped(self, index, kind):
        """The numbers of a file, compared again if it has changed."""
        try:
            now = signature(f"{self._prefix}-{index:05d}.{kind}")
        except FileNotFoundError:
            now = 0  # the next line says so
        return self._map_once(index, kind, now)

    def _map(self, index, kind, _):
        with self._open(index, kind) as file:
            dtype = type_of(kind, self.dtype)
            # An empty file cannot be mapped.
            if not os.fstat(file.fileno()).st_size:
                return np.zeros(0, dtype)
            return np.memmap(file, dtype, "r")

    def __len__(self) -> int:
        return self.num_documents

    def _find(self, index):
        """Number of a document's shard, and its place there."""
        index = arguments.integer("index", index)
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
        start, stop = self._bounds(self._mapped(number, "lengths"), place)
        ids = self._mapped(number, "ids")
        return np.array(ids[start:stop], dtype="int32")

    def sentence_starts(self, index: int) -> np.ndarray:
        """Where sentences begin, in tokens from the start of a document.

        Args:
            index: int. The number of the document.
        """
        number, place = self._find(index)
        start, stop = self._bounds(self._mapped(number, "lengths"), place)
        sentences = self._mapped(number, "sentences")
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
        # Copies, because maps keep their files open.
        return np.concatenate(
            [
                np.array(self._mapped(index, "lengths"))
                for index in range(len(self.shards))
            ]
        )

    def __repr__(self) -> str:
        return (
            f"<TokenStore {self.directory}: {self.num_documents:,} documents, "
            f"{self.num_tokens:,} tokens, {len(self.shards)} shards>"
        )


def most_mapped():
    """How many files of a store may be mapped at a time."""
    if resource is None:
        return _FEWEST_MAPPED
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return _MOST_MAPPED
    share = int(allowed * _SHARE_OF_DESCRIPTORS)
    return min(max(share, _FEWEST_MAPPED), _MOST_MAPPED)
