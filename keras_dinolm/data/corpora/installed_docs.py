"""The default corpus: documentation strings of what is installed anyway."""

import collections
import os
import platform
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

from keras_dinolm import arguments
from keras_dinolm.data.corpora.collect_docs import collect_docs
from keras_dinolm.data.corpora.corpus import Corpus
from keras_dinolm.data.corpora.docs_cache import cache_path
from keras_dinolm.data.corpora.docs_cache import read_cache
from keras_dinolm.data.corpora.docs_cache import write_cache
from keras_dinolm.data.corpora.document import Document
from keras_dinolm.data.corpora.packages import DEFAULT_PACKAGES
from keras_dinolm.data.corpora.packages import find_sources
from keras_dinolm.typing import Path

# Part of the cache key: raise it when extraction changes.
_VERSION = 1


def installed_docs(
    split: str = "train",
    packages: Path | Sequence[Path] | None = None,
    minimum_characters: int = 200,
    held_out_fraction: float = 0.1,
    similarity: float = 0.5,
    cache: bool | Path = True,
    show_progress: bool = True,
) -> "InstalledDocs":
    """Documentation strings of Python and of installed packages.

    Real English prose with code and formulas, on every machine, without a
    download: the docstrings of modules, classes and functions, read from source
    with `ast`. Nothing is imported or run. Tests are skipped.

    Whole modules are held out, chosen by a hash of their names. Exact copies
    and near copies (see `find_near_duplicates`) are left out within a split and
    across the two: a held-out document has no near copy in the training
    split, although `jax.numpy` documents what `numpy` does.

    The order is fixed, and with the same versions of Python and of the
    packages (in `corpus.versions`) the corpus is the same. It is cached in
    the folder named by the environment variable `KERAS_DINOLM_HOME` (default:
    the user's cache folder).

    Args:
        split: `"train"`, `"held_out"` or `"all"`. Defaults to `"train"`.
        packages: list of import names, or paths of package folders;
            `"python"` is the standard library. Defaults to a fixed list of
            what this library installs. Missing ones are named in a warning.
        minimum_characters: int. Shorter documents are left out and counted.
            Defaults to `200`.
        held_out_fraction: float in [0, 1). Share of modules that are held
            out. Defaults to `0.1`.
        similarity: float in (0, 1]. From which Jaccard similarity of word
            triples two documents are near copies. Defaults to `0.5`.
        cache: bool, or the path of a folder. `False` reads the sources each
            time; so does a list of `packages` with a path in it. Defaults to
            `True`.
        show_progress: bool. Whether to show progress bars.

    Returns:
        A re-iterable corpus of `Document` with `len`, `label` the package and
        `module` the dotted module. `print(corpus)` tells what was left out.

    Raises:
        ValueError: for an unknown split, a fraction out of range, or when
            nothing is found.

    Example:

    ```python
    import keras_dinolm as kd

    # Without `packages`: some 20,000 documents, a minute at the first time.
    corpus = kd.data.installed_docs("all", packages=["json"], cache=False)
    print(corpus)
    corpus[0].module  # "json"
    ```
    """
    arguments.choice("split", split, ("train", "held_out", "all"))
    held_out_fraction = arguments.number(
        "held_out_fraction", held_out_fraction, 0, below=1
    )
    minimum_characters = arguments.count(
        "minimum_characters", minimum_characters, 0
    )
    similarity = arguments.number("similarity", similarity, above=0, high=1)
    show_progress = arguments.flag("show_progress", show_progress)
    if not isinstance(cache, bool):
        cache = arguments.path("cache", cache)
    if isinstance(packages, str | os.PathLike):
        packages = [packages]
    if packages is not None:
        if isinstance(packages, bytes | dict) or not isinstance(
            packages, Iterable
        ):
            arguments.refuse("packages", packages, "a list of names or paths")
        packages = list(packages)
        for package in packages:
            if not isinstance(package, str | os.PathLike) or not package:
                arguments.refuse(
                    "packages", packages, "a list of names or paths"
                )
    sources = find_sources(DEFAULT_PACKAGES if packages is None else packages)
    settings = {
        "version": _VERSION,
        "python": platform.python_version(),
        "packages": {s.label: s.version for s in sources},
        "minimum_characters": minimum_characters,
        "held_out_fraction": held_out_fraction,
        "similarity": similarity,
    }
    # A folder given by its path has no version to key a cache with.
    if cache is False or not all(s.version for s in sources):
        made = collect_docs(sources, settings, show_progress)
        return InstalledDocs(made, split)
    path = cache_path(settings, None if cache is True else cache)
    record = read_cache(path)
    if record is None:
        record = collect_docs(sources, settings, show_progress)
        write_cache(path, record)
    return InstalledDocs(record, split)


class InstalledDocs(Corpus):
    """One split of the documentation corpus; made by `installed_docs`.

    Attributes:
        versions: dict from package to version.
        dropped: counter of what was left out of *both* splits, and why.
    """

    def __init__(self, record: dict[str, Any], split: str):
        super().__init__(f"installed_docs({split!r})")
        self.split = split
        self.versions = record["settings"]["packages"]
        self.documents = [
            Document(*fields)
            for where, *fields in record["documents"]
            if split in ("all", where)
        ]
        self.dropped = collections.Counter(record["dropped"])
        self.count = len(self.documents)
        if not self.count:
            raise ValueError(
                f"No document in the split {split!r} of "
                f"{', '.join(self.versions)}. Left out: "
                f"{dict(self.dropped)}. Lower `minimum_characters` or name "
                "more `packages`."
            )

    def __iter__(self) -> Iterator[Document]:
        return iter(self.documents)

    def __getitem__(self, index: int) -> Document:
        return self.documents[index]

    def __str__(self) -> str:
        labels = collections.Counter(d.label for d in self.documents)
        return (
            super().__str__()
            + "\n  packages: "
            + ", ".join(
                f"{label} {self.versions[label]} ({count:,})"
                for label, count in labels.most_common()
            )
        )
