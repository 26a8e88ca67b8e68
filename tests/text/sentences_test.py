"""Splitting into sentences loses nothing."""

import pytest

from keras_dinolm.text.sentences import split_sentences

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    "text",
    ["", "   ", "one", 'He said "no." Then.\n\nA title\n\nx = 3.5 e.g. f.x'],
)
def test_sentences_together_are_the_text(text):
    assert "".join(split_sentences(text)) == text
