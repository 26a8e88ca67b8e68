"""`installed_docs`: found, cleaned, split without copies, and cached."""

import gzip
import textwrap
import warnings

import pytest

from keras_dinolm.data.corpora.installed_docs import installed_docs
from tests.data.stores import prose

pytestmark = pytest.mark.once


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
    (root / "tests" / "case.py").write_text(f'"""{prose(999)}"""')
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
        "keras_dinolm.data.corpora.installed_docs.collect_docs",
        lambda *_: pytest.fail("read the sources again"),
    )
    again = installed_docs("all", minimum_characters=20, **options)
    assert list(again) == first and again.versions["namex"]
    monkeypatch.undo()
    monkeypatch.setenv("KERAS_DINOLM_HOME", str(tmp_path))
    whole = cached.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    foreign = (b"[]", b'{"settings": {}, "dropped": {}, "documents": [3]}')
    for data in (whole[:100], flipped, *map(gzip.compress, foreign), b"x"):
        cached.write_bytes(data)
        with pytest.warns(UserWarning, match="damaged.*made again"):
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
    with pytest.raises(ValueError, match="similarity=0"):
        installed_docs(similarity=0)
    with pytest.raises(ValueError, match="minimum_characters=-1"):
        installed_docs(minimum_characters=-1)
