"""Vocabularies from lists and files: right, or an error that says why not."""

import os
import re

import keras
import pytest

from keras_dinolm.models.tasks import vocabulary as vocabularies
from keras_dinolm.models.tasks.tokenizer import DinoLMTokenizer

pytestmark = pytest.mark.once

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def write(folder, content):
    path = folder / "vocabulary.txt"
    data = content if isinstance(content, bytes) else content.encode("utf-8")
    path.write_bytes(data)
    return path


def lines(*tokens):
    return "\n".join([*SPECIALS, *tokens])


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (SPECIALS[1::-1] + SPECIALS[2:], r"\[PAD\], \[UNK\].*in this order"),
        ([], "in this order. Received: none"),
        (SPECIALS[:4], "in this order"),
        ([*SPECIALS, "a", "b", "a"], "8 tokens of which 7.*5 and token 7"),
        ([*SPECIALS, "[UNK]"], "6 tokens of which 5"),
        ([*SPECIALS, ""], "Token 5 of `vocabulary` is empty"),
        ([*SPECIALS, "a", "two words"], "Token 6 .* white space"),
        ([*SPECIALS, "a\n"], "white space"),
        ([*SPECIALS, "a\u2028b"], "white space"),
        ([*SPECIALS, "a\0"], "NUL"),
        ([*SPECIALS, "\ud800"], "surrogate"),
        ([*SPECIALS, "a" * 257], "too long"),
        ([*SPECIALS, 3], r"vocabulary\[5\]=3"),
        ([*SPECIALS, None], r"vocabulary\[5\]=None"),
        ({"[PAD]": 0}, "Received a dict"),
        (7, "`vocabulary` must be"),
    ],
)
def test_lists_that_are_no_vocabulary(tokens, message):
    with pytest.raises(ValueError, match=message):
        DinoLMTokenizer(tokens)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "in this order"),
        (lines("a", "", "b"), "Token 6 of `vocabulary` is empty"),
        (lines("a", "\n"), "empty"),
        (lines("a", "b "), "white space"),
        (lines("a", "é").encode("latin-1"), "line 7 is not"),
        (lines("a").encode("utf-16"), "UTF-8"),
        (b"\n" * (vocabularies.MOST_TOKENS + 1), "2,000,001 tokens"),
    ],
)
def test_files_that_are_no_vocabulary(tmp_path, content, message):
    path = write(tmp_path, content)
    with pytest.raises(ValueError, match=message) as error:
        DinoLMTokenizer(path)
    assert str(path) in str(error.value)
    assert "train_tokenizer" in str(error.value)
    # The same file in a preset.
    with pytest.raises(ValueError, match=message):
        DinoLMTokenizer().load_assets(str(tmp_path))


def test_what_is_no_file_is_not_read(tmp_path):
    with pytest.raises(FileNotFoundError):
        DinoLMTokenizer(tmp_path / "missing.txt")
    for path in (tmp_path, "/dev/zero"):
        with pytest.raises(ValueError, match="is no file"):
            DinoLMTokenizer(path)
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    with pytest.raises(ValueError, match="is no file"):
        DinoLMTokenizer(tmp_path / "pipe")
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ValueError, match="1,099,511,627,776 bytes"):
        DinoLMTokenizer(tmp_path / "huge")


def test_files_of_other_systems_are_read(tmp_path):
    expected = [*SPECIALS, "a", "##b"]
    text = lines("a", "##b")
    for content in (
        text,
        text + "\n",
        text.replace("\n", "\r\n") + "\r\n",
        b"\xef\xbb\xbf" + text.encode(),
    ):
        tokenizer = DinoLMTokenizer(str(write(tmp_path, content)))
        assert list(tokenizer.get_vocabulary()) == expected


def test_a_vocabulary_that_is_refused_leaves_the_one_before():
    tokenizer = DinoLMTokenizer([*SPECIALS, "a"])
    with pytest.raises(ValueError, match="occur once"):
        tokenizer.set_vocabulary([*SPECIALS, "b", "b"])
    assert tokenizer("a b").tolist() == [5, 1]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("lowercase", ["yes", 1, None]),
        ("strip_accents", ["no", 0]),
        ("sequence_length", [0, -1, True, 2.0, "8", 10**12]),
        ("dtype", ["string"]),
        ("config_file", ["../x.json", "/etc/passwd", 3]),
        ("split", [True]),
        ("oov_token", ["a"]),
    ],
)
def test_other_arguments_are_checked(name, values):
    for value in values:
        with pytest.raises(ValueError, match=f"`{re.escape(name)}`"):
            DinoLMTokenizer(SPECIALS, **{name: value})


def test_a_saved_tokenizer_cannot_name_a_file_of_this_machine(tmp_path):
    config = keras.saving.serialize_keras_object(DinoLMTokenizer(SPECIALS))
    path = write(tmp_path, lines("secret"))
    config["config"]["vocabulary"] = str(path)
    with pytest.raises((TypeError, ValueError), match="outside of it"):
        keras.saving.deserialize_keras_object(config)
    trusted = keras.saving.deserialize_keras_object(config, safe_mode=False)
    assert trusted("secret").tolist() == [5]
