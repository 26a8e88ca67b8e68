"""What a tokenizer does not know, by script."""

import warnings

import pytest

import keras_dinolm as kd
from keras_dinolm.data.unknown_rates import script_of

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def tokenizer():
    texts = ["the cat sat on the mat, 12 times", "a cat and a mat"] * 10
    return kd.data.train_tokenizer(texts, 64, show_progress=False)


def test_rates_are_those_of_the_ids(tokenizer):
    texts = ["the mat, แมว 猫 cat", "the ça! Ψ"]
    rates = kd.data.unknown_rates(tokenizer, texts)
    assert rates == {
        # "the", "mat", "cat", "the"; "ca" is spelled, "!" is not.
        "Latin": (0.0, 5),
        "Common": (0.5, 2),
        "Thai": (1.0, 2),
        "Greek": (1.0, 1),
        "Han": (1.0, 1),
    }
    assert list(rates)[:2] == ["Latin", "Common"]
    unknown = sum(rate * words for rate, words in rates.values())
    ids = [i for row in tokenizer.tokenize(texts) for i in row]
    assert unknown == ids.count(tokenizer.unk_token_id)


def test_alternates_and_documents_count(tokenizer):
    document = kd.data.Document("cat", "1", alternates=("แมว",))
    rates = kd.data.unknown_rates(tokenizer, [document, {"text": "mat"}])
    assert rates == {"Latin": (0.0, 2), "Thai": (1.0, 2)}
    assert kd.data.unknown_rates(tokenizer, []) == {}


@pytest.mark.parametrize(
    ("word", "script"),
    [
        ("cat", "Latin"),
        ("猫", "Han"),
        ("ねこ", "Hiragana"),
        ("ー", "Common"),
        ("2fast", "Latin"),
        ("12", "Common"),
        ("𝔘", "Common"),
        ("မြန်", "Myanmar"),
    ],
)
def test_script_is_that_of_the_first_letter(word, script):
    assert script_of(word) == script


def test_training_reports_each_script(capfd):
    texts = ["cat " * 300, "кот " * 40, "猫犬鳥", "and"]
    with pytest.warns(UserWarning, match=r"100\.0 % of the 40 words in Cyr"):
        kd.data.train_tokenizer(texts, 40, alphabet_size=4)
    (line,) = [
        line
        for line in capfd.readouterr().err.splitlines()
        if line.startswith("Unknown words:")
    ]
    assert "Latin 0.33 % of 301" in line
    assert "Cyrillic 100.00 % of 40" in line
    assert "Han 100.00 % of 3" in line


def test_no_warning_of_what_is_rare():
    """Neither of a rare script, nor of a few words of a frequent one."""
    texts = ["cat " * 1_000, "猫", "ў" * 5]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kd.data.train_tokenizer(texts, 40, alphabet_size=3, show_progress=False)


def test_the_warning_points_at_the_call():
    with pytest.warns(UserWarning, match="does not know") as caught:
        kd.data.train_tokenizer(
            ["aa bb cc"], 40, alphabet_size=1, show_progress=False
        )
    assert caught[0].filename == __file__


def test_wrong_arguments(tokenizer):
    with pytest.raises(ValueError, match="`tokenizer` must be"):
        kd.data.unknown_rates("x", ["a"])
    with pytest.raises(ValueError, match="`texts`"):
        kd.data.unknown_rates(tokenizer, "a text")
    with pytest.raises(ValueError, match="`show_progress`"):
        kd.data.unknown_rates(tokenizer, ["a"], show_progress=2)
