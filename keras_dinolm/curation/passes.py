"""One pass over a corpus, which can be stopped and resumed."""

import itertools
import json
import zlib
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

from keras_dinolm import arguments
from keras_dinolm import files
from keras_dinolm.data.corpora.documents import read_texts
from keras_dinolm.data.shard import digest_texts
from keras_dinolm.typing import Path

CHUNK = 2_048
_NAMES = ("part-*.json",)


def map_texts(
    function: Callable[[str], list[int]],
    num_numbers: int,
    corpus: Iterable[Any],
    settings: Sequence[str],
    directory: Path | None,
    title: str,
    show_progress: bool,
    alternates: bool = False,
) -> Iterator[list[int]]:
    """Yields `function(text)` for each text of a corpus, in order.

    With a directory, results are saved in parts, each of which appears whole
    or not at all. The same call again reads the corpus to compare it, and
    takes the finished parts from there. A damaged part is renamed and made
    again.

    Args:
        function: function of a text, to a list of numbers of something.
        num_numbers: int. These numbers are below it.
        corpus: iterable of `str`, `Document` or mappings with `"text"`.
        settings: list of str. All that `function` depends on.
        directory: path of a folder for this pass alone, or `None`.
        title: str. The name of the progress bar.
        show_progress: bool. Whether to show it.
        alternates: bool. Whether alternates belong to the text.

    Yields:
        What `function` returned.

    Raises:
        ValueError: if the directory holds the results of another corpus or of
            other settings.
        FileExistsError: if it holds such files of somebody else.
        InUseError: if another process works in the directory.
    """
    texts = read_texts(corpus, title, show_progress, alternates)
    # Without a directory, nothing has to be compared or held in memory.
    if directory is None:
        yield from map(function, texts)
        return
    folder = arguments.path("directory", directory)
    files.claim_folder(folder, "curation pass", _NAMES)
    made_with = digest_texts(list(settings))
    with files.lock(folder / ".lock", 0, "folder of results"):
        for index in itertools.count():
            path = folder / f"part-{index:05d}.json"
            chunk = list(itertools.islice(texts, CHUNK))
            part: Any = _read_part(path, num_numbers)
            digest = digest_texts(chunk)
            if part is None and chunk:
                part = {
                    "settings": made_with,
                    "texts": digest,
                    "results": [function(text) for text in chunk],
                }
                part["checksum"] = _checksum(part)
                text = json.dumps(part, separators=(",", ":"))
                with files.write_file(path, size=len(text)) as file:
                    file.write(text.encode())
            elif part is not None:
                _compare(part, path, settings=made_with, texts=digest)
                if len(part["results"]) != len(chunk):
                    raise ValueError(
                        f"{path} has {len(part['results'])} results for "
                        f"{len(chunk)} texts. Remove it, and start again."
                    )
            if not chunk:
                return
            yield from part["results"]


def _compare(part, path, **expected):
    for key, value in expected.items():
        if part[key] != value:
            raise ValueError(
                f"`directory` {path.parent} holds the results of another "
                f"pass: {path.name} was made with other {key}. Choose another "
                "directory, or remove this one to start again."
            )


def _read_part(path, num_numbers):
    """A part that is whole; `None` if it has to be made."""
    part = files.read_json_or_set_aside(path)
    if part is None:
        return None
    why = _damage(part, num_numbers)
    if why:
        files.set_aside(path, why)
        return None
    return part


def _damage(part, num_numbers):
    """What is wrong with a part, or `None`."""
    if not isinstance(part, dict) or set(part) != {
        "settings",
        "texts",
        "results",
        "checksum",
    }:
        return "its fields are not those of a part"
    if part.pop("checksum") != _checksum(part):
        return "its checksum is wrong"
    results = part["results"]
    if not isinstance(results, list) or not all(
        isinstance(row, list)
        and all(type(i) is int and 0 <= i < num_numbers for i in row)
        for row in results
    ):
        return "its results are of another kind"
    return None


def _checksum(part):
    text = json.dumps(part, separators=(",", ":"))
    return f"{zlib.crc32(text.encode()):08x}"
