"""`read_text`: a corpus of plain text files."""

from keras_dinolm import arguments
from keras_dinolm.data.corpora.corpus import Corpus
from keras_dinolm.data.corpora.document import Document
from keras_dinolm.data.corpora.file_corpus import MAXIMUM_CHARACTERS
from keras_dinolm.data.corpora.file_corpus import FileCorpus
from keras_dinolm.data.corpora.file_corpus import Limits
from keras_dinolm.data.corpora.file_corpus import Reader
from keras_dinolm.data.corpora.file_corpus import repaired
from keras_dinolm.data.corpora.files import Paths
from keras_dinolm.data.corpora.opening import numbered_lines

ENDINGS = (".txt", ".text", ".md", ".markdown", ".rst")


def read_text(
    paths: Paths,
    split: str = "file",
    minimum_characters: int = 1,
    label: str | None = None,
    maximum_characters: int = MAXIMUM_CHARACTERS,
    encoding: str = "utf-8",
    errors: str = "skip",
) -> Corpus:
    """A corpus of plain text files.

    Each pass opens each file once. A pipe (`"/dev/stdin"`) has one pass only.
    Files compressed by gzip, bzip2, xz or zstd are known by their content.
    Lines may end as on any system; in the texts they end in a line feed.

    What cannot be used stops nothing. It is counted by reason, and at the end
    of the first pass one warning names the first places. A file counts as
    binary if it begins as a known format does, or if more than one in twenty
    of the first characters are control characters. One NUL makes no file
    binary, wherever it is.

    Args:
        paths: path, or list of paths, of files, folders, or patterns such as
            `"texts/**/*.log"`. Of a folder, all `*.txt`, `*.text`, `*.md`,
            `*.markdown` and `*.rst` are read in the order of their names, in
            small or capital letters, also compressed (`*.txt.gz`). Hidden
            files are left out, links are followed, and nothing is read
            twice.
        split: `"file"`, `"paragraph"` (separated by blank lines) or
            `"line"`: what is one document. Defaults to `"file"`.
        minimum_characters: int. Shorter documents (without surrounding white
            space) are left out and counted. Defaults to `1`: empty ones.
        label: str. One label for all; by default, the name of the folder
            that holds the file.
        maximum_characters: int. Longer documents are left out and counted, so
            that none fills the memory. Defaults to 10 million.
        encoding: str. The encoding of files without a byte order mark.
            Defaults to `"utf-8"`.
        errors: `"skip"` leaves out and counts documents with bytes that are
            not in the encoding; `"replace"` keeps them, with U+FFFD in the
            place of such bytes. Defaults to `"skip"`.

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

    with open("notes.txt", "w") as file:
        print("One note.", "", "Another.", sep=chr(10), file=file)
    corpus = kd.data.read_text("notes.txt", split="paragraph")
    len(corpus)  # 2
    ```
    """
    limits = Limits(minimum_characters, maximum_characters, encoding, errors)
    return FileCorpus(paths, ENDINGS, limits, text_reader(limits, split, label))


def text_reader(limits: Limits, split: str, label: str | None = None) -> Reader:
    """Makes the function that reads one file; see `FileCorpus`."""
    arguments.choice("split", split, ("file", "paragraph", "line"))
    if label is not None:
        arguments.instance("label", label, str, "a string")
    pieces = {"file": _whole, "paragraph": _paragraphs, "line": _lines}[split]

    def read(path, report):
        name = path.parent.name if label is None else label
        with limits.open(path) as file:
            for number, text in pieces(file, limits.maximum_characters):
                place = str(path) if number is None else f"{path}:{number}"
                if limits.accept(text, place, report) is not None:
                    yield repaired(Document(text, place, name)), place

    return read


def _whole(file, longest):
    text = file.read(longest + 1)
    while len(text) > longest and file.read(1 << 16):
        pass  # a pipe is read to its end, or its writer fails
    yield None, text


def _lines(file, longest):
    for number, line in numbered_lines(file, longest):
        if line is None:
            yield number, None
        elif line.strip():
            yield number, line.removeprefix("\ufeff").rstrip("\n")


def _paragraphs(file, longest):
    paragraph, first, size = [], 1, 0
    for number, line in numbered_lines(file, longest):
        if line is not None and not line.strip():
            if paragraph:
                yield first, _joined(paragraph, size, longest)
            paragraph, size = [], 0
            continue
        first = first if paragraph else number
        size += longest + 1 if line is None else len(line)
        if size > longest:
            paragraph = [""]  # nothing more of it is kept
        else:
            paragraph.append(line.removeprefix("\ufeff").rstrip("\n"))
    if paragraph:
        yield first, _joined(paragraph, size, longest)


def _joined(paragraph, size, longest):
    return "\n".join(paragraph) if size <= longest else None
