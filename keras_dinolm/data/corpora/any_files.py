"""`read_files`: a corpus of files of several kinds."""

from keras_dinolm.data.corpora import csv_files
from keras_dinolm.data.corpora import json_lines
from keras_dinolm.data.corpora import parquet_files
from keras_dinolm.data.corpora import text_files
from keras_dinolm.data.corpora.corpus import Corpus
from keras_dinolm.data.corpora.fields import Fields
from keras_dinolm.data.corpora.file_corpus import MAXIMUM_CHARACTERS
from keras_dinolm.data.corpora.file_corpus import FileCorpus
from keras_dinolm.data.corpora.file_corpus import Limits
from keras_dinolm.data.corpora.files import Paths
from keras_dinolm.data.corpora.files import ending_of

_ENDINGS = (
    *text_files.ENDINGS,
    *json_lines.ENDINGS,
    *csv_files.ENDINGS,
    *parquet_files.ENDINGS,
)


def read_files(
    paths: Paths,
    split: str = "paragraph",
    text_key: str = "text",
    minimum_characters: int = 1,
    maximum_characters: int = MAXIMUM_CHARACTERS,
    encoding: str = "utf-8",
    errors: str = "skip",
) -> Corpus:
    """A corpus of files of any kind that is read here, also mixed.

    The ending of a file's name, in small or capital letters, decides how it
    is read: `.jsonl`, `.ndjson` and `.json` as by `read_jsonl`; `.csv`,
    `.tsv` and `.tab` as by `read_csv`; `.parquet` and `.pq` as by
    `read_parquet`; anything else as by `read_text`. Compressed files are known
    by their content. What is left out is counted, and named in one warning at
    the end of the first pass.

    Args:
        paths: path, or list of paths, of files, folders, or patterns. Of a
            folder, all files with the endings above or `.txt`, `.text`,
            `.md`, `.markdown` or `.rst` are read in the order of their names,
            also compressed.
        split: `"file"`, `"paragraph"` (separated by blank lines) or
            `"line"`: what is one document of a text file. Defaults to
            `"paragraph"`.
        text_key: str. The key or column of the text. Defaults to `"text"`.
        minimum_characters: int. Shorter texts (without surrounding white
            space) are left out and counted. Defaults to `1`: empty ones.
        maximum_characters: int. Longer texts, lines or fields are left out
            and counted, so that none fills the memory. Defaults to 10
            million.
        encoding: str. The encoding of files without a byte order mark.
            Defaults to `"utf-8"`.
        errors: `"skip"` leaves out and counts documents with bytes that are
            not in the encoding; `"replace"` keeps them, with U+FFFD in the
            place of such bytes. Defaults to `"skip"`.

    Returns:
        A re-iterable corpus of `Document`.

    Raises:
        FileNotFoundError: if a path does not exist, or a folder has no file of
            these kinds.
        ValueError: if an argument is out of range, or for a second pass over
            a pipe.

    Example:

    ```python
    import pathlib
    import keras_dinolm as kd

    pathlib.Path("texts").mkdir()
    pathlib.Path("texts/a.md").write_text("one")
    pathlib.Path("texts/b.csv").write_text("text,label\\nxyz,two\\n")
    corpus = kd.data.read_files("texts")
    assert [document.text for document in corpus] == ["one", "xyz"]
    ```
    """
    limits = Limits(minimum_characters, maximum_characters, encoding, errors)
    readers = {
        json_lines.ENDINGS: json_lines.json_reader(Fields(text_key), limits),
        csv_files.ENDINGS: csv_files.csv_reader(
            Fields(text_key, records="rows"), limits
        ),
        parquet_files.ENDINGS: parquet_files.parquet_reader(
            Fields(text_key, records="rows"), limits
        ),
    }
    plain = text_files.text_reader(limits, split)

    def read(path, report):
        ending = ending_of(path)
        for endings, reader in readers.items():
            if ending in endings:
                return reader(path, report)
        return plain(path, report)

    return FileCorpus(paths, _ENDINGS, limits, read)
