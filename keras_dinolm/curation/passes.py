"""One pass over a corpus, which can be stopped and resumed."""

import itertools
import json
import pathlib
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

from keras_dinolm.data.corpora.documents import read_texts
from keras_dinolm.data.paths import write_atomically
from keras_dinolm.data.shard import digest_texts
from keras_dinolm.typing import Path

CHUNK = 2_048


def map_texts(
    function: Callable[[str], Any],
    corpus: Iterable[Any],
    settings: Sequence[str],
    directory: Path | None,
    title: str,
    show_progress: bool,
    alternates: bool = False,
) -> Iterator[Any]:
    """Yields `function(text)` for each text of a corpus, in order.

    With a directory, results are saved in parts, each of which appears whole
    or not at all. The same call again reads the corpus to compare it, and
    takes the finished parts from there.

    Args:
        function: function of a text; JSON can hold what it returns.
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
    """
    texts = read_texts(corpus, title, show_progress, alternates)
    made_with = digest_texts(list(settings))
    for index in itertools.count():
        # Without a directory, nothing has to be compared or held in memory.
        if directory is None:
            yield from map(function, texts)
            return
        path = pathlib.Path(directory) / f"part-{index:05d}.json"
        chunk = list(itertools.islice(texts, CHUNK))
        part: dict[str, Any] = {}
        if path.exists():
            part = json.loads(path.read_text())
        digest = digest_texts(chunk)
        if not part and chunk:
            results = [function(text) for text in chunk]
            part = {
                "settings": made_with,
                "texts": digest,
                "results": results,
            }
            with write_atomically(path) as file:
                file.write(json.dumps(part, separators=(",", ":")).encode())
        elif part:
            for key, value in ("settings", made_with), ("texts", digest):
                if part[key] != value:
                    raise ValueError(
                        f"`directory` {directory} holds the results of "
                        f"another pass: {path.name} was made with other {key}. "
                        "Choose another directory, or remove this one to "
                        "start again."
                    )
        if not chunk:
            return
        yield from part["results"]
