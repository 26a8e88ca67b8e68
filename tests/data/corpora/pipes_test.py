"""Pipes: every document, one opening, and no second pass that is empty."""

import json
import os
import subprocess
import sys
import threading

import pytest

from keras_dinolm.data import read_csv
from keras_dinolm.data import read_files
from keras_dinolm.data import read_jsonl
from keras_dinolm.data import read_text
from keras_dinolm.data import train_tokenizer

pytestmark = pytest.mark.once

LINES = [json.dumps({"text": f"document {i} of a pipe"}) for i in range(3_000)]
DATA = "".join(line + "\n" for line in LINES).encode()


class Pipe:
    """A pipe without a name, by its path."""

    def __init__(self, data):
        self.end, writing = os.pipe()
        self.path = f"/dev/fd/{self.end}"

        def write():
            with os.fdopen(writing, "wb") as file:
                # In small parts, as a slow program writes.
                for start in range(0, len(data), 1_000):
                    file.write(data[start : start + 1_000])
                    file.flush()

        self.writer = threading.Thread(target=write)

    def __enter__(self):
        self.writer.start()
        return self.path

    def __exit__(self, *_):
        os.close(self.end)
        self.writer.join()


def test_standard_input_of_a_shell_gives_every_document():
    """1,000 lines, as in the report where 680 of them arrived."""
    code = (
        "import keras_dinolm.data as data\n"
        "corpus = data.read_jsonl('/dev/stdin')\n"
        "documents = list(corpus)\n"
        "print(len(documents), len(corpus), documents[-1].text)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=b"".join(line.encode() + b"\n" for line in LINES[:1_000]),
        capture_output=True,
    )
    assert done.stdout.split(b"\n")[0] == b"1000 1000 document 999 of a pipe"
    assert not done.stderr, done.stderr


@pytest.mark.parametrize(
    "reader", [read_jsonl, read_text, read_files, read_csv]
)
def test_a_pipe_is_read_whole_and_once(reader):
    options = {"split": "line"} if reader in (read_text, read_files) else {}
    data = b"text\n" + DATA.replace(b'"', b"") if reader is read_csv else DATA
    if reader is read_csv:
        data = data.replace(b": ", b"; ")
        options = {"delimiter": ":"}
    with Pipe(data) as path:
        corpus = reader(path, **options)
        documents = list(corpus)
        assert len(documents) == len(corpus) == corpus.count == 3_000
        assert "document 2999 of a pipe" in documents[-1].text
        for again in (corpus, reader(path, **options)):
            with pytest.raises(ValueError, match="read already.*save it"):
                list(again)


def test_the_length_of_a_pipe_is_not_known_before_it_is_read():
    with Pipe(DATA) as path:
        corpus = read_jsonl(path)
        with pytest.raises(TypeError, match="once they have been read"):
            len(corpus)
        assert "not read to its end" in str(corpus)
        assert train_tokenizer(corpus, show_progress=False)
        with pytest.raises(ValueError, match=r"list\(corpus\)"):
            train_tokenizer(corpus, show_progress=False)


def test_a_named_pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(DATA))
    writer.start()
    corpus = read_jsonl(path)
    assert len(list(corpus)) == 3_000
    writer.join()
    # It must not wait for another writer.
    with pytest.raises(ValueError, match="read already"):
        list(corpus)


def test_process_substitution_of_bash(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    import gzip

    path.write_bytes(gzip.compress(DATA))
    code = (
        "import sys, keras_dinolm.data as data; "
        "print(sum(1 for _ in data.read_jsonl(sys.argv[1])))"
    )
    for command in ("cat", "zcat"):
        shell = f"{sys.executable} -c '{code}' <({command} {path})"
        done = subprocess.run(["bash", "-c", shell], capture_output=True)
        assert done.stdout.strip() == b"3000", done.stderr


def test_a_pipe_in_a_folder_is_named_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "a.txt").write_text("a")
    corpus = read_text(tmp_path)
    with pytest.warns(UserWarning, match=r"1 pipes, .*pipe\.txt"):
        assert [d.text for d in corpus] == ["a"]
