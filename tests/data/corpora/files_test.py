"""Which files of a folder are read, in which order, and what is said."""

import os
import pathlib
import warnings

import pytest

from keras_dinolm.data import read_text
from keras_dinolm.data.corpora.files import find_files
from keras_dinolm.files import claim_folder
from keras_dinolm.recipes.run_folder import KIND

pytestmark = pytest.mark.once


def put(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def texts(paths, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [d.text for d in read_text(paths, **options)]


def test_endings_in_capital_letters_and_long_ones_count(tmp_path):
    names = [
        "B.TXT",
        "a.Md",
        "b/c.markdown",
        "b/d.rst.GZ",
        "e.text",
        "f.txt.zst",
    ]
    put(tmp_path, *names)
    assert texts(tmp_path) == sorted(names, key=lambda n: n.split("/"))


def test_files_that_are_not_read_are_named(tmp_path):
    put(tmp_path, "a.txt", "x/b.pdf", "c.docx", "d.docx", "e", ".hidden.txt")
    corpus = read_text(tmp_path)
    with pytest.warns(UserWarning) as caught:
        assert [d.text for d in corpus] == ["a.txt"]
    message = str(caught[0].message)
    for said in (
        f"1 files of other endings (.pdf): {tmp_path / 'x' / 'b.pdf'}",
        "2 files of other endings (.docx): ",
        f"1 files of other endings (none): {tmp_path / 'e'}",
        f"1 hidden files and folders: {tmp_path / '.hidden.txt'}",
    ):
        assert said in message, message
    assert "left out: 2 files of other endings (.docx)" in str(corpus)


def test_hidden_folders_alone_are_no_news(tmp_path):
    put(tmp_path, "a.txt", ".git/b.txt", ".DS_Store")
    corpus = read_text(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [d.text for d in corpus] == ["a.txt"]
    assert corpus.dropped == {"hidden files and folders": 2}
    # Who names a hidden file wants it.
    assert texts(tmp_path / ".git") == [".git/b.txt"]


def test_links_are_followed_and_loops_end(tmp_path):
    put(tmp_path, "in/a.txt", "out/b.txt")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "there").symlink_to(tmp_path / "out")
    (tmp_path / "in" / "z.txt").symlink_to(tmp_path / "in" / "a.txt")
    (tmp_path / "in" / "dead.txt").symlink_to(tmp_path / "nowhere")
    corpus = read_text(tmp_path / "in")
    with pytest.warns(UserWarning) as caught:
        assert [d.text for d in corpus] == ["in/a.txt", "out/b.txt"]
    message = str(caught[0].message)
    assert "1 folders that are reached twice (read once)" in message
    assert "1 files that are reached twice (read once)" in message
    assert (
        f"1 links that lead nowhere: {tmp_path / 'in' / 'dead.txt'}" in message
    )


def test_a_path_that_is_named_twice_is_read_once(tmp_path):
    put(tmp_path, "a.txt", "b.txt")
    assert texts([tmp_path, tmp_path / "a.txt"]) == ["a.txt", "b.txt"]
    assert texts([tmp_path / "b.txt", tmp_path]) == ["b.txt", "a.txt"]
    assert texts([tmp_path, tmp_path]) == ["a.txt", "b.txt"]


def test_patterns_and_home(tmp_path, monkeypatch):
    put(
        tmp_path, "a.log", "x/b.log", "x/y/c.log", "x/d.txt", "[1].txt", "1.txt"
    )
    assert texts(f"{tmp_path}/*.log") == ["a.log"]
    assert texts(f"{tmp_path}/**/*.log") == ["a.log", "x/b.log", "x/y/c.log"]
    assert texts(f"{tmp_path}/x") == ["x/d.txt"]
    # A file of that very name comes first.
    assert texts(f"{tmp_path}/[1].txt") == ["[1].txt"]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert texts("~/a.log") == texts(pathlib.Path("~/a.log")) == ["a.log"]
    with pytest.raises(FileNotFoundError, match=r"Nothing matches.*\*\.xyz"):
        read_text(f"{tmp_path}/*.xyz")


@pytest.mark.parametrize(
    "paths", [[], b"a", {"a": 1}, 3, None, [None], ["a\0b"], [3], ""]
)
def test_what_is_no_path_is_refused(paths):
    with pytest.raises(ValueError, match="`paths`"):
        read_text(paths)


def test_addresses_of_the_web_are_refused_with_the_cure():
    with pytest.raises(FileNotFoundError, match="Download it first"):
        read_text("https://example.org/a.txt")
    with pytest.raises(FileNotFoundError):
        read_text("a long text " * 1_000)


def test_a_folder_without_such_files_says_what_it_has(tmp_path):
    put(tmp_path, "a.pdf")
    with pytest.raises(FileNotFoundError, match=r"\(\.pdf\).*Name the files"):
        read_text(tmp_path)


def test_order_does_not_depend_on_the_system(tmp_path, monkeypatch):
    put(tmp_path, "b/1.txt", "a/1.txt", "a.txt", "c.txt", "a/0.txt")
    expected = ["a/0.txt", "a/1.txt", "a.txt", "b/1.txt", "c.txt"]
    assert texts(tmp_path) == expected
    original = os.scandir

    class Reversed:
        def __init__(self, path):
            with original(path) as entries:
                self.entries = list(entries)[::-1]

        def __enter__(self):
            return self.entries

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(os, "scandir", Reversed)
    assert texts(tmp_path) == expected


def test_what_may_not_be_read_is_named(tmp_path, monkeypatch):
    """Also as root, who may read all."""
    put(tmp_path, "a.txt", "locked.txt", "sub/b.txt")
    import builtins

    original = builtins.open

    def refuse(path, *args, **kwargs):
        if str(path).endswith("locked.txt"):
            raise PermissionError(13, "Permission denied", str(path))
        return original(path, *args, **kwargs)

    scan = os.scandir

    def refuse_folder(path):
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(builtins, "open", refuse)
    monkeypatch.setattr(os, "scandir", refuse_folder)
    corpus = read_text(tmp_path)
    with pytest.warns(UserWarning) as caught:
        assert [d.text for d in corpus] == ["a.txt"]
    message = str(caught[0].message)
    assert "(PermissionError): " + str(tmp_path / "locked.txt") in message
    assert "folders that cannot be read (Permission denied): " in message
    with pytest.raises(PermissionError, match="locked.txt"):
        list(read_text(tmp_path / "locked.txt"))


def test_found_files_are_told_from_named_ones(tmp_path):
    put(tmp_path, "a.txt", "x/b.txt")
    found = find_files([tmp_path / "x", tmp_path / "a.txt"], (".txt",))
    assert found.named == {tmp_path / "a.txt"}
    assert found.files == [tmp_path / "x" / "b.txt", tmp_path / "a.txt"]


def test_links_to_themselves_are_named(tmp_path):
    put(tmp_path, "a.txt")
    for name in ("loop.txt", ".hidden.txt"):
        (tmp_path / name).symlink_to(name)
    corpus = read_text(tmp_path)
    with pytest.warns(UserWarning, match="1 links that lead nowhere: .*loop"):
        assert [d.text for d in corpus] == ["a.txt"]


def test_a_run_in_the_folder_of_its_texts_is_not_read(tmp_path):
    """It would find other texts when it is resumed."""
    put(tmp_path, "a.txt", "runs/mine/report.md", "runs/notes.txt")
    assert len(texts(tmp_path)) == 3
    marked = tmp_path / "runs" / "mine"
    claim_folder(marked, KIND, ())
    assert texts(tmp_path) == ["a.txt", "runs/notes.txt"]
    assert texts(marked) == ["runs/mine/report.md"]  # if it is asked for


def test_contradicting_limits_are_refused(tmp_path):
    put(tmp_path, "a.txt")
    with pytest.raises(ValueError, match="minimum_characters.*at most"):
        read_text(tmp_path, minimum_characters=9, maximum_characters=8)
