"""From the sources of packages to rows of documents."""

import collections
from typing import Any

from keras_dinolm.data.corpora.docstrings import find_docstrings
from keras_dinolm.data.corpora.docstrings import parse_with_docstrings
from keras_dinolm.data.corpora.documents import progress
from keras_dinolm.data.corpora.held_out import leave_out_copies
from keras_dinolm.data.corpora.held_out import split_of
from keras_dinolm.data.corpora.packages import Source


def collect_docs(
    sources: list[Source], settings: dict[str, Any], show_progress: bool
) -> dict[str, Any]:
    """Reads the docstrings of packages, and leaves out copies.

    Args:
        sources: list of `Source`.
        settings: dict with `"minimum_characters"`, `"held_out_fraction"` and
            `"similarity"`, see `installed_docs`.
        show_progress: bool.

    Returns:
        A dict that goes into JSON: the settings, a counter of what was left
        out, and rows `[split, text, id, label, module]`.
    """
    dropped: collections.Counter = collections.Counter()
    found = []
    files = [(s, *pair) for s in sources for pair in s.files()]
    bar = progress(files, "Reading docstrings", show_progress, files, "file")
    for source, path, module in bar:
        try:
            tree = parse_with_docstrings(path.read_bytes())
        except (SyntaxError, ValueError, RecursionError, OSError):
            dropped["files that cannot be parsed"] += 1
            continue
        if tree is None:
            continue
        split = split_of(module, settings["held_out_fraction"])
        for name, text in _named(tree, module, settings, dropped):
            found.append((split, text, name, source.label, module))
    kept = leave_out_copies(
        found, settings["similarity"], dropped, show_progress
    )
    return {"settings": settings, "dropped": dropped, "documents": kept}


def _named(tree, module, settings, dropped):
    """Yields an id and a text for each docstring that is long enough."""
    names = collections.Counter()
    for name, text in find_docstrings(tree):
        if len(text) < settings["minimum_characters"]:
            reason = f"below {settings['minimum_characters']} characters"
            dropped[reason] += 1
            continue
        # Properties and their setters, and overloads, share a name.
        names[name] += 1
        identity = f"{module}:{name}" if name else module
        if names[name] > 1:
            identity += f"#{names[name]}"
        # A lone surrogate is legal in a docstring, and nowhere else.
        yield identity, text.encode("utf-8", "replace").decode("utf-8")
