"""`read_text`: a corpus of plain text files."""

from keras_dinolm.data.arguments import check_integer
from keras_dinolm.data.corpora.corpus import Corpus
from keras_dinolm.data.corpora.document import Document
from keras_dinolm.data.corpora.file_corpus import BINARY
from keras_dinolm.data.corpora.file_corpus import FileCorpus
from keras_dinolm.data.corpora.file_corpus import decode
from keras_dinolm.data.corpora.files import Paths
from keras_dinolm.data.corpora.files import find_files
from keras_dinolm.data.corpora.files import is_binary
from keras_dinolm.data.corpora.files import open_file


def read_text(
    paths: Paths,
    split: str = "file",
    minimum_characters: int = 1,
    label: str | None = None,
) -> Corpus:
    """A corpus of plain text files.

    Args:
        paths: path, or list of paths, of files or folders (searched for
            `*.txt`, `*.md`, `*.rst` and the same with `.gz`).
        split: `"file"`, `"paragraph"` (separated by blank lines) or
            `"line"`: what is one document. Defaults to `"file"`.
        minimum_characters: int. Shorter documents (without surrounding white
            space) are left out and counted. Defaults to `1`: empty ones.
        label: str. One label for all; by default, the name of the folder
            that holds the file.

    Returns:
        A re-iterable corpus of `Document`. Binary files and bytes that are not
        UTF-8 are counted and reported once a pass.

    Raises:
        FileNotFoundError: if a path does not exist, or a folder has no file of
            this kind.
        ValueError: if `split` is unknown.

    Example:

    ```python
    import keras_dinolm as kd

    with open("notes.txt", "w") as file:
        print("One note.", "", "Another.", sep=chr(10), file=file)
    corpus = kd.data.read_text("notes.txt", split="paragraph")
    len(corpus)  # 2
    ```
    """
    if split not in ("file", "paragraph", "line"):
        raise ValueError(
            "`split` must be one of 'file', 'paragraph', 'line'. "
            f"Received: split={split!r}"
        )
    check_integer("minimum_characters", minimum_characters, 0)
    files = find_files(paths, (".txt", ".md", ".rst"))
    return _TextFiles(files, split, minimum_characters, label)


class _TextFiles(FileCorpus):
    def __init__(self, files, split, minimum_characters, label):
        super().__init__(files, minimum_characters)
        self.split = split
        self.label = label

    def _documents(self, path, report):
        if is_binary(path):
            report.add(BINARY, path)
            return
        label = path.parent.name if self.label is None else self.label
        with open_file(path) as file:
            if self.split == "file":
                text = decode(file.read(), path, None, report)
                yield Document(text, str(path), label), None
                return
            for number, text in self._pieces(file, path, report):
                yield Document(text, f"{path}:{number}", label), number

    def _pieces(self, file, path, report):
        """Line number and text of each non-blank line or paragraph."""
        paragraph, first = [], 1
        for number, line in enumerate(file, 1):
            line = decode(line, path, number, report).rstrip("\r\n")
            if not line.strip():
                if paragraph:
                    yield first, "\n".join(paragraph)
                paragraph = []
            elif self.split == "line":
                yield number, line
            else:
                first = first if paragraph else number
                paragraph.append(line)
        if paragraph:
            yield first, "\n".join(paragraph)
