"""`read_parquet`: a corpus of Parquet files."""

from keras_dinolm.data.corpora.corpus import Corpus
from keras_dinolm.data.corpora.fields import Fields
from keras_dinolm.data.corpora.file_corpus import MAXIMUM_CHARACTERS
from keras_dinolm.data.corpora.file_corpus import FileCorpus
from keras_dinolm.data.corpora.file_corpus import Limits
from keras_dinolm.data.corpora.file_corpus import Reader
from keras_dinolm.data.corpora.files import Paths
from keras_dinolm.data.corpora.opening import is_stream

ENDINGS = (".parquet", ".pq")

# Rows in memory at a time.
_ROWS = 256


def read_parquet(
    paths: Paths,
    text_key: str = "text",
    id_key: str | None = None,
    label_key: str | None = None,
    minimum_characters: int = 1,
    alternates_key: str | None = None,
    maximum_characters: int = MAXIMUM_CHARACTERS,
) -> Corpus:
    """A corpus of Parquet files: one document a row.

    Only the columns that are named are read, a few hundred rows at a time.
    Rows whose text is missing or no string are left out, counted, and named
    in the warning at the end of the first pass; so are files that are
    damaged. Needs `pyarrow` (`pip install keras-dinolm[tables]`).

    Args:
        paths: path, or list of paths, of files, folders, or patterns. Of a
            folder, all `*.parquet` and `*.pq` are read in the order of their
            names.
        text_key: str. The column of the text. Dots lead into nested columns,
            unless a column has the dots itself. Defaults to `"text"`.
        id_key: str. The column of the document's name; by default, file name
            and row number.
        label_key: str. The column of the label. Defaults to none.
        minimum_characters: int. Shorter texts (without surrounding white
            space) are left out and counted. Defaults to `1`: empty ones.
        alternates_key: str. The column of other texts of the same meaning,
            lists of strings or single ones. Defaults to none.
        maximum_characters: int. Longer texts are left out and counted.
            Defaults to 10 million.

    Returns:
        A re-iterable corpus of `Document`.

    Raises:
        FileNotFoundError: if a path does not exist, or a folder has no file of
            this kind.
        ImportError: while reading, without `pyarrow`.
        ValueError: if an argument is out of range; while reading, if a file
            lacks one of the columns.

    Example:

    ```python
    import keras_dinolm as kd
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"body": ["a text", None]})
    pyarrow.parquet.write_table(table, "docs.parquet")
    corpus = kd.data.read_parquet("docs.parquet", text_key="body")
    print(corpus)  # how many documents, and what was left out
    ```
    """
    limits = Limits(minimum_characters, maximum_characters, "utf-8", "skip")
    fields = Fields(text_key, id_key, label_key, alternates_key, "rows")
    return FileCorpus(paths, ENDINGS, limits, parquet_reader(fields, limits))


def parquet_reader(fields: Fields, limits: Limits) -> Reader:
    """Makes the function that reads one file; see `FileCorpus`."""

    def read(path, report):
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError:
            raise ImportError(
                "Reading Parquet files needs `pyarrow`: "
                "`pip install keras-dinolm[tables]`."
            ) from None

        if is_stream(path):
            raise ValueError(
                f"{path} is a pipe or a device, and a Parquet file is read "
                "from its end. Save it to a file first."
            )
        number = 0
        try:
            with (
                open(path, "rb") as source,
                parquet.ParquetFile(source) as file,
            ):
                columns = _columns(file.schema_arrow.names, fields, path)
                for batch in file.iter_batches(_ROWS, columns=columns):
                    for record in batch.to_pylist():
                        number += 1
                        place = f"{path}:{number}"
                        document = fields.document(record, place, report)
                        if document is not None and limits.accept(
                            document.text, place, report
                        ):
                            yield document, place
        except (pyarrow.ArrowException, UnicodeDecodeError) as error:
            raise EOFError(f"after row {number}: {error}") from None

    return read


def _columns(names, fields, path):
    """The top-level columns that hold the keys."""
    columns = []
    for key in fields.keys():
        column = key if key in names else key.split(".")[0]
        if column not in names:
            raise ValueError(
                f"{path} has no column {key!r}. Its columns are "
                f"{', '.join(map(repr, names[:20]))}. Name one of them by "
                "`text_key=`, `id_key=`, `label_key=` or `alternates_key=`; a "
                "file without it cannot be read."
            )
        columns.append(column)
    return list(dict.fromkeys(columns))
