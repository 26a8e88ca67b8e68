"""`Teacher`: the one interface of everything that teaches."""

import contextlib
import hashlib
import warnings
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_dinolm import arguments

# What tells models apart that have no files: their features of these.
PROBES = (
    "The quick brown fox jumps over the lazy dog.",
    "a",
    "Sort a list of 12 numbers in place, and return None.",
    "Zürich, 東京 and São Paulo: three cities!",
)

# Features of the tokens of a text, and their spans in characters.
TokenFeatures = tuple[np.ndarray, np.ndarray]


class Teacher:
    """A fixed encoder, as whoever learns from it sees it.

    `keras_dinolm.teachers.get` makes one of a folder, a name, an object with
    `encode` or a function. Subclasses define `_encode` and, if they have
    features of tokens, `_encode_both`.

    Args:
        prompt: str that is put before each text.

    Attributes:
        has_tokens: bool. Whether there are features of tokens.
        num_cut: int. How many texts were longer than the teacher reads.
        quiet: bool. Whether to count such texts without a warning.
    """

    has_tokens = False

    def __init__(self, prompt: str = ""):
        self.prompt = arguments.instance("prompt", prompt, str, "a string")
        self.num_cut = 0
        self.quiet = False
        self._dim: int | None = None

    @property
    def dim(self) -> int:
        """Size of the features."""
        if self._dim is None:
            with self.silence():
                self._dim = self.encode(PROBES[:1]).shape[1]
        return self._dim

    @contextlib.contextmanager
    def silence(self) -> Iterator[None]:
        """Neither counts long texts nor warns of them while the block runs."""
        before = self.num_cut, self.quiet
        self.quiet = True
        try:
            yield
        finally:
            self.num_cut, self.quiet = before

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Features of texts.

        Args:
            texts: list of str.

        Returns:
            float32 array `[texts, dim]`.

        Raises:
            ValueError: if the teacher returns something else.
        """
        texts = arguments.strings("texts", texts)
        if not texts:
            return np.zeros((0, self.dim), dtype="float32")
        return self._checked(self._encode(self._prompted(texts)), len(texts))

    def encode_tokens(self, texts: Sequence[str]) -> list[TokenFeatures] | None:
        """Features of the tokens of texts.

        Args:
            texts: list of str.

        Returns:
            For each text float32 `[tokens, dim]` and int32 `[tokens, 2]`: the
            first character of each token, and the one after its last. Special
            tokens and those of the prompt are left out. `None` if the teacher
            has no features of tokens.

        Raises:
            ValueError: if the teacher returns something else.
        """
        return self.encode_both(texts)[1]

    def encode_both(
        self, texts: Sequence[str]
    ) -> tuple[np.ndarray, list[TokenFeatures] | None]:
        """Features of texts and of their tokens, computed together.

        Args:
            texts: list of str.

        Returns:
            What `encode` and `encode_tokens` return.

        Raises:
            ValueError: if the teacher returns something else.
        """
        texts = arguments.strings("texts", texts)
        if not self.has_tokens:
            return self.encode(texts), None
        if not texts:
            return np.zeros((0, self.dim), dtype="float32"), []
        pooled, tokens = self._encode_both(self._prompted(texts))
        pooled = self._checked(pooled, len(texts))
        if len(tokens) != len(texts):
            raise ValueError(
                f"The teacher gave features of the tokens of {len(tokens)} "
                f"texts for {len(texts)} texts."
            )
        return pooled, [
            self._own_tokens(pair, text) for pair, text in zip(tokens, texts)
        ]

    def fingerprint(self) -> str:
        """A hexadecimal string that tells teachers apart.

        Teachers with the same fingerprint give the same features.
        """
        raise NotImplementedError

    def vocabulary(self) -> list[str] | None:
        """The tokens of the teacher as plain strings, one an id.

        Special tokens and parts of characters are empty strings. `None` if
        the teacher tells no tokens.
        """
        return None

    def _encode(self, texts: list[str]) -> Any:
        raise NotImplementedError

    def _encode_both(
        self, texts: list[str]
    ) -> tuple[Any, Sequence[tuple[Any, Any]]]:
        raise NotImplementedError

    def _prompted(self, texts):
        return [self.prompt + text for text in texts] if self.prompt else texts

    def _checked(self, features, count):
        try:
            features = np.asarray(features)
            ok = features.dtype.kind in "fiuV" or features.dtype == "bfloat16"
            features = features.astype("float32")
        except (TypeError, ValueError):
            ok = False
        if not ok or features.ndim != 2 or len(features) != count:
            shape = getattr(features, "shape", type(features).__name__)
            raise ValueError(
                "The teacher must return numbers of shape [texts, dim], here "
                f"[{count}, dim]. Received: {shape} from {self!r}"
            )
        if self._dim is None:
            self._dim = features.shape[1]
        if features.shape[1] != self._dim or not self._dim:
            raise ValueError(
                f"The teacher returned features of {features.shape[1]} "
                f"numbers, and of {self._dim} before ({self!r})."
            )
        return features

    def _own_tokens(self, pair, text):
        """Features and spans of the tokens of a text, without its prompt."""
        features, spans = pair
        features = np.asarray(features, dtype="float32")
        spans = np.asarray(spans).reshape(-1, 2) - len(self.prompt)
        if features.ndim != 2 or len(features) != len(spans):
            raise ValueError(
                "The teacher must return features of shape [tokens, dim] and "
                "spans of shape [tokens, 2] for each text. Received: "
                f"{features.shape} and {spans.shape} for "
                f"{arguments.shorten(text)}"
            )
        spans = np.clip(spans, 0, len(text)).astype("int32")
        full = spans[:, 1] > spans[:, 0]
        return features[full], spans[full]

    def _count_cut(self, count: int, total: int, limit: int) -> None:
        """Counts texts that were longer than the teacher reads, and says so."""
        self.num_cut += count
        if count and not self.quiet:
            warnings.warn(
                f"{count} of {total} texts are longer than the teacher reads "
                f"({limit} tokens). What follows is in none of their "
                "features: split them (`keras_dinolm.data.passages`).",
                stacklevel=5,
            )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def digest_of(*parts: Any) -> str:
    """A hexadecimal digest of what tells a teacher apart.

    Args:
        *parts: bytes, or what has a `repr`.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part if isinstance(part, bytes) else repr(part).encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def digest_of_features(features: np.ndarray) -> str:
    """A digest of features that no rounding error of another CPU changes.

    Args:
        features: float `[texts, dim]`, of `PROBES`.
    """
    scale = float(np.abs(features).max())
    if not np.isfinite(scale):
        return "not finite"
    few = np.concatenate(
        [features[:, :6].ravel(), features.mean(1), features.std(1)]
    )
    rounded = np.round(few / max(scale, 1e-30) * 1_000).astype("int64")
    return digest_of(features.shape, round(np.log2(scale + 1e-30), 1), *rounded)
