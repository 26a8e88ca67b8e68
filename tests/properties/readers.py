"""`read_jsonl` and `read_text` against a parse in a few lines of Python."""

import gzip
import json
import os
import pathlib
import tempfile
import threading
import warnings

from hypothesis import strategies as st

import keras_dinolm as kd

_characters = st.characters(exclude_categories=())
# Line feeds would end the line, lone surrogates have no UTF-8.
_words = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\n\r"),
    max_size=12,
)
_texts = st.one_of(
    _words,
    _words.map(lambda word: f" {word}\n\n{word} . "),
    st.just(""),
    st.just(" \t "),
    st.text(_characters, max_size=8),
)
_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        _texts,
        st.just(10**400),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(_words, inner, max_size=2),
    ),
    max_leaves=3,
)
_records = st.fixed_dictionaries(
    {"text": st.one_of(_texts, _texts, _texts, _values)},
    optional={"id": _values, "other": _values},
)
_ascii = st.booleans()
_lines = st.one_of(
    st.builds(
        lambda record, ascii: _utf8(json.dumps(record, ensure_ascii=ascii)),
        _records,
        _ascii,
    ),
    _values.map(lambda value: json.dumps(value).encode()),
    _words.map(lambda word: word.encode("utf-8", "surrogatepass")),
    st.binary(max_size=20).map(lambda data: data.replace(b"\n", b"")),
    st.sampled_from(
        [
            b"",
            b"  ",
            b"{",
            b'{"text": "cut',
            b'\xef\xbb\xbf{"text": "with a mark"}',
            b'{"text": "one", "text": "two"}',
            b'{"text": "\\ud800 alone"}',
            b'{"text": "a\\u0000b"}',
            b'{"text": "caf\xe9"}',
            b'{"text": NaN}',
            b"[" * 3_000 + b"]" * 3_000,
        ]
    ),
)


def _utf8(text):
    return text.encode("utf-8", "surrogatepass")


@st.composite
def files(draw):
    """The bytes of a file of lines, how it is packed, and how it is read."""
    lines = draw(st.lists(_lines, max_size=8))
    end = draw(st.sampled_from([b"\n", b"\n", b"\r\n"]))
    data = end.join(lines) + (end if draw(st.booleans()) else b"")
    way = draw(st.sampled_from(["file", "gzip", "pipe"]))
    return {"data": data, "way": way}


def check_jsonl(case: dict) -> None:
    """Every line is a document, is blank, or is counted with a reason."""
    documents, dropped = _read(case, ".jsonl", kd.data.read_jsonl)
    expected, unusable = [], 0
    for line in case["data"].split(b"\n"):
        text, blank = _parse(line)
        if text is not None:
            expected.append(text)
        elif not blank:
            unusable += 1
    assert documents == expected, (documents, expected)
    assert dropped == unusable, (dropped, unusable)


def check_lines(case: dict) -> None:
    """Every line of text with a word in it is a document."""
    documents, _ = _read(
        case, ".txt", lambda path: kd.data.read_text(path, split="line")
    )
    lines = case["data"].split(b"\n")
    lines = [line.decode("utf-8", "replace") for line in lines]
    lines = [line.removeprefix("\ufeff").rstrip("\r") for line in lines]
    expected = [line for line in lines if line.strip()]
    assert documents == expected, (documents, expected)


def _parse(line):
    """The text of a line or `None`, and whether the line is blank."""
    text = line.decode("utf-8", "replace").removeprefix("\ufeff")
    if not text.strip():
        return None, True
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None, False
    text = record.get("text") if isinstance(record, dict) else None
    good = isinstance(text, str) and text.strip()
    return (text, False) if good else (None, False)


def _read(case, ending, read):
    """Texts of the documents, and the number of what was left out."""
    data = case["data"]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, f"file{ending}")
        if case["way"] == "pipe":
            return _collect(*_pipe(data), read)
        if case["way"] == "gzip":
            path = path.with_name(path.name + ".gz")
            data = gzip.compress(data)
        path.write_bytes(data)
        return _collect(path, lambda: None, read)


def _collect(path, close, read):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            corpus = read(path)
            texts = [document.text for document in corpus]
    finally:
        close()
    # Some are kept, and counted because something about them is odd.
    left_out = sum(
        count
        for reason, count in corpus.dropped.items()
        if "kept" not in reason
    )
    return texts, left_out


def _pipe(data):
    reading, writing = os.pipe()

    def feed():
        with open(writing, "wb") as file:
            try:
                file.write(data)
            except BrokenPipeError:
                pass

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()

    def close():
        os.close(reading)
        thread.join()

    return pathlib.Path(f"/dev/fd/{reading}"), close
