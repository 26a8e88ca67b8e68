"""`read_jsonl`: a corpus of JSON lines."""

import json

from keras_dinolm.data.arguments import check_integer
from keras_dinolm.data.corpora.corpus import Corpus
from keras_dinolm.data.corpora.document import Document
from keras_dinolm.data.corpora.document import is_list_of_strings
from keras_dinolm.data.corpora.file_corpus import BINARY
from keras_dinolm.data.corpora.file_corpus import FileCorpus
from keras_dinolm.data.corpora.file_corpus import decode
from keras_dinolm.data.corpora.files import Paths
from keras_dinolm.data.corpora.files import find_files
from keras_dinolm.data.corpora.files import is_binary
from keras_dinolm.data.corpora.files import open_file


def read_jsonl(
    paths: Paths,
    text_key: str = "text",
    id_key: str | None = None,
    label_key: str | None = None,
    minimum_characters: int = 1,
    alternates_key: str | None = None,
) -> Corpus:
    """A corpus of JSON lines: one object per line.

    Each pass reads the files again, line by line, so they may be larger than
    memory. A line that cannot be used (no JSON, no text, bytes that are
    not UTF-8) stops nothing: it is counted, and one warning a pass names the
    first such places.

    Args:
        paths: path, or list of paths, of files or folders (searched for
            `*.jsonl`, `*.jsonl.gz`, `*.ndjson`, `*.ndjson.gz`). Files that
            end in `.gz` are decompressed on the way.
        text_key: str. The key of the text. Defaults to `"text"`.
        id_key: str. The key of the document's name; by default, file name and
            line number.
        label_key: str. The key of the label. Defaults to none.
        minimum_characters: int. Shorter texts (without surrounding white
            space) are left out and counted. Defaults to `1`: empty ones.
        alternates_key: str. The key of other texts of the same meaning, a
            list of strings or a single one; a line may lack it. Defaults to
            none.

    Returns:
        A re-iterable corpus of `Document`.

    Raises:
        FileNotFoundError: if a path does not exist, or a folder has no file of
            this kind.

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
    check_integer("minimum_characters", minimum_characters, 0)
    files = find_files(paths, (".jsonl", ".ndjson"))
    return _JsonLines(
        files, text_key, id_key, label_key, minimum_characters, alternates_key
    )


class _JsonLines(FileCorpus):
    def __init__(
        self,
        files,
        text_key,
        id_key,
        label_key,
        minimum_characters,
        alternates_key,
    ):
        super().__init__(files, minimum_characters)
        self.text_key = text_key
        self.id_key = id_key
        self.label_key = label_key
        self.alternates_key = alternates_key

    def _documents(self, path, report):
        if is_binary(path):
            report.add(BINARY, path)
            return
        with open_file(path) as file:
            for number, line in enumerate(file, 1):
                line = decode(line, path, number, report)
                if not line.strip():
                    continue
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError):
                    report.add("lines that are not JSON", path, number)
                    continue
                document = self._document(record, path, number, report)
                if document is not None:
                    yield document, number

    def _document(self, record, path, number, report):
        if not isinstance(record, dict):
            report.add("lines that are not JSON objects", path, number)
            return None
        text = record.get(self.text_key)
        if not isinstance(text, str):
            reason = f"lines without a string under {self.text_key!r}"
            report.add(reason, path, number)
            return None
        name, label = f"{path}:{number}", ""
        if self.id_key is not None:
            if self.id_key in record:
                name = str(record[self.id_key])
            else:
                reason = f"lines without {self.id_key!r} (kept, named by line)"
                report.add(reason, path, number)
        if self.label_key is not None:
            if self.label_key in record:
                label = str(record[self.label_key])
            else:
                reason = f"lines without {self.label_key!r} (kept, label '')"
                report.add(reason, path, number)
        alternates = record.get(self.alternates_key) or ()
        if isinstance(alternates, str):
            alternates = (alternates,)
        if not is_list_of_strings(alternates):
            reason = (
                f"lines whose {self.alternates_key!r} is no list of strings "
                "(kept, without it)"
            )
            report.add(reason, path, number)
            alternates = ()
        return Document(text, name, label, alternates=tuple(alternates))
