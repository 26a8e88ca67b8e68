"""Any tokenizer as what writes token stores, in this process or another."""

import hashlib
import importlib
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_dinolm import arguments
from keras_dinolm.text.encoder import Encoder
from keras_dinolm.text.sentences import split_sentences

# Every tokenizer of words parts them here.
_SPACES = re.compile(r"[ \t\n\r]+")
# How many words are remembered with their ids.
_MAXIMUM_WORDS = 500_000
# What differs between tokenizers that give the same ids.
_NAMES = {"name", "trainable", "dtype", "config_file"}
_KINDS = (
    "a `keras_dinolm.models.DinoLMTokenizer`, or a WordPiece, byte-pair or "
    "SentencePiece tokenizer of a keras-hub encoder, such as "
    "`keras_hub.models.BertTokenizer`"
)


class KerasHubEncoder:
    """A tokenizer of keras-hub, made again from its configuration.

    Args:
        module: str. The module of its class.
        name: str. The class in it.
        config: dict. The arguments of its `from_config`, with its vocabulary.
    """

    def __init__(self, module: str, name: str, config: dict[str, Any]):
        import keras_hub

        from keras_dinolm.teachers.pieces import TokenSpans

        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        self.tokenizer = found.from_config(config)
        self.vocabulary = list(self.tokenizer.get_vocabulary())
        self.spans = TokenSpans(self.tokenizer)
        unknown = [
            getattr(self.tokenizer, field, None)
            for field in ("unk_token", "oov_token")
        ]
        known = [t for t in ("[UNK]", "<unk>") if t in self.vocabulary]
        tokens = [t for t in [*unknown, *known] if t is not None]
        self.unknown_id = -1
        if tokens:
            self.unknown_id = int(self.tokenizer.token_to_id(tokens[0]))
        self._ids_of_word: dict[str, list[int]] = {}
        self.is_of_words = isinstance(
            self.tokenizer, keras_hub.tokenizers.WordPieceTokenizer
        ) and bool(self.tokenizer.split)

    def __call__(self, texts: list[str]) -> list[list[int]]:
        """Returns a list of ids for each text of a list."""
        if not texts:
            return []
        if not self.is_of_words:
            return self._tokenize(texts)
        # Texts repeat their words.
        rows = [[w for w in _SPACES.split(text) if w] for text in texts]
        new = list(
            {word for row in rows for word in row} - {*self._ids_of_word}
        )
        if len(self._ids_of_word) + len(new) > _MAXIMUM_WORDS:
            self._ids_of_word = {}
            new = list({word for row in rows for word in row})
        if new:
            self._ids_of_word.update(zip(new, self._tokenize(new)))
        known = self._ids_of_word
        return [[i for word in row for i in known[word]] for row in rows]

    def _tokenize(self, texts):
        rows = self.tokenizer.tokenize(texts)
        return [[int(i) for i in row] for row in rows]


def make_encoder(config: dict[str, Any]) -> Encoder | KerasHubEncoder:
    """Makes what `encoder_config` describes.

    Args:
        config: dict.
    """
    if "module" in config:
        return KerasHubEncoder(**config)
    return Encoder(**config)


def encoder_config(tokenizer: Any) -> dict[str, Any]:
    """What another process needs to make ids as a tokenizer does.

    Args:
        tokenizer: `DinoLMTokenizer`, or a tokenizer of keras-hub.

    Returns:
        A dict that can be pickled, for `make_encoder`.

    Raises:
        ValueError: if it is of another kind, has no vocabulary, or adds or
            cuts tokens by itself.
    """
    if hasattr(tokenizer, "encoder_config"):
        return tokenizer.encoder_config()
    config = tokenizer.get_config()
    for name, value in _contents(tokenizer).items():
        config[name] = value
    for name, cure in (
        ("sequence_length", "None: stores hold whole documents"),
        ("add_bos", "False: views begin with `[CLS]`"),
        ("add_eos", "False: views have no end"),
    ):
        if config.get(name):
            raise ValueError(
                f"Argument `tokenizer` must have {name}={cure}. "
                f"Received: tokenizer={tokenizer!r}, of "
                f"{name}={config[name]!r}"
            )
    cls = type(tokenizer)
    return {
        "module": cls.__module__,
        "name": cls.__qualname__,
        "config": config,
    }


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """A hexadecimal string that tells tokenizers apart.

    Args:
        tokenizer: `DinoLMTokenizer`, or a tokenizer of keras-hub.
    """
    if hasattr(tokenizer, "fingerprint"):
        return tokenizer.fingerprint()
    described = encoder_config(tokenizer)
    config = {k: v for k, v in described["config"].items() if k not in _NAMES}
    digest = hashlib.sha256()
    for part in (type(tokenizer).__name__, config):
        text = json.dumps(part, sort_keys=True, default=repr)
        digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


def special_token_ids(tokenizer: Any) -> dict[str, int]:
    """Ids of the special tokens that views need, those that are there.

    Args:
        tokenizer: `DinoLMTokenizer`, or a tokenizer of keras-hub.
    """
    names = {
        "pad": ("pad_token_id",),
        "cls": ("cls_token_id", "start_token_id"),
        "mask": ("mask_token_id",),
    }
    found = {
        special: [getattr(tokenizer, name, None) for name in fields]
        for special, fields in names.items()
    }
    known = {s: [i for i in ids if i is not None] for s, ids in found.items()}
    return {special: int(ids[0]) for special, ids in known.items() if ids}


def check_tokenizer_kind(tokenizer: Any) -> None:
    """Raises a `ValueError` unless stores can be made with a tokenizer."""
    if hasattr(tokenizer, "encoder_config"):
        return
    import keras_hub

    kinds = keras_hub.tokenizers
    classes = (
        kinds.WordPieceTokenizer,
        kinds.BytePairTokenizer,
        kinds.SentencePieceTokenizer,
    )
    if not isinstance(tokenizer, classes):
        arguments.refuse("tokenizer", tokenizer, _KINDS)
    if "pad" not in special_token_ids(tokenizer):
        arguments.refuse(
            "tokenizer", tokenizer, f"{_KINDS}: this one has no padding token"
        )
    encoder_config(tokenizer)


def encode_documents(
    encoder: Encoder | KerasHubEncoder, texts: list[str]
) -> tuple[list[list[int]], list[np.ndarray]]:
    """Ids of texts, and where their sentences begin.

    Args:
        encoder: what `make_encoder` made.
        texts: list of str.

    Returns:
        For each text a list of ids, and an ascending array of the first
        tokens of its sentences.
    """
    if getattr(encoder, "is_of_words", True):
        return _by_sentences(encoder, texts)
    # Tokens hold spaces, so that a sentence alone has other ones.
    rows = encoder(texts)
    spans: Callable = encoder.spans  # type: ignore[union-attr]
    starts = []
    for text, row in zip(texts, rows):
        sizes = [len(sentence) for sentence in split_sentences(text)]
        last = spans(text, row)[:, 1] - 1
        sentence = np.searchsorted(np.cumsum(sizes), last, side="right")
        starts.append(np.flatnonzero(np.diff(sentence, prepend=-1) > 0))
    return rows, starts


def _by_sentences(encoder, texts):
    sentences, counts = [], []
    for text in texts:
        parts = split_sentences(text)
        sentences += parts
        counts.append(len(parts))
    found = iter(encoder(sentences))
    rows, starts = [], []
    for count in counts:
        parts = [row for row in (next(found) for _ in range(count)) if row]
        rows.append([i for part in parts for i in part])
        ends = np.cumsum([len(part) for part in parts], dtype="int64")
        starts.append(np.concatenate([[0], ends[:-1]])[: len(parts)])
    return rows, starts


def _contents(tokenizer):
    """The vocabulary of a tokenizer, as arguments of its constructor."""
    found = {}
    for name in ("vocabulary", "merges", "proto"):
        value = getattr(tokenizer, name, None)
        if value is not None:
            # Plain ones: Keras wraps the lists and dicts that it tracks.
            kind = dict if hasattr(value, "items") else list
            found[name] = value if isinstance(value, bytes) else kind(value)
    if not found:
        raise ValueError(
            "Argument `tokenizer` must have a vocabulary. "
            f"Received: tokenizer={tokenizer!r}"
        )
    return found
