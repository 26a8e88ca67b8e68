"""The file in which the collected documentation is kept."""

import gzip
import hashlib
import json
import pathlib
import warnings
from typing import Any

from keras_dinolm import files
from keras_dinolm.data.corpora.opening import DAMAGED
from keras_dinolm.typing import Path


def cache_path(settings: dict[str, Any], folder: Path | None) -> pathlib.Path:
    """The file of a corpus with these settings; by default, in `home()`."""
    folder = files.home() if folder is None else pathlib.Path(folder)
    text = json.dumps(settings, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return folder / f"installed_docs-{digest}.json.gz"


def read_cache(path: pathlib.Path) -> dict[str, Any] | None:
    """Reads a record, or returns `None` if it is missing or damaged."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            record = files.parse_json(file.read())
        if not _is_record(record):
            raise ValueError("it is no record of documents")
        return record
    except FileNotFoundError:
        return None
    except (*DAMAGED, ValueError) as error:
        warnings.warn(
            f"The cache file {path} is damaged ({error}); it is made again.",
            stacklevel=3,
        )
        return None


def _is_record(value):
    return (
        isinstance(value, dict)
        and set(value) == {"settings", "dropped", "documents"}
        and isinstance(value["dropped"], dict)
        and isinstance(value["settings"], dict)
        and isinstance(value["settings"].get("packages"), dict)
        and isinstance(value["documents"], list)
        and all(
            isinstance(row, list)
            and len(row) == 5
            and all(isinstance(field, str) for field in row)
            for row in value["documents"]
        )
    )


def write_cache(path: pathlib.Path, record: dict[str, Any]) -> None:
    """Writes a record, or warns if that is not possible."""
    try:
        with files.write_file(path) as file:
            # Level 1: a third of the size, in half a second.
            data = json.dumps(record).encode("utf-8")
            file.write(gzip.compress(data, compresslevel=1, mtime=0))
    except OSError as error:
        warnings.warn(
            f"Cannot write the cache {path}: {error}. Set KERAS_DINOLM_HOME "
            "to a folder that can be written; until then the sources are "
            "read each time.",
            stacklevel=3,
        )
