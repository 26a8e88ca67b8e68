"""`read_jsonl`: a corpus of JSON lines, or of JSON arrays."""

from keras_dinolm.data.corpora.corpus import Corpus
from keras_dinolm.data.corpora.fields import Fields
from keras_dinolm.data.corpora.file_corpus import MAXIMUM_CHARACTERS
from keras_dinolm.data.corpora.file_corpus import FileCorpus
from keras_dinolm.data.corpora.file_corpus import Limits
from keras_dinolm.data.corpora.file_corpus import Reader
from keras_dinolm.data.corpora.file_corpus import repaired
from keras_dinolm.data.corpora.files import Paths
from keras_dinolm.data.corpora.json_values import json_values

ENDINGS = (".jsonl", ".ndjson", ".json")


def read_jsonl(
    paths: Paths,
    text_key: str = "text",
    id_key: str | None = None,
    label_key: str | None = None,
    minimum_characters: int = 1,
    alternates_key: str | None = None,
    maximum_characters: int = MAXIMUM_CHARACTERS,
    encoding: str = "utf-8",
    errors: str = "skip",
) -> Corpus:
    """A corpus of JSON: one object per line, or an array of objects.

    Each pass opens each file once and reads it piece by piece, so it may be
    larger than memory, or a pipe (`"/dev/stdin"`), which has one pass only.
    Files compressed by gzip, bzip2, xz or zstd are known by their content.

    What cannot be used stops nothing. It is counted by reason, and at the end
    of the first pass one warning names the first places: lines that are not
    JSON, objects whose text is missing, empty or no string, bytes that are
    not in the encoding, files that are binary or damaged, and what was left
    out of a folder. Objects over many lines and strings in the place of
    objects are read as well.

    Args:
        paths: path, or list of paths, of files, folders, or patterns such as
            `"texts/**/*.json"`. Of a folder, all `*.jsonl`, `*.ndjson` and
            `*.json` are read in the order of their names, in small or capital
            letters, also compressed (`*.jsonl.gz`). Hidden files are left
            out, links are followed, and nothing is read twice.
        text_key: str. The key of the text. Dots lead into nested objects, as
            in `"page.body"`, unless a key has the dots itself. Defaults to
            `"text"`.
        id_key: str. The key of the document's name; by default, file name and
            line number.
        label_key: str. The key of the label. Defaults to none.
        minimum_characters: int. Shorter texts (without surrounding white
            space) are left out and counted. Defaults to `1`: empty ones.
        alternates_key: str. The key of other texts of the same meaning, a
            list of strings or a single one; a line may lack it. Defaults to
            none.
        maximum_characters: int. Longer lines are left out and counted, so
            that no line fills the memory. Defaults to 10 million.
        encoding: str. The encoding of files without a byte order mark.
            Defaults to `"utf-8"`.
        errors: `"skip"` leaves out and counts lines with bytes that are not
            in the encoding; `"replace"` keeps them, with U+FFFD in the place
            of such bytes. Defaults to `"skip"`.

    Returns:
        A re-iterable corpus of `Document`.

    Raises:
        FileNotFoundError: if a path does not exist, or a folder has no file of
            this kind.
        ValueError: if an argument is out of range, or for a second pass over
            a pipe.

    Example:

    ```python
    import keras_dinolm as kd

    with open("docs.jsonl", "w") as file:
        print('{"body": "a text"}', file=file)
        print('{"body": ""}', file=file)
    corpus = kd.data.read_jsonl("docs.jsonl", text_key="body")
    print(corpus)  # how many documents, and what was left out
    ```
    """
    limits = Limits(minimum_characters, maximum_characters, encoding, errors)
    fields = Fields(text_key, id_key, label_key, alternates_key)
    return FileCorpus(paths, ENDINGS, limits, json_reader(fields, limits))


def json_reader(fields: Fields, limits: Limits) -> Reader:
    """Makes the function that reads one file; see `FileCorpus`."""

    def read(path, report):
        # A line ends with a line feed: a lone carriage return is white space.
        with limits.open(path, newline="\n") as file:
            for found in json_values(file, limits.maximum_characters):
                place = f"{path}{found.place}"
                if found.error:
                    report.add(found.error, place)
                    continue
                if limits.accept(found.text, place, report) is None:
                    continue
                document = fields.document(found.value, place, report)
                if document is not None:
                    yield repaired(document), place

    return read
