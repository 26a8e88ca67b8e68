"""Corpora from files and from installed packages, friendly and hostile."""

import gzip
import json
import textwrap
import warnings

import numpy as np
import pytest

from keras_dinolm.data.corpora.documents import Document
from keras_dinolm.data.corpora.documents import to_documents
from keras_dinolm.data.corpora.files import read_jsonl
from keras_dinolm.data.corpora.files import read_text
from keras_dinolm.data.corpora.installed import installed_docs
from keras_dinolm.data.near_duplicates import find_near_duplicates

pytestmark = pytest.mark.once


def prose(seed, words=60):
    """A text that shares no word triple with that of another seed."""
    generator = np.random.default_rng(seed)
    return " ".join(
        "".join(generator.choice(list("abcdefghij"), 6)) for _ in range(words)
    )


# === Anything iterable ===


def test_every_kind_of_item_becomes_a_document():
    items = ["a", Document("b", "x"), {"text": "c", "id": 3, "label": "l"}]
    documents = list(to_documents(items))
    assert [d.text for d in documents] == ["a", "b", "c"]
    assert [d.id for d in documents] == ["0", "x", "3"]
    assert documents[2].label == "l"


@pytest.mark.parametrize("corpus", ["text", b"text", {"text": "a"}, 3])
def test_one_text_is_not_a_corpus(corpus):
    with pytest.raises(ValueError, match="iterable of documents"):
        list(to_documents(corpus))


def test_a_strange_item_is_named_with_its_place():
    with pytest.raises(ValueError, match=r"index 1: \['b'\].*list"):
        list(to_documents(["a", ["b"]]))


# === JSON lines ===


def test_hostile_json_lines_are_counted_and_reported_once(tmp_path):
    path = tmp_path / "docs.jsonl"
    lines = [
        json.dumps({"text": "first", "kind": "k"}).encode(),
        b'{"text": "cut',
        b"",
        b'["a list"]',
        b'{"other": 1}',
        b'{"text": "  "}',
        b'{"text": "bad \xff byte"}',
        b"[" * 100_000,
        json.dumps({"text": "last \ud800"}).encode(),
    ]
    path.write_bytes(b"\n".join(lines))
    corpus = read_jsonl(path, label_key="kind")
    with pytest.warns(UserWarning) as caught:
        documents = list(corpus)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert f"{path}:2" in message and f"{path}:8" in message
    assert [d.text for d in documents] == [
        "first",
        "bad \ufffd byte",
        "last \ud800",
    ]
    assert documents[0].label == "k" and documents[0].id == "docs.jsonl:1"
    assert corpus.dropped["lines that are not JSON"] == 2
    assert corpus.dropped["empty documents"] == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(corpus) == documents
    assert len(corpus) == 3
    assert "left out: 2 lines that are not JSON" in str(corpus)


def test_json_lines_from_folders_and_gzip(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "a.jsonl").write_text('{"text": "1"}\n{"text": "2"}\n')
    with gzip.open(tmp_path / "b" / "c.jsonl.gz", "wt") as file:
        file.write('{"text": "3"}\n')
    (tmp_path / "ignored.csv").write_text("x")
    assert [d.text for d in read_jsonl(tmp_path)] == ["1", "2", "3"]


def test_a_damaged_gzip_file_ends_early_and_says_so(tmp_path):
    generator = np.random.default_rng(0)
    lines = [
        json.dumps({"text": str(generator.integers(1 << 60))})
        for _ in range(2000)
    ]
    data = gzip.compress("\n".join(lines).encode())
    (tmp_path / "cut.jsonl.gz").write_bytes(data[: len(data) // 2])
    corpus = read_jsonl(tmp_path / "cut.jsonl.gz")
    with pytest.warns(UserWarning, match="cannot be read"):
        assert 0 < len(list(corpus)) < 2000


def test_missing_paths_are_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_jsonl(tmp_path / "nowhere.jsonl")
    with pytest.raises(FileNotFoundError, match="no file that ends in"):
        read_text(tmp_path)


# === Plain text ===


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("file", ["one\ntwo\n\n\n  three\n"]),
        ("paragraph", ["one\ntwo", "  three"]),
        ("line", ["one", "two", "  three"]),
    ],
)
def test_text_is_split_as_asked(tmp_path, split, expected):
    path = tmp_path / "notes.txt"
    path.write_bytes("\ufeffone\ntwo\n\n\n  three\n".encode())
    documents = list(read_text(path, split=split))
    assert [d.text for d in documents] == expected
    assert {d.label for d in documents} == {tmp_path.name}


def test_binary_and_empty_files_are_reported(tmp_path):
    (tmp_path / "binary.txt").write_bytes(b"\x7fELF\0\0\0")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "latin.txt").write_bytes("Größe".encode("latin-1"))
    corpus = read_text(tmp_path)
    with pytest.warns(UserWarning) as caught:
        assert [d.text for d in corpus] == ["Gr\ufffd\ufffde"]
    message = str(caught[0].message)
    assert len(caught) == 1
    for name in ("binary.txt", "empty.txt", "latin.txt"):
        assert name in message


def test_unknown_split_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="'paragraph'.*split='word'"):
        read_text(tmp_path, split="word")


# === Near duplicates ===


def test_what_is_kept_has_no_near_duplicate():
    texts, sources = [], []
    generator = np.random.default_rng(0)
    for source in range(40):
        words = prose(source).split()
        for _ in range(3):
            copy = list(words)
            for place in generator.choice(len(words), 2, replace=False):
                copy[place] = "changed"
            texts.append(" ".join(copy))
            sources.append(source)
    originals = find_near_duplicates(texts, threshold=0.5)
    kept = [i for i, original in enumerate(originals) if original is None]
    assert kept == list(range(0, 120, 3))
    for i, original in enumerate(originals):
        assert original is None or sources[i] == sources[original]


def test_threshold_is_the_exact_similarity():
    # 18 triples, of which a text with another last word shares 17: 17 / 19.
    words = prose(1, words=20).split()
    texts = [" ".join(words), " ".join([*words[:-1], "other"])]
    assert find_near_duplicates(texts, 17 / 19) == [None, 0]
    assert find_near_duplicates(texts, 17 / 19 + 1e-6) == [None, None]


def test_short_and_empty_texts_are_compared_whole():
    texts = ["", "two words", "two words", "two others", ""]
    assert find_near_duplicates(texts) == [None, None, 1, None, 0]
    assert find_near_duplicates([]) == []


# === Installed packages ===


def write_package(root, modules=40):
    root.mkdir()
    for number in range(modules):
        # Every fourth module repeats the strings of its predecessor, up to a
        # word: some of these pairs lie across the split.
        seed = number - 1 if number % 4 == 3 else number
        word = "copied" if seed != number else "written"
        doc = f"A function {word} here.\n\n    {prose(seed)}\n    "
        (root / f"module{number}.py").write_text(
            textwrap.dedent('''
                """Short."""
                if True:
                    class Thing:
                        """%s"""
                        def method(self):
                            """Too short."""
            ''')
            % doc
        )
    (root / "tests").mkdir()
    (root / "tests" / "case.py").write_text(f'"""{prose(-0 + 999)}"""')
    (root / "broken.py").write_text('"""Docs."""\ndef (:\n')
    return root


def test_held_out_documents_have_no_near_copy_in_train(tmp_path):
    root = write_package(tmp_path / "package")
    options = dict(packages=[root], held_out_fraction=0.5, show_progress=False)
    train = installed_docs("train", **options)
    held_out = installed_docs("held_out", **options)
    assert len(train) > 5 and len(held_out) > 5
    assert {d.module for d in train}.isdisjoint(d.module for d in held_out)
    triples = [
        {tuple(words[i : i + 3]) for i in range(len(words) - 2)}
        for words in (d.text.split() for d in [*train, *held_out])
    ]
    # Every near copy is gone, within and across: no pair shares half.
    for i, one in enumerate(triples):
        for other in triples[:i]:
            assert len(one & other) < 0.5 * len(one | other)
    assert train.dropped["held-out documents with a near copy in train"] > 0
    assert train.dropped["files that cannot be parsed"] == 1
    assert train.dropped["below 200 characters"] == 80
    assert "near copies within train" in str(train)
    everything = installed_docs("all", **options)
    assert list(everything) == [*train, *held_out]
    assert len({d.id for d in everything}) == len(everything)


def test_documents_are_named_cleaned_and_stable(tmp_path):
    root = write_package(tmp_path / "package", modules=2)
    options = dict(packages=[str(root)], show_progress=False)
    corpus = installed_docs("all", **options)
    first = corpus[0]
    assert (first.label, first.module) == ("package", "package.module0")
    assert first.id == "package.module0:Thing"
    assert first.text.startswith("A function written here.\n\n")
    assert "\n  " not in first.text
    assert list(corpus) == list(corpus)
    assert list(corpus) == list(installed_docs("all", **options))


def test_c_functions_documented_by_add_newdoc(tmp_path):
    root = tmp_path / "package"
    root.mkdir()
    one, two = prose(1), prose(2)
    (root / "docs.py").write_text(
        f'add_newdoc("core", "dot", """{one}""")\n'
        f'add_newdoc("core", "array", ("sum", """{two}"""))\n'
    )
    corpus = installed_docs("all", [root], show_progress=False)
    assert {d.id: d.text for d in corpus} == {
        "package.docs:core.dot": one,
        "package.docs:core.array.sum": two,
    }


def test_cache_is_used_and_a_damaged_one_replaced(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_DINOLM_HOME", str(tmp_path))
    options = dict(packages=["namex"], show_progress=False)
    first = list(installed_docs("all", minimum_characters=20, **options))
    (cached,) = tmp_path.glob("installed_docs-*.json.gz")
    monkeypatch.setattr(
        "keras_dinolm.data.corpora.installed._collect",
        lambda *_: pytest.fail("read the sources again"),
    )
    again = installed_docs("all", minimum_characters=20, **options)
    assert list(again) == first and again.versions["namex"]
    monkeypatch.undo()
    monkeypatch.setenv("KERAS_DINOLM_HOME", str(tmp_path))
    cached.write_bytes(cached.read_bytes()[:100])
    with pytest.warns(UserWarning, match="damaged.*made anew"):
        again = installed_docs("all", minimum_characters=20, **options)
    assert list(again) == first


def test_missing_packages_are_named_once(tmp_path):
    names = ["namex", "surely_not_there"]
    options = dict(
        packages=names,
        minimum_characters=20,
        cache=tmp_path,
        show_progress=False,
    )
    with pytest.warns(UserWarning, match="surely_not_there"):
        installed_docs("all", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        installed_docs("all", **options)


def test_installed_docs_errors(tmp_path):
    with pytest.raises(ValueError, match="'held_out'.*split='test'"):
        installed_docs("test")
    with pytest.raises(ValueError, match="held_out_fraction=1"):
        installed_docs(held_out_fraction=1)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        installed_docs(packages=[tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="No document"):
        installed_docs(packages=[tmp_path / "empty"], show_progress=False)
