"""Task files: what is read, and which line is at fault."""

import gzip
import json
import tracemalloc

import numpy as np
import pytest

from keras_dinolm.evaluation import read_beir
from keras_dinolm.evaluation import read_labelled_texts
from keras_dinolm.evaluation import read_tagged_words
from keras_dinolm.evaluation import read_text_pairs
from keras_dinolm.evaluation import text_files
from tests.data.corpora.compressions import COMPRESSIONS

pytestmark = pytest.mark.once


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        data = text if isinstance(text, bytes) else text.encode()
        path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
        return path

    return write


def test_columns_are_found_by_name_in_any_order(write):
    path = write("a.tsv", 'label\tid\ttext\nx\t1\tone "two"\n\ny\t2\tédith\n')
    assert read_labelled_texts(path) == (['one "two"', "édith"], ["x", "y"])
    assert read_labelled_texts(path, label="id").labels == ["1", "2"]


@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz"])
def test_a_byte_order_mark_and_windows_line_ends_are_no_content(write, name):
    path = write(name, "\ufefftext\tlabel\r\none\tx\r\n")
    assert read_labelled_texts(path) == (["one"], ["x"])


def test_json_lines_with_words_are_joined(write):
    record = {"tokens": ["play", "it"], "tags": ["O", "B-x"], "intent": "music"}
    path = write("a.jsonl.gz", json.dumps(record) + "\n\n")
    found = read_labelled_texts(path, text="tokens", label="intent")
    assert found == (["play it"], ["music"])
    assert read_tagged_words(path) == ([["play", "it"]], [["O", "B-x"]])


def test_pairs_with_labels_or_scores(write):
    path = write("a.tsv", "score\ts1\ts2\n3.8\ta\tb\n0\tc\td\n")
    assert read_text_pairs(path, "score") == (["a", "c"], ["b", "d"], [3.8, 0])
    path = write("b.tsv", "label\ts1\ts2\nneutral\ta\tb\n")
    assert read_text_pairs(path).targets == ["neutral"]


def beir(write, **changes):
    files = {
        "corpus.jsonl": '{"_id": "b", "title": "T", "text": "t"}\n'
        '{"_id": "a", "title": "", "text": "u", "more": 1}\n'
        '{"_id": "c", "text": ""}\n',
        "queries.jsonl": '{"_id": "2", "text": "q"}\n'
        '{"_id": "1", "text": "r"}\n{"_id": "3", "text": "s"}\n',
        "qrels/test.tsv": "query-id\tcorpus-id\tscore\n"
        "1\ta\t2\n2\tb\t1\n1\tb\t0\n3\ta\t0\n",
    }
    for name, text in {**files, **changes}.items():
        folder = write(name, text).parent
    return folder.parent


def test_beir_in_the_order_of_its_files(write):
    found = read_beir(beir(write))
    assert found.documents == ["T t", "u", ""]
    assert found.queries == ["q", "r"]  # nothing is relevant to "s"
    assert found.relevant == [{0: 1.0}, {1: 2.0, 0: 0.0}]


@pytest.mark.parametrize(
    "text, message",
    [
        ("text\tlabel\na\tx\nb\n", r"a.tsv:3: 1 fields .* has 2"),
        ("text\tlabel\na\tx\ty\n", r"a.tsv:2: 3 fields"),
        ("text\tlabel\n \tx\n", r"a.tsv:2: 'text' must .* not empty"),
        ("text\tlabel\na\t\n", r"a.tsv:2: 'label' must"),
        ("text\tLabel\na\tx\n", r"a.tsv:1: .* no column 'label'"),
        (b"text\tlabel\n\xff\tx\n", r"a.tsv:2: not UTF-8"),
        ("text\tlabel\n", r"a.tsv has no rows"),
        ("", r"a.tsv:1: .* no column 'text'"),
    ],
)
def test_bad_rows_of_a_table_are_named(write, text, message):
    with pytest.raises(ValueError, match=message):
        read_labelled_texts(write("a.tsv", text))


@pytest.mark.parametrize(
    "line, message",
    [
        ('{"tokens": ["a"]', "a.jsonl:2: not JSON"),
        ("[1]", "a.jsonl:2: .* JSON object"),
        ('{"tokens": ["a"]}', r"a.jsonl:2: no 'tags'.*\['tokens'\]"),
        ('{"tokens": ["a"], "tags": []}', "one tag a word.* 1 words"),
        ('{"tokens": [], "tags": []}', "a.jsonl:2: .* list of words"),
        ('{"tokens": ["a b"], "tags": ["O"]}', "white space.*'a b'"),
        ('{"tokens": ["a"], "tags": ["X"]}', "a.jsonl:2.*'X'"),
    ],
)
def test_bad_rows_of_tagged_words_are_named(write, line, message):
    good = '{"tokens": ["a"], "tags": ["O"]}\n'
    with pytest.raises(ValueError, match=message):
        read_tagged_words(write("a.jsonl", good + line))


@pytest.mark.parametrize("score", ["much", "", "nan", "inf"])
def test_scores_are_finite_numbers(write, score):
    path = write("a.tsv", f"score\ts1\ts2\n{score}\ta\tb\n")
    with pytest.raises(ValueError, match="a.tsv:2: 'score' must be a finite"):
        read_text_pairs(path, "score")


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("corpus.jsonl", '{"_id": "a", "text": "t"}\n' * 2, "corpus.jsonl:2"),
        ("corpus.jsonl", '{"_id": "b", "text": null}', "'text' must be a str"),
        ("corpus.jsonl", '{"_id": "b", "text": "t"}', "no _id 'a' in corpus"),
        ("queries.jsonl", '{"_id": "2", "text": "q"}', "_id '1' in queries"),
        ("qrels/test.tsv", "query-id\tscore\n", "no column 'corpus-id'"),
    ],
)
def test_bad_rows_of_beir_are_named(write, name, text, message):
    with pytest.raises(ValueError, match=message):
        read_beir(beir(write, **{name: text}))


@pytest.mark.parametrize("score, message", [(-1, "negative"), (0, "no query")])
def test_judgements_must_say_something(write, score, message):
    qrels = f"query-id\tcorpus-id\tscore\n1\ta\t{score}\n"
    with pytest.raises(ValueError, match=message):
        read_beir(beir(write, **{"qrels/test.tsv": qrels}))


def test_missing_files_are_named(tmp_path, write):
    with pytest.raises(FileNotFoundError, match="a.tsv"):
        read_labelled_texts(tmp_path / "a.tsv")
    with pytest.raises(FileNotFoundError, match="dev.tsv"):
        read_beir(beir(write), "dev")


# === Hostile and foreign files ===

READERS = {
    "tsv": (read_labelled_texts, "a.tsv", b"text\tlabel\nx y\tz\n" * 300),
    "csv": (read_labelled_texts, "a.csv", b'text,label\n"x, y",z\n' * 300),
    "jsonl": (
        read_labelled_texts,
        "a.jsonl",
        b'{"text": "x y", "label": "z"}\n' * 300,
    ),
    "pairs": (read_text_pairs, "b.tsv", b"label\ts1\ts2\nu\tv\tw\n" * 300),
    "tags": (
        read_tagged_words,
        "c.jsonl",
        b'{"tokens": ["a", "b"], "tags": ["O", "B-x"]}\n' * 300,
    ),
}


@pytest.mark.parametrize("kind", READERS)
def test_mutated_files_are_read_or_named(tmp_path, kind):
    """Fuzz: no other error than one that names the file."""
    read, name, good = READERS[kind]
    generator = np.random.default_rng(0)
    refused = 0
    compressions = [lambda data: data, *COMPRESSIONS.values()]
    for trial in range(150):
        data = good
        # Damage before and after compression.
        for compress in (lambda data: data, compressions[trial % 5]):
            data = bytearray(compress(bytes(data)))
            for _ in range(generator.integers(3)):
                place = int(generator.integers(len(data)))
                if generator.random() < 0.7:
                    data[place] = generator.integers(256)
                else:
                    data = data[: place + 1]
        path = tmp_path / name
        path.write_bytes(data)
        try:
            read(path)
        except ValueError as error:
            refused += 1
            assert str(path) in str(error), error
            assert not isinstance(error, UnicodeError)
    assert 20 < refused < 150


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_compression_is_known_by_content(tmp_path, name):
    path = tmp_path / "a.tsv"
    path.write_bytes(COMPRESSIONS[name](b"text\tlabel\none\tx\n"))
    assert read_labelled_texts(path) == (["one"], ["x"])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks_are_known(tmp_path, encoding):
    path = tmp_path / "a.tsv"
    path.write_bytes("text\tlabel\r\nédith\tx\r\n".encode(encoding))
    assert read_labelled_texts(path) == (["édith"], ["x"])


def test_a_cut_gzip_names_the_file_and_the_line(tmp_path):
    rows = "".join(f"{i * 7919 % 1000003}\tx\n" for i in range(9_000))
    data = gzip.compress(b"text\tlabel\n" + rows.encode())
    path = tmp_path / "a.tsv.gz"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(
        ValueError, match=r"a\.tsv\.gz is damaged after line \d"
    ):
        read_labelled_texts(path)
    path.write_bytes(b"\x1f\x8b" + b"nonsense" * 9)
    with pytest.raises(ValueError, match=r"a\.tsv\.gz is damaged after line 0"):
        read_labelled_texts(path)


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_a_bomb_is_refused_in_bounded_memory(tmp_path, name, monkeypatch):
    monkeypatch.setattr(text_files, "_LONGEST", 100_000)
    compress = COMPRESSIONS[name]
    path = tmp_path / "a.tsv"
    path.write_bytes(compress(b"text\tlabel\n") + compress(b"x" * 10**6) * 40)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"a\.tsv:2: a line of more than"):
        read_labelled_texts(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12e6  # of xz, 8e6 are its window


@pytest.mark.parametrize(
    "line, message",
    [
        ("[" * 100_000, "a.jsonl:1: not JSON that can be read .nested"),
        ('{"text": ' + "1" * 5_000 + "}", "a.jsonl:1: not JSON .*digits"),
        ('[{"text": "a", "label": "b"}]', "a.jsonl:1: each line must be"),
        ('[\n{"text": "a"}]', "a.jsonl:1: .*no array is around"),
        ('{"text": "a", "label": ["b"]}', "a.jsonl:1: 'label' .*one label"),
        ('{"text": "a", "label": null}', "a.jsonl:1: 'label' must be"),
        ('{"text": "a", "label": true}', "a.jsonl:1: 'label' must be"),
        ('{"text": 3, "label": "b"}', "a.jsonl:1: 'text' must be a string"),
        ('{"text": {"a": 1}, "label": "b"}', "a.jsonl:1: 'text' must be"),
        ("\x00\x01\x02\x03\x04\x05\x06", "a.jsonl is no text file"),
        ("", "a.jsonl has no rows"),
    ],
)
def test_bad_json_is_named(write, line, message):
    with pytest.raises(ValueError, match=message):
        read_labelled_texts(write("a.jsonl", line))


def test_integers_are_labels(write):
    lines = '{"text": "a", "label": 0}\n{"text": "b", "label": -12}\n'
    assert read_labelled_texts(write("a.jsonl", lines)).labels == ["0", "-12"]


def test_csv_is_read_with_its_quotes(write):
    path = write("a.csv", 'label,text\nx,"one, ""two""\nthree"\n\ny,four\n')
    texts = ['one, "two"\nthree', "four"]
    assert read_labelled_texts(path) == (texts, ["x", "y"])


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("a.tsv", 'text\tlabel\n"say ""a"""\tx\n', r"a.tsv:2: .*quoted.*\.csv"),
        ("a.tsv", '"text"\t"label"\na\tx\n', r"a.tsv:1: .*no column 'text'"),
        ("a.tsv", "text,label\na,x\n", r"a.tsv:1: .*separated by tabs"),
        ("a.tsv", "text\tlabel\ttext\na\tx\tb\n", "a.tsv:1: .*'text' 2 times"),
        ("a.csv", 'text,label\na,x\n"b,y\n', r"a.csv:3: not CSV"),
        ("a.csv", 'text,label\n"a"b,x\n', r"a.csv:2: not CSV"),
        ("a.csv", "text,label\na,x,y\n", r"a.csv:2: 3 fields .* has 2"),
        ("a.csv", "", r"a.csv:1: .*no column 'text'"),
    ],
)
def test_bad_tables_are_named(write, name, text, message):
    with pytest.raises(ValueError, match=message):
        read_labelled_texts(write(name, text))


@pytest.mark.parametrize(
    "score", ["1_000", "true", "1" * 400, "\u0661", "[1]", '"4,5"', "1e999"]
)
def test_scores_of_json_are_finite_numbers(write, score):
    if score.startswith("1_") or score == "\u0661":
        score = f'"{score}"'
    path = write("a.jsonl", f'{{"score": {score}, "s1": "a", "s2": "b"}}')
    with pytest.raises(ValueError, match="a.jsonl:1: 'score' must be a finite"):
        read_text_pairs(path, "score")


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("corpus.jsonl", '{"_id": "a", "text": "t", "title": 3}', "'title'"),
        ("corpus.jsonl", '{"_id": 7, "text": "t"}', "'_id' must be a string"),
        (
            "qrels/test.tsv",
            "query-id\tcorpus-id\tscore\n1\ta\t2\n1\ta\t1\n",
            r"test.tsv:3: 'a' was judged for '1' before",
        ),
    ],
)
def test_beir_that_contradicts_itself_is_named(write, name, text, message):
    with pytest.raises(ValueError, match=message):
        read_beir(beir(write, **{name: text}))


def test_a_file_that_is_there_twice_is_an_error(write):
    folder = beir(write)
    write("corpus.jsonl.gz", '{"_id": "a", "text": "t"}')
    with pytest.raises(ValueError, match=r"'corpus'.*corpus\.jsonl\.gz"):
        read_beir(folder)


def test_tags_are_strings(write):
    path = write("a.jsonl", '{"tokens": ["a"], "tags": [1]}')
    with pytest.raises(ValueError, match="a.jsonl:1: a tag of 'tags'"):
        read_tagged_words(path)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ValueError, match="is a folder"):
        read_labelled_texts(tmp_path)
