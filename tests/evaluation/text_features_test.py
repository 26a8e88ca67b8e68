"""Any encoder, one face: every text once, words from their pieces."""

import types

import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.evaluation import TextFeatures
from tests.models import tiny


def letters(texts):
    return np.array([[t.count(c) for c in "abcd"] for t in texts], "float64")


def embedder(sequence_length=16):
    preprocessor = kd.models.DinoLMTextPreprocessor(
        tiny.tokenizer(), sequence_length
    )
    return kd.models.DinoLMTextEmbedder(tiny.backbone(), preprocessor)


class Recorder:
    """An encoder that remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def encode(self, texts):
        self.asked += texts
        return letters(texts)


@pytest.mark.once
def test_functions_and_objects_give_the_same():
    texts = ["abba", "dada", "abba", "cab"]
    for encoder in (letters, Recorder()):
        found = TextFeatures(encoder).texts(texts)
        np.testing.assert_array_equal(found, letters(texts))


@pytest.mark.once
def test_each_text_is_encoded_once():
    encoder = Recorder()
    features = TextFeatures(encoder)
    features.texts(["a", "b", "a"])
    features.texts(["b", "c"])
    assert encoder.asked == ["a", "b", "c"]


def test_our_embedder():
    ours = embedder()
    texts = ["the fox", "a lazy dog jumps"]
    np.testing.assert_array_equal(
        TextFeatures(ours).texts(texts), ours.encode(texts)
    )


# === Words ===


def test_a_word_is_the_mean_of_its_pieces():
    ours = embedder()
    sentence = ["the", "foxes.", "dog"]  # the, fox ##es ., dog
    pieces = ours.encode(" ".join(sentence), output_value="token_embeddings")
    assert len(pieces) == 6
    [found] = TextFeatures(ours).words([sentence])
    by_hand = [pieces[1], pieces[2:5].mean(axis=0), pieces[5]]
    np.testing.assert_allclose(found, by_hand, rtol=1e-6, atol=1e-7)


def test_words_that_were_cut_have_features_of_zeros():
    ours = embedder(sequence_length=4)
    with pytest.warns(UserWarning, match="were cut"):
        [found] = TextFeatures(ours).words([["the", "fox", "jumps", "over"]])
    assert found.shape == (4, 16)
    np.testing.assert_array_equal(found[3], 0.0)
    assert np.abs(found[:3]).min(axis=1).all()


class Offsets:
    """What is used of a sentence-transformers model: letters as pieces."""

    max_seq_length = 9

    def encode(self, texts, output_value=None):
        assert output_value == "token_embeddings"
        return [
            np.array([ord(c) for c in self._cut(text)], float)[:, None]
            for text in texts
        ]

    def _cut(self, text):
        return ("<" + text.replace(" ", ""))[: self.max_seq_length - 1] + ">"

    def tokenizer(self, texts, truncation, max_length, return_offsets_mapping):
        assert truncation and return_offsets_mapping
        assert max_length == self.max_seq_length
        rows = []
        for text in texts:
            inner = [(i, i + 1) for i, c in enumerate(text) if c != " "]
            rows.append([(0, 0), *inner[: max_length - 2], (0, 0)])
        return {"offset_mapping": rows}


@pytest.mark.once
def test_pieces_by_their_places_in_the_text():
    found = TextFeatures(Offsets()).words([["ac", "b"], ["abcdef", "gh"]])
    np.testing.assert_allclose(found[0], [[ord("b")], [ord("b")]])
    np.testing.assert_allclose(found[1], [[ord("c") + 0.5], [ord("g")]])


@pytest.mark.once
def test_an_encoder_of_words_is_asked_once():
    calls = []

    def encode_words(sentences):
        calls.append(sentences)
        return [letters(words) for words in sentences]

    encoder = types.SimpleNamespace(encode=letters, encode_words=encode_words)
    features = TextFeatures(encoder)
    found = features.words([["ab", "d"], ["c"], ["c"]])
    np.testing.assert_array_equal(found[0], letters(["ab", "d"]))
    features.words([["c"]])
    assert calls == [[["ab", "d"], ["c"]]]


# === What is refused ===


@pytest.mark.once
def test_wrong_encoders_are_named():
    with pytest.raises(ValueError, match="must have a method `encode"):
        TextFeatures("bert")
    with pytest.raises(TypeError, match="encode_words"):
        TextFeatures(letters).words([["a"]])
    with pytest.raises(ValueError, match="1 rows for 2 texts"):
        TextFeatures(lambda texts: np.ones((1, 3))).texts(["a", "b"])
    with pytest.raises(ValueError, match="NaN or infinity in 1 of 1"):
        TextFeatures(lambda texts: np.full((1, 3), np.nan)).texts(["a"])


@pytest.mark.once
def test_pieces_that_fit_no_words_are_refused():
    encoder = Offsets()
    encoder._cut = lambda text: "<>"
    with pytest.raises(ValueError, match="2 pieces .* has 5.*encode_words"):
        TextFeatures(encoder).words([["ac", "b"]])
    short = types.SimpleNamespace(
        encode=letters, encode_words=lambda sentences: [letters(["a"])]
    )
    with pytest.raises(ValueError, match="1 rows for 2 words"):
        TextFeatures(short).words([["a", "b"]])
    with pytest.raises(ValueError, match="1 arrays for 2 sentences"):
        TextFeatures(short).words([["a"], ["b"]])
