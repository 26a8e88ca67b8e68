"""Vocabularies from anywhere, checked before anything is built of them."""

import codecs
import os
import stat

from keras.src.saving import serialization_lib

from keras_dinolm import arguments
from keras_dinolm.text.encoder import UNKNOWN
from keras_dinolm.typing import Path

SPECIAL_TOKENS = ("[PAD]", UNKNOWN, "[CLS]", "[SEP]", "[MASK]")

# Twice the largest vocabularies there are. More is a mistake or an attack.
MOST_TOKENS = 2_000_000
_MOST_BYTES = 32 << 20
# What tensorflow-text takes. Words are shorter, see `MAX_WORD_LENGTH`.
_MOST_BYTES_OF_TOKEN = 256

_FIX = "Use `keras_dinolm.data.train_tokenizer` to make a vocabulary."


def read_vocabulary(path: Path) -> list[str]:
    """Reads a file with one token per line.

    Args:
        path: string or path.

    Returns:
        A list of strings, not checked yet.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no such file: too large, or not UTF-8.
    """
    path = arguments.path("vocabulary", path)
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(
            error.errno,
            "There is no file for the argument `vocabulary`, which is a list "
            f"of tokens or the path of a vocabulary file. {_FIX}",
            str(path),
        ) from None
    if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
        raise ValueError(
            f"A vocabulary is a file of at most {_MOST_BYTES:,} bytes, with "
            f"one token per line. Received: {path}"
            + (
                f" of {status.st_size:,} bytes."
                if stat.S_ISREG(status.st_mode)
                else ", which is no file."
            )
            + f" {_FIX}"
        )
    data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    # Before there is an object for each of them.
    if data.count(b"\n") > MOST_TOKENS:
        _refuse_size(data.count(b"\n"), f" (from {path})")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"A vocabulary is a text file in UTF-8. Received: {path}, whose "
            f"line {line} is not: {error.reason}. {_FIX}"
        ) from None
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n")


def refuse_files_in_safe_mode(path: Path) -> None:
    """Raises if Keras is loading a model that must not name files of ours."""
    # Keras has no public name for this question.
    if serialization_lib.in_safe_mode():
        raise ValueError(
            "A saved tokenizer names a vocabulary file outside of it, "
            f"{os.fspath(path)!r}, which is not read: it may be any file of "
            "this machine. If you trust the model, load it with "
            "`safe_mode=False`."
        )


def check_vocabulary(vocabulary: list[str], source: str = "") -> list[str]:
    """Returns a vocabulary as a list, or raises if it is none.

    Args:
        vocabulary: iterable of strings.
        source: optional string. The file it comes from, for the message.

    Returns:
        A list of strings.

    Raises:
        ValueError: if it does not begin with the special tokens, or holds
            something that is no token or occurs twice.
    """
    tokens = arguments.strings("vocabulary", vocabulary)
    where = f" (from {source})" if source else ""
    if len(tokens) > MOST_TOKENS:
        _refuse_size(len(tokens), where)
    first = tuple(tokens[: len(SPECIAL_TOKENS)])
    if first != SPECIAL_TOKENS:
        raise ValueError(
            "The first tokens of `vocabulary` must be "
            f"{', '.join(SPECIAL_TOKENS)}, in this order. Received: "
            f"{', '.join(arguments.shorten(t, 40) for t in first) or 'none'}"
            f"{where}. {_FIX}"
        )
    places: dict[str, int] = {}
    for index, token in enumerate(tokens):
        problem = _problem(token)
        if problem:
            raise ValueError(
                f"Token {index} of `vocabulary` {problem}. Received: "
                f"{arguments.shorten(token)}{where}. {_FIX}"
            )
        places.setdefault(token, index)
    if len(places) != len(tokens):
        index, token = next(
            (i, t) for i, t in enumerate(tokens) if places[t] != i
        )
        raise ValueError(
            "Each token of `vocabulary` must occur once. Received: "
            f"{len(tokens)} tokens of which {len(places)} are distinct; "
            f"{arguments.shorten(token, 40)} is token {places[token]} and "
            f"token {index}{where}. {_FIX}"
        )
    return tokens


def _problem(token):
    """What makes a string no token, or an empty string."""
    if not token:
        return "is empty"
    if token.split() != [token] or "\0" in token:
        return "holds white space or a NUL"
    try:
        size = len(token.encode("utf-8"))
    except UnicodeEncodeError:
        return "holds half of a surrogate pair, which is no character"
    return "is too long" if size > _MOST_BYTES_OF_TOKEN else ""


def _refuse_size(size, where):
    raise ValueError(
        f"`vocabulary` may have {MOST_TOKENS:,} tokens at most. Received: "
        f"{size:,} tokens{where}. {_FIX}"
    )
