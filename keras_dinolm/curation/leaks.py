"""Test texts in the training corpus."""

import collections
import collections.abc
import os
import pathlib
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_dinolm import arguments
from keras_dinolm.curation.passes import map_texts
from keras_dinolm.curation.report import Report
from keras_dinolm.data.corpora.documents import to_documents
from keras_dinolm.data.corpora.files import ending_of
from keras_dinolm.data.corpora.files import find_files
from keras_dinolm.data.corpora.json_lines import read_jsonl
from keras_dinolm.data.corpora.text_files import read_text
from keras_dinolm.text.ngrams import hash_ngrams
from keras_dinolm.text.ngrams import split_words
from keras_dinolm.text.sentences import split_sentences
from keras_dinolm.typing import Path

_TEXT = (".txt", ".md", ".rst", ".tsv", ".csv")
_MOST = (1 << 31) - 1
_JSON = (".jsonl", ".ndjson", ".json")


def find_leaks(
    corpus: Iterable[Any],
    tests: Path | Sequence[Path] | Mapping[str, Iterable[str]],
    n: int = 13,
    minimum_words: int = 5,
    text_key: str = "text",
    directory: Path | None = None,
    show_progress: bool = True,
) -> Report:
    """Finds documents that contain test texts.

    An encoder that has read the test is graded on its memory. A document leaks
    a test text if the two share a run of `n` words. A test text of fewer words
    is looked for as a whole: it leaks if it is, word for word, a line or a
    sentence of the document, or all of it. Case, punctuation and white space
    do not matter.

    Args:
        corpus: iterable of `str`, `Document`, or mappings with `"text"`. It
            is read once and may be larger than memory. A document leaks what
            its alternates leak.
        tests: what to look for: path or list of paths, of files or folders
            (each line of a text file is one test text; JSON lines have it
            under `text_key`); or a dict from a name to a path, or to an
            iterable of texts. A column for the label would be read as words:
            give such tests as texts.
        n: int. Length of the runs, in words. Defaults to `13`, as for GPT-3;
            8 finds more, but also more that is no leak.
        minimum_words: int. Test texts of fewer words are only counted and not
            looked for, since they are found anywhere. Defaults to `5`.
        text_key: str. The key of the text in JSON lines.
        directory: path of a folder where results are kept on the way, so that
            the same call continues where it was stopped. Defaults to `None`.
        show_progress: bool. Whether to show a progress bar.

    Returns:
        A `Report` with one rule for each test file (or name): the documents
        that leak it. The table also has its texts, how many of them leaked,
        and how many were too short. `details["leaked"]` is a dict from the
        name to the indices of the test texts that leaked.

    Raises:
        ValueError: if there is no test text, an argument is out of range, or
            the directory holds results of another corpus or of other tests.
        FileNotFoundError: if a file is missing.

    Example:

    ```python
    import keras_dinolm as kd

    corpus = ["A text. The cat sat on the mat! Another.", "Something else."]
    tests = {"cats": ["the cat sat on the mat", "my cat saw the other mat"]}
    report = kd.curation.find_leaks(corpus, tests, show_progress=False)
    report.select(corpus)  # ["Something else."]
    report.details["leaked"]["cats"]  # array([0])
    ```

    Reference:

    - [Brown et al., 2020](https://arxiv.org/abs/2005.14165), appendix C
    """
    n = arguments.integer("n", n, 1, _MOST)
    minimum_words = arguments.integer("minimum_words", minimum_words, 1, _MOST)
    text_key = arguments.string("text_key", text_key)
    show_progress = arguments.flag("show_progress", show_progress)
    texts_of = _read_tests(tests, text_key)
    index = _Index(texts_of, n, minimum_words)
    settings = [f"n={n} minimum_words={minimum_words}"]
    for name, texts in texts_of.items():
        settings += [name, *texts]
    documents: dict[str, list[int]] = {name: [] for name in texts_of}
    leaked: dict[str, set[int]] = {name: set() for name in texts_of}
    total = 0
    for found in map_texts(
        index.find,
        len(index.owners),
        corpus,
        settings,
        directory,
        "Leaks",
        show_progress,
        alternates=True,
    ):
        for name in dict.fromkeys(index.owners[key][0] for key in found):
            documents[name].append(total)
        for key in found:
            name, place = index.owners[key]
            leaked[name].add(place)
        total += 1
    return Report(
        "Leaks of test texts",
        total,
        {name: np.array(part, "int64") for name, part in documents.items()},
        columns={
            "texts": {name: len(texts) for name, texts in texts_of.items()},
            "too short": dict(index.too_short),
            "leaked": {name: len(part) for name, part in leaked.items()},
        },
        details={
            "leaked": {
                name: np.array(sorted(part), dtype="int64")
                for name, part in leaked.items()
            }
        },
    )


class _Index:
    """Which test texts a run of words, or a short sentence, belongs to."""

    def __init__(
        self, tests: Mapping[str, Sequence[str]], n: int, minimum_words: int
    ) -> None:
        self.n = n
        self.owners: list[tuple[str, int]] = []
        self.too_short = {name: 0 for name in tests}
        self.runs = collections.defaultdict(list)
        self.wholes = collections.defaultdict(list)
        for name, texts in tests.items():
            for place, text in enumerate(texts):
                key = len(self.owners)
                self.owners.append((name, place))
                words = split_words(text)
                if len(words) < min(minimum_words, n):
                    self.too_short[name] += 1
                elif len(words) < n:
                    self.wholes[tuple(words)].append(key)
                else:
                    for run in set(hash_ngrams(words, n).tolist()):
                        self.runs[run].append(key)

    def find(self, text: str) -> list[int]:
        """The numbers of the test texts that a document leaks, ascending."""
        found = set()
        words = split_words(text)
        for run in hash_ngrams(words, self.n).tolist():
            if run in self.runs:
                found.update(self.runs[run])
        if self.wholes:
            for piece in (text, *text.splitlines(), *split_sentences(text)):
                words = tuple(split_words(piece))
                if words in self.wholes:
                    found.update(self.wholes[words])
        return sorted(found)


def _read_tests(tests, text_key):
    """A dict from names to lists of texts."""
    what = (
        "a path, a list of paths, or a dict from names to paths or to lists "
        "of texts"
    )
    if isinstance(tests, str | os.PathLike):
        tests = [tests]
    arguments.instance("tests", tests, list | tuple | Mapping, what)
    paths = [] if isinstance(tests, Mapping) else tests
    for source in paths:
        arguments.instance("tests", source, str | os.PathLike, what)
    for source in tests.values() if isinstance(tests, Mapping) else ():
        if isinstance(source, bytes) or not isinstance(
            source, str | os.PathLike | Iterable
        ):
            arguments.refuse("tests", tests, what)
    if not tests and not isinstance(tests, Mapping):
        arguments.refuse("tests", tests, what)
    if not isinstance(tests, Mapping):
        files = find_files(tests, _TEXT + _JSON).files
        tests = {str(file): file for file in files}
    read = {}
    for name, source in tests.items():
        if isinstance(source, str | os.PathLike):
            if ending_of(pathlib.PurePath(source)) in _JSON:
                source = read_jsonl(source, text_key)
            else:
                source = read_text(source, split="line")
        read[str(name)] = [doc.text for doc in to_documents(source)]
    empty = [name for name, texts in read.items() if not texts]
    if empty or not read:
        raise ValueError(
            "`tests` must hold texts to look for. Received none"
            + (f" under: {', '.join(empty)}" if empty else ": tests is empty")
        )
    return read
