"""Compression, encoding and kind are known by content; memory is bounded."""

import lzma
import pathlib
import tracemalloc
import warnings

import numpy as np
import pytest

from keras_dinolm.data import read_csv
from keras_dinolm.data import read_files
from keras_dinolm.data import read_jsonl
from keras_dinolm.data import read_text
from keras_dinolm.data.corpora import compression
from tests.data.corpora.compressions import COMPRESSIONS

pytestmark = pytest.mark.once


def read(path, **options):
    """The texts of a file, one a line; nothing may be left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return [d.text for d in read_text(path, split="line", **options)]


# === Compression ===


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_compression_is_known_by_content_and_not_by_name(tmp_path, name):
    compress = COMPRESSIONS[name]
    plain = "\n".join(f"line {i}" for i in range(20_000)).encode()
    # Two streams in one file, as `cat a.gz b.gz` makes them.
    half = plain.index(b"\n", 70_000) + 1
    data = compress(plain[:half]) + compress(plain[half:])
    for path in (tmp_path / "plain.txt", tmp_path / "other.log.gz"):
        path.write_bytes(data)
        assert read(path) == plain.decode().split("\n")
    # An uncompressed file that only calls itself compressed.
    (tmp_path / "lie.txt.gz").write_bytes(plain)
    assert read(tmp_path / "lie.txt.gz") == plain.decode().split("\n")


@pytest.mark.parametrize("name", ["gzip", "xz"])
def test_what_precedes_the_damage_of_a_small_file_is_read(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 10**9, 3_000)
    plain = "\n".join(map(str, noise)).encode()
    data = COMPRESSIONS[name](plain)
    path = tmp_path / "cut.txt"
    path.write_bytes(data[: len(data) * 3 // 4])
    corpus = read_text(path, split="line")
    with pytest.warns(UserWarning, match="(?s)cannot be read.*cut.txt"):
        texts = [d.text for d in corpus]
    assert len(texts) > 1_000
    assert texts == list(map(str, noise))[: len(texts)]


@pytest.mark.parametrize("name", COMPRESSIONS)
@pytest.mark.parametrize("reader", [read_jsonl, read_text, read_csv])
def test_a_bomb_is_skipped_in_bounded_memory(tmp_path, name, reader):
    """A line of 40 MB; the lines around it are read."""
    compress = COMPRESSIONS[name]
    before, line, after = (
        b'{"text": "a"}\n',
        b"x" * 4_000_000,
        b'\n{"text": "b"}',
    )
    if reader is read_csv:
        before, after = b"text\na\n", b"\nb\n"
    path = tmp_path / "bomb"
    path.write_bytes(compress(before) + compress(line) * 10 + compress(after))
    options = {"split": "line"} if reader is read_text else {}
    corpus = reader(path, maximum_characters=1_000_000, **options)
    tracemalloc.start()
    with pytest.warns(UserWarning, match="above 1,000,000 characters"):
        documents = list(corpus)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(documents) == 2
    assert peak < 12e6


def test_a_bomb_as_one_document_or_paragraph(tmp_path):
    path = tmp_path / "bomb.txt"
    compress = COMPRESSIONS["gzip"]
    path.write_bytes(compress(b"word\n" * 50_000) * 3)
    for split in ("file", "paragraph"):
        corpus = read_text(path, split=split, maximum_characters=50_000)
        tracemalloc.start()
        with pytest.warns(UserWarning, match="(?s)above 50,000 .*split="):
            assert list(corpus) == []
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        # A list of lines takes twenty times the room of the text.
        assert peak < 2e6


def test_xz_that_asks_for_too_much_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "hostile.txt.xz"
    path.write_bytes(lzma.compress(b"a text"))  # which asks for 8 MB
    assert len(list(read_text(path))) == 1
    monkeypatch.setattr(compression, "_XZ_MEMORY", 4_000_000)
    with pytest.warns(UserWarning, match="(?s)cannot be read.*[Mm]emory"):
        assert list(read_text(path)) == []


# === Encoding ===

UMLAUTS = "Größe\nnaïve café\n日本"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks_are_known(tmp_path, encoding):
    path = tmp_path / "a.txt"
    path.write_bytes(UMLAUTS.encode(encoding))
    assert read(path) == UMLAUTS.split("\n")
    # Big-endian machines write it so.
    path.write_bytes("\ufeffGröße".encode("utf-16-be"))
    assert read(path) == ["Größe"]
    records = tmp_path / "a.jsonl"
    records.write_bytes('{"text": "Größe"}\n{"text": "日本"}'.encode(encoding))
    assert [d.text for d in read_jsonl(records)] == ["Größe", "日本"]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16-le", "shift_jis"])
def test_encodings_are_read_as_asked(tmp_path, encoding):
    text = "日本\n表" if encoding == "shift_jis" else "Größe\n20 €\n\u2026"
    if encoding == "cp1252":
        text = text.replace("\u2026", "…")
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode(encoding))
    assert read(path, encoding=encoding) == text.split("\n")
    records = tmp_path / "a.jsonl"
    records.write_bytes(
        "\n".join(f'{{"text": "{t}"}}' for t in text.split("\n")).encode(
            encoding
        )
    )
    found = read_jsonl(records, encoding=encoding)
    assert [d.text for d in found] == text.split("\n")
    table = tmp_path / "a.csv"
    table.write_bytes(f"text\n{text}".encode(encoding))
    found = read_csv(table, encoding=encoding)
    assert [d.text for d in found] == text.split("\n")


def test_other_bytes_are_counted_with_the_cure_and_never_exchanged(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("fine\n20 €\nalso fine".encode("cp1252"))
    corpus = read_text(path, split="line")
    cure = (
        r"(?s)1 documents that are not utf-8: .*a\.txt:2\n.*encoding='cp1252'"
    )
    with pytest.warns(UserWarning, match=cure):
        assert [d.text for d in corpus] == ["fine", "also fine"]
    corpus = read_text(path, split="line", errors="replace")
    with pytest.warns(UserWarning, match="kept, with U.FFFD"):
        assert [d.text for d in corpus][1] == "20 \ufffd"
    with pytest.warns(UserWarning, match="1 documents that are not utf-8"):
        assert list(read_text(path)) == []


def test_unknown_encodings_and_errors_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    for encoding in ("latin-17", "base64", "", None, 3):
        with pytest.raises(ValueError, match="`encoding`"):
            read_text(tmp_path, encoding=encoding)
    with pytest.raises(ValueError, match="`errors`.*'skip', 'replace'"):
        read_text(tmp_path, errors="ignore")


# === What is text ===


@pytest.mark.parametrize("place", [0, 1, 8_191, 8_192, 300_000])
def test_one_nul_makes_no_file_binary_wherever_it_is(tmp_path, place):
    data = bytearray(b"a line of a log\n" * 20_000)
    data[place] = 0
    (tmp_path / "a.txt").write_bytes(data)
    assert read(tmp_path / "a.txt") == data.decode().split("\n")[:-1]


@pytest.mark.parametrize(
    "data, what",
    [
        (b"\x7fELF\0\0\0", "program"),
        (b"%PDF-1.7\nsome text", "PDF; convert"),
        (b"PK\x03\x04" + b"text" * 100, "zip archive"),
        (b"\x89PNG\r\n", "picture"),
        (bytes(range(256)) * 4, "convert them to UTF-8"),
        ("a text".encode("utf-16-le") * 9, "encoding='utf-16-le'"),
        (COMPRESSIONS["gzip"](COMPRESSIONS["gzip"](b"a text")), "twice"),
        (b"\0" * 257 + b"ustar" + b"\0" * 250, "tar archive"),
    ],
)
@pytest.mark.parametrize("reader", [read_jsonl, read_text, read_csv])
def test_binary_files_are_named_with_the_cure(tmp_path, data, what, reader):
    (tmp_path / "a.bin").write_bytes(data)
    corpus = reader(tmp_path / "a.bin")
    with pytest.warns(UserWarning, match=rf"1 binary files \(.*{what}"):
        assert list(corpus) == []


def test_a_parquet_file_is_sent_to_its_reader(tmp_path):
    import pyarrow
    from pyarrow import parquet

    path = tmp_path / "a.jsonl"
    parquet.write_table(pyarrow.table({"text": ["a"]}), path)
    with pytest.warns(UserWarning, match="read_parquet"):
        assert list(read_jsonl(path)) == []


def test_random_bytes_are_reported_and_stop_nothing(tmp_path):
    """Fuzz: real files with flipped, cut and added bytes."""
    generator = np.random.default_rng(0)
    good = tmp_path / "good"
    good.mkdir()
    (good / "z.txt").write_text("the end")
    for trial in range(150):
        lines = [f'{{"text": "some text {i}"}}' for i in range(40)]
        name = ("a.jsonl", "a.txt", "a.json", "a.md")[trial % 4]
        text = "\n".join(lines) if trial % 4 != 2 else f"[{','.join(lines)}]"
        data = bytearray(text.encode(("utf-8", "utf-16")[trial % 3 == 2]))
        if trial % 2:
            data = bytearray(list(COMPRESSIONS.values())[trial % 3](data))
        for _ in range(generator.integers(1, 9)):
            at = int(generator.integers(len(data)))
            if generator.random() < 0.5:
                data[at] = int(generator.integers(256))
            else:
                data[at : at + 9] = generator.bytes(generator.integers(0, 20))
        (good / name).write_bytes(data)
        corpus = read_files(good)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            texts = [d.text for d in corpus]
        assert texts[-1] == "the end"
        whole = name.endswith(("l", "n")) and len(texts) < 41
        assert not whole or corpus.dropped, (trial, len(texts))
        (good / name).unlink()


def test_a_file_is_opened_once_a_pass(tmp_path, monkeypatch):
    import builtins

    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    corpora = [read_jsonl(tmp_path), read_text(tmp_path / "a.jsonl")]
    opened = []
    original = builtins.open

    def counted(path, *args, **kwargs):
        if isinstance(path, pathlib.Path):
            opened.append(path)
        return original(path, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", counted)
    for corpus in corpora:
        opened.clear()
        assert len(list(corpus)) == 1
        assert opened == [tmp_path / "a.jsonl"]
