"""`read_text`, on friendly files and hostile ones."""

import pytest

from keras_dinolm.data.corpora.text_files import read_text

pytestmark = pytest.mark.once


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
        assert list(corpus) == []
    message = str(caught[0].message)
    assert len(caught) == 1
    for name in ("binary.txt", "empty.txt", "latin.txt"):
        assert name in message


def test_unknown_split_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="'paragraph'.*split='word'"):
        read_text(tmp_path, split="word")


def test_a_folder_without_texts_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file that ends in"):
        read_text(tmp_path)


def test_files_of_one_name_in_two_folders_are_told_apart(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "README.md").write_text("one\n\ntwo")
    ids = [d.id for d in read_text(tmp_path, split="paragraph")]
    assert ids[0] == f"{tmp_path / 'a' / 'README.md'}:1"
    assert len(set(ids)) == 4


def test_line_ends_of_any_system_are_read(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\r\ntwo\r\rthree\n")
    for split, expected in (
        ("line", ["one", "two", "three"]),
        ("paragraph", ["one\ntwo", "three"]),
        ("file", ["one\ntwo\n\nthree\n"]),
    ):
        assert [d.text for d in read_text(path, split=split)] == expected
