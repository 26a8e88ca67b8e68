"""Labelled texts, text pairs, tagged words and searches, read from files."""

import collections
import math
import re
from typing import NamedTuple

from keras_dinolm import arguments
from keras_dinolm.evaluation.entity_f1 import check_tag
from keras_dinolm.evaluation.text_files import check_label
from keras_dinolm.evaluation.text_files import check_string
from keras_dinolm.evaluation.text_files import find_file
from keras_dinolm.evaluation.text_files import rows
from keras_dinolm.typing import Path

_NUMBER = re.compile(r"[-+]?[0-9]*\.?[0-9]*(?:[eE][-+]?[0-9]+)?")


class LabelledTexts(NamedTuple):
    """Texts, and one label each.

    Attributes:
        texts: List of strings.
        labels: List of strings.
    """

    texts: list
    labels: list


class TextPairs(NamedTuple):
    """Pairs of texts, and what is known of each pair.

    Attributes:
        first: List of strings.
        second: List of strings.
        targets: List of labels (strings) or scores (floats).
    """

    first: list
    second: list
    targets: list


class TaggedWords(NamedTuple):
    """Sentences of words, and one tag a word.

    Attributes:
        words: List of lists of strings.
        tags: List of lists of `O`, `B-type`, `I-type`.
    """

    words: list
    tags: list


class Searches(NamedTuple):
    """Queries, documents, and what is relevant to each query.

    Attributes:
        queries: List of strings.
        documents: List of strings.
        relevant: List, for each query, of dicts from the indices of documents
            to grades, as `retrieval_ndcg` takes them.
    """

    queries: list
    documents: list
    relevant: list


def read_labelled_texts(
    path: Path, text: str = "text", label: str = "label"
) -> LabelledTexts:
    """Texts with a label each, from one file.

    Args:
        path: Path of a `.tsv` file (a header line, fields separated by tabs,
            no quoting), of a `.csv` file (a header line, fields separated by
            commas, perhaps quoted) or of a `.jsonl` file (one object a line).
            It may be compressed by gzip, bzip2, xz or zstd.
        text: String. Column or key of the text. A list of words, as in slot
            filling files, is joined by spaces.
        label: String. Column or key of the label: a string, or an integer,
            which becomes one.

    Returns:
        `LabelledTexts`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: Naming file and line, if a row is not as described.

    Example:

    ```python
    import keras_dinolm as kd

    with open("train.tsv", "w") as file:
        print("text", "label", sep=chr(9), file=file)
        print("Who wrote it?", "HUM", sep=chr(9), file=file)
    print(kd.evaluation.read_labelled_texts("train.tsv").labels)  # ["HUM"]
    ```
    """
    path = _checked(path, text=text, label=label)
    texts, labels = [], []
    for place, (value, found) in rows(path, (text, label)):
        if isinstance(value, list):
            value = " ".join(_words(place, text, value))
        texts.append(check_string(place, text, value))
        labels.append(check_label(place, label, found))
    return LabelledTexts(texts, labels)


def read_text_pairs(
    path: Path, target: str = "label", first: str = "s1", second: str = "s2"
) -> TextPairs:
    """Pairs of texts with a label or a score each, from one file.

    Args:
        path: Path of a file, as for `read_labelled_texts`.
        target: String. Column or key of what is known of a pair. `"score"` is
            read as a number.
        first: String. Column or key of the first text (of NLI, the premise).
        second: String. Column or key of the second (the hypothesis).

    Returns:
        `TextPairs`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: Naming file and line, if a row is not as described.

    Example:

    ```python
    import keras_dinolm as kd

    with open("dev.tsv", "w") as file:
        print("score", "s1", "s2", sep=chr(9), file=file)
        print("4.5", "A man runs.", "A man is running.", sep=chr(9), file=file)
    print(kd.evaluation.read_text_pairs("dev.tsv", "score").targets)  # [4.5]
    ```
    """
    path = _checked(path, target=target, first=first, second=second)
    pairs = TextPairs([], [], [])
    read = _score if target == "score" else check_label
    for place, (known, s1, s2) in rows(path, (target, first, second)):
        pairs.first.append(check_string(place, first, s1))
        pairs.second.append(check_string(place, second, s2))
        pairs.targets.append(read(place, target, known))
    return pairs


def read_tagged_words(
    path: Path, words: str = "tokens", tags: str = "tags"
) -> TaggedWords:
    """Sentences of words with a tag each, from one file of JSON lines.

    Args:
        path: Path of a `.jsonl` file; it may be compressed.
        words: String. Key of a list of words.
        tags: String. Key of a list of as many tags: `O`, `B-type`, `I-type`.

    Returns:
        `TaggedWords`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: Naming file and line, if a row is not as described.

    Example:

    ```python
    import keras_dinolm as kd

    with open("dev.jsonl", "w") as file:
        print('{"tokens": ["in", "Rome"], "tags": ["O", "B-city"]}', file=file)
    print(kd.evaluation.read_tagged_words("dev.jsonl").tags)
    ```
    """
    path = _checked(path, words=words, tags=tags)
    tagged = TaggedWords([], [])
    for place, (sentence, labels) in rows(path, (words, tags)):
        sentence = _words(place, words, sentence)
        if not isinstance(labels, list) or len(labels) != len(sentence):
            raise ValueError(
                f"{place}: {tags!r} must be a list of one tag a word. "
                f"Received: {labels!r} for {len(sentence)} words."
            )
        for tag in labels:
            if not isinstance(tag, str):
                raise ValueError(
                    f"{place}: a tag of {tags!r} must be a string. Received: "
                    f"{tag!r}"
                )
            check_tag(f"{place}: {tags}", tag)
        tagged.words.append(sentence)
        tagged.tags.append(labels)
    return tagged


def read_beir(folder: Path, split: str = "test") -> Searches:
    """Queries, documents and judgements from a folder in the layout of BEIR.

    The folder holds `corpus.jsonl` (`_id`, `text` and perhaps `title`),
    `queries.jsonl` (`_id`, `text`) and `qrels/<split>.tsv` (`query-id`,
    `corpus-id`, `score`). A document's text is its title and its text with a
    space between, as in BEIR. Queries without a relevant document in the
    split are left out.

    Args:
        folder: Path.
        split: String. Which file of `qrels` to read.

    Returns:
        `Searches`, with queries and documents in the order of their files.

    Raises:
        FileNotFoundError: If one of the files is missing.
        ValueError: Naming file and line, if a row is not as described, an
            `_id` occurs twice, or `qrels` name one that does not exist.

    Example:

    ```python
    import pathlib
    import keras_dinolm as kd

    pathlib.Path("qrels").mkdir()
    pathlib.Path("corpus.jsonl").write_text('{"_id": "d", "text": "a fox"}')
    pathlib.Path("queries.jsonl").write_text('{"_id": "q", "text": "foxes"}')
    with open("qrels/test.tsv", "w") as file:
        print("query-id", "corpus-id", "score", sep=chr(9), file=file)
        print("q", "d", "1", sep=chr(9), file=file)
    print(kd.evaluation.read_beir(".").relevant)  # [{0: 1.0}]
    ```

    Reference:

    - [Thakur et al., 2021](https://arxiv.org/abs/2104.08663)
    """
    folder = arguments.path("folder", folder)
    arguments.string("split", split)
    corpus = find_file(folder, "corpus", (".jsonl",))
    documents = _texts_by_id(corpus, with_title=True)
    queries = _texts_by_id(find_file(folder, "queries", (".jsonl",)))
    places = {name: index for index, name in enumerate(documents)}
    grades: dict[str, dict[int, float]] = collections.defaultdict(dict)
    columns = ("query-id", "corpus-id", "score")
    path = find_file(folder / "qrels", split, (".tsv",))
    for place, (query, document, score) in rows(path, columns):
        for name, known, file in (
            (query, queries, "queries.jsonl"),
            (document, documents, "corpus.jsonl"),
        ):
            if name not in known:
                raise ValueError(f"{place}: no _id {name!r} in {file}.")
        grade = _score(place, "score", score)
        if grade < 0:
            raise ValueError(
                f"{place}: 'score' must not be negative. Received: {score}"
            )
        known_grade = grades[query].setdefault(places[document], grade)
        if known_grade != grade:
            raise ValueError(
                f"{place}: {document!r} was judged for {query!r} before, as "
                f"{known_grade:g}, and now as {grade:g}. Keep one of the lines."
            )
    judged = [name for name in queries if any(grades[name].values())]
    if not judged:
        raise ValueError(f"{path} has no query with a score above 0.")
    return Searches(
        [queries[name] for name in judged],
        list(documents.values()),
        [grades[name] for name in judged],
    )


def _checked(path, **columns):
    """The path, if it is one and all names of columns are strings."""
    for name, column in columns.items():
        arguments.string(name, column)
    return arguments.path("path", path)


def _texts_by_id(path, with_title=False):
    found = {}
    # A title is optional, and in some files null.
    for place, (name, text, title) in rows(
        path, ("_id", "text"), optional=("title",)
    ):
        if not isinstance(name, str) or name in found:
            raise ValueError(
                f"{place}: '_id' must be a string that occurs once. "
                f"Received: {name!r}"
            )
        if not isinstance(text, str):
            raise ValueError(
                f"{place}: 'text' must be a string. Received: {text!r}"
            )
        if title is not None and not isinstance(title, str):
            raise ValueError(
                f"{place}: 'title' must be a string or null. Received: "
                f"{title!r}"
            )
        found[name] = f"{title} {text}" if with_title and title else text
    return found


def _words(place, name, words):
    if not isinstance(words, list) or not words:
        raise ValueError(
            f"{place}: {name!r} must be a list of words. Received: {words!r}"
        )
    for word in words:
        if not isinstance(word, str) or len(word.split()) != 1:
            raise ValueError(
                f"{place}: a word of {name!r} must be a string without white "
                f"space. Received: {word!r}"
            )
    return words


def _score(place, name, value):
    try:
        # Python reads "1_000" and `True` as numbers, too.
        score = math.nan if isinstance(value, bool) else float(value)
        if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
            score = math.nan
    except (TypeError, ValueError, OverflowError):
        score = math.nan
    if not math.isfinite(score):
        raise ValueError(
            f"{place}: {name!r} must be a finite number. Received: "
            f"{arguments.shorten(value)}"
        )
    return score
