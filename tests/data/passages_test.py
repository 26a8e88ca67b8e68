import hypothesis
import pytest
from hypothesis import strategies

import keras_dinolm as kd

pytestmark = pytest.mark.once


def test_sentences_share_a_passage_while_they_fit():
    text = "One two three. Four five. Six seven eight nine. Ten."
    assert kd.data.passages([text], max_words=5, min_words=1) == [
        "One two three. Four five.",
        "Six seven eight nine. Ten.",
    ]
    assert kd.data.passages([text], max_words=4, min_words=2) == [
        "One two three.",
        "Four five.",
        "Six seven eight nine.",
    ]


def test_documents_share_no_passage():
    found = kd.data.passages(["One two.", {"text": "Three four."}], min_words=1)
    assert found == ["One two.", "Three four."]


def test_ideographs_are_words():
    found = kd.data.passages(["東京は日本の首都"], max_words=4, min_words=1)
    assert found == ["東京は日", "本の首都"]


@hypothesis.given(
    strategies.lists(strategies.text("ab .!?\n東", max_size=60), min_size=1),
    strategies.integers(1, 6),
)
def test_no_word_is_lost_and_no_passage_too_long(texts, most):
    def letters(text):
        return "".join(text.split())

    texts = [*texts, "a"]
    found = kd.data.passages(texts, max_words=most, min_words=1)
    assert letters("".join(found)) == letters("".join(texts))
    for passage in found:
        assert len(passage.split()) <= most
        assert passage == passage.strip() != ""


def test_only_short_ones_are_refused():
    with pytest.raises(ValueError, match="min_words"):
        kd.data.passages(["one two"], min_words=3)
