"""`read_jsonl` and `read_text` against a parse in a few lines of Python."""

import bz2
import gzip
import json
import lzma
import os
import pathlib
import tempfile
import threading
import warnings

from hypothesis import strategies as st

import keras_dinolm as kd

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
)
_no_text = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.just(10**400),
    st.lists(_words, max_size=2),
    st.dictionaries(_words, _words, max_size=2),
)
_others = st.dictionaries(st.sampled_from(["id", "other", "x.y"]), _no_text)


@st.composite
def _records(draw):
    """A JSON object, and its text or `None`."""
    if draw(st.integers(0, 3)):
        text = draw(_texts)
        record = {**draw(_others), "text": text}
    else:
        text, record = None, draw(_others)
        if draw(st.booleans()):
            record["text"] = draw(_no_text)
    return record, text


@st.composite
def _lines(draw):
    """The bytes of a line, and its text, `None`, or `"blank"`."""
    kind = draw(st.sampled_from(["object", "object", "string", "odd"]))
    ascii = draw(st.booleans())
    if kind == "odd":
        return draw(st.sampled_from(_ODD))
    value, text = draw(_records())
    if kind == "string":
        value = text = draw(_words)
    return json.dumps(value, ensure_ascii=ascii).encode(), text


_ODD = [
    (b"", "blank"),
    (b"  \t", "blank"),
    (b"no JSON at all", None),
    (b"x: 1", None),
    (b'{"text": "one", "text": "two"}', "two"),
    (b'{"text": "a\\u0000b"}', "a\0b"),
    (b'{"text": "caf\xe9"}', None),
    (b'{"text": NaN}', None),
    (b'{"text": ' + b"[" * 3_000 + b"]" * 3_000 + b"}", None),
    (b"12", None),
    (b"null", None),
]


@st.composite
def files(draw):
    """The bytes of a file, its texts, and how it is packed."""
    if draw(st.integers(0, 4)):
        lines = draw(st.lists(_lines(), max_size=8))
        end = draw(st.sampled_from([b"\n", b"\n", b"\r\n"]))
        data = b"".join(line + end for line, _ in lines)
        texts = [text for _, text in lines if text != "blank"]
        if draw(st.booleans()):
            # A writer was killed in its last line.
            data, texts = data + b'{"text": "cut', [*texts, None]
    else:
        pairs = draw(st.lists(_records(), max_size=6))
        indent = draw(st.sampled_from([None, 1]))
        data = json.dumps([record for record, _ in pairs], indent=indent)
        data, texts = data.encode(), [text for _, text in pairs]
    if draw(st.booleans()):
        data = b"\xef\xbb\xbf" + data
    return {"data": data, "texts": texts, "way": draw(_ways)}


_ways = st.sampled_from(["file", "gzip", "bz2", "xz", "pipe"])
# Files of control characters are binary, and counted as such.
_plain = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)
text_files = st.fixed_dictionaries(
    {
        "data": st.lists(
            st.one_of(
                _plain.map(str.encode),
                st.sampled_from([b"", b" ", b"caf\xe9 and more", b"\r"]),
            ),
            max_size=8,
        ).map(b"\n".join),
        "way": _ways,
    }
)


def check_jsonl(case: dict) -> None:
    """Every value is a document, or is counted with a reason."""
    documents, dropped = _read(case, ".jsonl", kd.data.read_jsonl)
    good = [text is not None and text.strip() != "" for text in case["texts"]]
    expected = [text for text, is_good in zip(case["texts"], good) if is_good]
    assert documents == expected, (documents, expected)
    unusable = len(good) - sum(good)
    assert dropped == unusable, (dropped, unusable)


def check_lines(case: dict) -> None:
    """Every line of text with a word in it is a document."""
    documents, dropped = _read(
        case, ".txt", lambda path: kd.data.read_text(path, split="line")
    )
    expected, unusable = [], 0
    for line in case["data"].removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        try:
            text = line.decode().removesuffix("\r")
        except UnicodeDecodeError:
            unusable += 1
            continue
        if text.strip():
            expected.append(text)
    assert documents == expected, (documents, expected)
    assert dropped == unusable, (dropped, unusable)


def _read(case, ending, read):
    """Texts of the documents, and the number of what was left out."""
    data = case["data"]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, f"file{ending}")
        if case["way"] == "pipe":
            return _collect(*_pipe(data), read)
        pack = {"gzip": gzip, "bz2": bz2, "xz": lzma}.get(case["way"])
        if pack is not None:
            # Compression is known by content, not by name.
            data = pack.compress(data)
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
