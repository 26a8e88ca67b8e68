"""What the header of a token store says, how it is written, and checked.

A store may come from someone else. So nothing in its header is believed before
it has been compared: types, ranges, and what follows from other fields. No
field names a file, because the files have fixed names.
"""

import json
import os
import pathlib
import re
import stat
import zlib
from typing import Any
from typing import NoReturn

from keras_dinolm import files
from keras_dinolm.arguments import shorten
from keras_dinolm.typing import Path

HEADER = "header.json"
SETTINGS = "settings.json"
VERSION = 2

# Positions in a shard, or a block of shards, are int32.
MOST = (1 << 31) - 1

# The files of a shard: the ending, which field counts its numbers.
KINDS = {
    "ids": "tokens",
    "lengths": "documents",
    "sentences": "sentences",
}
# These are there if any document of the corpus has alternates.
ALTERNATE_KINDS = {
    "alternates": "alternate_tokens",
    "alternate_lengths": "alternates",
    "alternate_counts": "documents",
}
ALL_KINDS = KINDS | ALTERNATE_KINDS

# What must be the same for all shards.
SETTING_NAMES = (
    "version",
    "fingerprint",
    "dtype",
    "vocabulary_size",
    "pad_token_id",
    "special_token_ids",
    "continues",
    "shard_characters",
)
REPAIR = (
    "Call `keras_dinolm.data.tokenize` again with the same corpus, tokenizer "
    "and directory: it writes what is damaged again. Or remove the folder and "
    "build a new one."
)

_SPECIAL = ("pad", "cls", "mask")
# A shard of the header takes about 1 KB, and has at least 3 files.
_BYTES_PER_FILE = 4_096
_LEAST_BYTES = 1 << 16
_BEFORE_CHECKSUM = ',\n "checksum": "'


def make_settings(tokenizer: Any, shard_characters: int) -> dict[str, Any]:
    """What a tokenizer and the arguments of `tokenize` say of a store.

    Args:
        tokenizer: `DinoLMTokenizer`, or a tokenizer of keras-hub.
        shard_characters: int.

    Returns:
        A dict with the keys `SETTING_NAMES`.
    """
    # Imported here, because the workers do not need it.
    from keras_dinolm.data.store_encoder import special_token_ids
    from keras_dinolm.data.store_encoder import tokenizer_fingerprint

    size = int(tokenizer.vocabulary_size())
    prefix = getattr(tokenizer, "suffix_indicator", None)
    flags = [False] * size
    if prefix:
        flags = [t.startswith(prefix) for t in tokenizer.get_vocabulary()]
    return {
        "version": VERSION,
        "fingerprint": tokenizer_fingerprint(tokenizer),
        "dtype": dtype_for(size),
        "vocabulary_size": size,
        "pad_token_id": int(tokenizer.pad_token_id),
        "special_token_ids": special_token_ids(tokenizer),
        "continues": checksum_of_flags(flags),
        "shard_characters": shard_characters,
    }


def dtype_for(vocabulary_size: int) -> str:
    """The dtype of ids on disk."""
    return "uint16" if vocabulary_size <= 65_536 else "uint32"


def checksum_of(data: Any) -> str:
    """The CRC-32 of bytes: it shows every flipped bit, at 4 GB/s."""
    return f"{zlib.crc32(data):08x}"


def checksum_of_flags(flags: Any) -> str:
    """A checksum of a row of booleans."""
    return checksum_of(bytes(bytearray(map(bool, flags))))


def render(value: dict[str, Any]) -> bytes:
    """JSON of a dict that ends with a checksum of what comes before."""
    body = json.dumps(value, indent=1).removesuffix("\n}")
    return _with_checksum(body)


def _with_checksum(body):
    checksum = checksum_of(body.encode())
    return f'{body}{_BEFORE_CHECKSUM}{checksum}"\n}}'.encode()


def read_rendered(path: Path) -> dict[str, Any]:
    """Reads a file that `render` made.

    Args:
        path: path of a file of a store.

    Returns:
        A dict, of whose contents only the version is checked.

    Raises:
        FileNotFoundError: if there is no file.
        ValueError: if it is no such file, is damaged, or has another version.
    """
    path = pathlib.Path(path)
    check_link(path)
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        _refuse(path, "it is no file")
    most = _LEAST_BYTES + _BYTES_PER_FILE * len(os.listdir(path.parent))
    if status.st_size > most:
        _refuse(
            path,
            f"it has {status.st_size:,} bytes, more than a store of so few "
            "files needs",
        )
    data = path.read_bytes()
    try:
        text = data.decode()
        value = files.parse_json(text)
    except ValueError as error:
        _refuse(path, str(error))
    if not isinstance(value, dict):
        _refuse(path, f"it holds {shorten(value)}")
    version = value.get("version", VERSION)
    if type(version) is int and version != VERSION:
        raise ValueError(
            f"The token store {path.parent} has format {shorten(version)}, "
            f"this version of keras_dinolm reads format {VERSION}. Remove the "
            "folder and build it again with `keras_dinolm.data.tokenize`."
        )
    body, found, _ = text.rpartition(_BEFORE_CHECKSUM)
    if not found or _with_checksum(body) != data:
        _refuse(path, "its checksum is missing or wrong")
    del value["checksum"]
    return value


def check_link(path: pathlib.Path) -> None:
    """Raises `ValueError` if a file of a store lies outside of its folder."""
    try:
        files.inside(path.parent, path.name)
    except ValueError:
        raise ValueError(
            f"The token store {path.parent} has a link that leaves the "
            f"folder: {path.name}. If you made it and trust it, copy the "
            "store with its files (`cp -rL`), and open the copy."
        ) from None


def check_settings(value: dict[str, Any], path: Path) -> dict[str, Any]:
    """Returns settings whose fields are right, or raises `ValueError`."""
    missing = [name for name in SETTING_NAMES if name not in value]
    if missing:
        _refuse(path, f"`{missing[0]}` is missing")
    if value["version"] is not VERSION and value["version"] != VERSION:
        _refuse(path, f"`version` is {shorten(value['version'])}")
    size = _integer(path, value, "vocabulary_size", 1, MOST)
    _integer(path, value, "pad_token_id", 0, size - 1)
    _integer(path, value, "shard_characters", 1, None)
    _string(path, value, "fingerprint", r"[\w.:-]{1,200}")
    _string(path, value, "continues", r"[0-9a-f]{8}")
    if value["dtype"] != dtype_for(size):
        _refuse(
            path,
            f"`dtype` is {shorten(value['dtype'])}, and a vocabulary of "
            f"{size:,} tokens has {dtype_for(size)!r}",
        )
    special = value["special_token_ids"]
    if not isinstance(special, dict) or not set(special) <= set(_SPECIAL):
        _refuse(path, f"`special_token_ids` is {shorten(special)}")
    for name in special:
        _integer(path, special, name, 0, size - 1, "special_token_ids.")
    return value


def check_header(value: Any, path: Path) -> dict[str, Any]:
    """Returns a header of a store whose fields are right.

    Args:
        value: what was read.
        path: where it was read, for the message.

    Returns:
        The header, a dict.

    Raises:
        ValueError: names the file, the field, and the fix.
    """
    if not isinstance(value, dict):
        _refuse(path, f"it holds {shorten(value)}")
    check_settings(value, path)
    shards = value.get("shards")
    if not isinstance(shards, list) or not shards:
        _refuse(path, f"`shards` is {shorten(shards)}")
    for index, shard in enumerate(shards):
        check_shard(shard, path, f"shards[{index}].")
        if shard["fingerprint"] != value["fingerprint"]:
            _refuse(path, f"`shards[{index}].fingerprint` is another one")
    names = ALL_KINDS if any(s["alternates"] for s in shards) else KINDS
    for index, shard in enumerate(shards):
        if not set(names) <= set(shard["checksums"]):
            _refuse(path, f"`shards[{index}].checksums` lacks a file")
    if not sum(shard["tokens"] for shard in shards):
        _refuse(path, "it counts no token")
    return value


def check_shard(shard: Any, path: Path, where: str = "") -> dict[str, Any]:
    """Returns the header of a shard whose fields are right, or raises.

    Args:
        shard: what was read.
        path: where it was read, for the message.
        where: str. What comes before the names of its fields there.
    """
    if not isinstance(shard, dict):
        _refuse(path, f"`{where.rstrip('.')}` is {shorten(shard)}")

    def integer(name, low, high):
        return _integer(path, shard, name, low, high, where)

    documents = integer("documents", 1, MOST)
    integer("empty", 0, documents)
    integer("distinct", 1, documents)
    tokens = integer("tokens", 0, MOST)
    integer("unknown", 0, tokens)
    integer("sentences", min(tokens, 1), tokens)
    integer("id_sum", 0, tokens * MOST)
    others = integer("alternate_tokens", 0, MOST - tokens)
    integer("alternate_unknown", 0, others)
    integer("alternate_id_sum", 0, others * MOST)
    alternates = integer("alternates", min(others, 1), others)
    integer("most_alternates", min(alternates, 1), alternates)
    _string(path, shard, "fingerprint", r"[\w.:-]{1,200}", where)
    _string(path, shard, "digest", r"[0-9a-f]{32}", where)
    checksums = shard.get("checksums")
    names = ALL_KINDS if alternates else KINDS
    if not isinstance(checksums, dict) or not (
        set(names) <= set(checksums) <= set(ALL_KINDS)
    ):
        _refuse(path, f"`{where}checksums` is {shorten(checksums)}")
    for name in checksums:
        _string(path, checksums, name, r"[0-9a-f]{8}", f"{where}checksums.")
    return shard


def _integer(path, value, name, low, high, where=""):
    number = value.get(name)
    # `True` is an int, and 3.0 counts nothing.
    if (
        type(number) is not int
        or number < low
        or (high is not None and number > high)
    ):
        limit = (
            f"of at least {low:,}"
            if high is None
            else (f"from {low:,} to {high:,}")
        )
        _refuse(
            path,
            f"`{where}{name}` is {shorten(number)}, and must be an integer "
            f"{limit}",
        )
    return number


def _string(path, value, name, pattern, where=""):
    text = value.get(name)
    if not isinstance(text, str) or not re.fullmatch(pattern, text):
        _refuse(path, f"`{where}{name}` is {shorten(text)}")


def _refuse(path: Path, why: str) -> NoReturn:
    raise ValueError(
        f"{path} is not the header of a token store, or is damaged: {why}. "
        f"{REPAIR}"
    )
