"""Cosines between tokens, and how tokens are written."""

import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.pictures import TextReader
from keras_dinolm.pictures import token_similarity
from keras_dinolm.pictures.pieces import Pieces
from tests.models.tiny import stock
from tests.pictures import pieces

A, B = "The foxes ran.", "the dog & the fox"


@pytest.fixture(scope="module")
def reader():
    return pieces.reader()


def test_cosines_are_those_of_the_embedder(reader):
    embedder = kd.models.DinoLMTextEmbedder(
        reader.encoder.backbone,
        kd.models.DinoLMTextPreprocessor(reader.tokenizer),
    )
    a, b = (
        x.astype("float64")
        for x in embedder.encode([A, B], output_value="token_embeddings")
    )
    norms = np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    found = token_similarity(reader, A, B)
    assert found.rows.names == ("[CLS]", "the", "fox", "·es", "ran", ".")
    assert found.columns.names == ("[CLS]", "the", "dog", "&", "the", "fox")
    np.testing.assert_allclose(found.cosines, a @ b.T / norms, atol=1e-6)
    turned = token_similarity(reader, B, A)
    np.testing.assert_allclose(turned.cosines, found.cosines.T, atol=1e-6)


def test_within_a_text_it_is_the_gram_matrix(reader):
    found = token_similarity(reader, A)
    assert found.within and found.rows is found.columns
    np.testing.assert_array_equal(found.cosines, found.cosines.T)
    np.testing.assert_allclose(np.diag(found.cosines), 1.0, atol=1e-12)
    assert np.linalg.eigvalsh(found.cosines).min() > -1e-9
    between = token_similarity(reader, A, A)
    np.testing.assert_allclose(found.cosines, between.cosines, atol=1e-6)


def test_long_texts_are_cut_and_the_rest_is_counted(reader):
    found = token_similarity(reader, A, B, max_tokens=3)
    assert found.rows.names == ("[CLS]", "the", "fox", "·es")
    assert (found.rows.num_left_out, found.columns.num_left_out) == (2, 2)
    assert found.rows.count() == "the first 3 of 5 tokens"
    whole = token_similarity(reader, "the foxes", "the dog &")
    np.testing.assert_allclose(found.cosines, whole.cosines, atol=1e-6)


def test_description_names_the_most_similar_pair(reader):
    found = token_similarity(reader, A, B)
    cosines = found.cosines[1:, 1:]
    row, column = np.argwhere(cosines == cosines.max())[0] + 1
    names = f"'{found.rows.names[row]}' and '{found.columns.names[column]}'"
    described = found.describe()
    assert names in described
    assert f"{cosines.min():.2f} and {cosines.max():.2f}" in described
    within = token_similarity(reader, "fox fox dog")
    assert "'fox' and 'fox'" in within.describe()


def test_empty_texts_and_constant_features_are_no_trouble(reader):
    empty = token_similarity(reader, "", A)
    assert empty.cosines.shape == (1, 6)
    assert "0 tokens" in empty.describe()
    assert "0 tokens" in token_similarity(reader, " ").describe()
    zero = TextReader(pieces.backbone(), pieces.tokenizer())
    for variable in zero.encoder.backbone.output_norm.weights:
        variable.assign(0.0 * variable)
    np.testing.assert_array_equal(token_similarity(zero, A).cosines, 0.0)


def test_wrong_arguments_are_named(reader):
    with pytest.raises(ValueError, match="`a` must be a string.*a=3"):
        token_similarity(reader, 3)
    with pytest.raises(ValueError, match="max_tokens"):
        token_similarity(reader, A, max_tokens=0)
    with pytest.raises(ValueError, match="token embedding 9 rows"):
        TextReader(kd.models.DinoLMBackbone(9, 1, 2, 8, 16), reader.tokenizer)


def test_a_keras_hub_encoder_reads_no_more_than_it_has_positions():
    backbone = stock("BertBackbone")  # 16 positions
    vocabulary = pieces.VOCABULARY[: backbone.vocabulary_size]
    reader = TextReader(backbone, kd.models.DinoLMTokenizer(vocabulary))
    tokens = reader.tokens("fox " * 20)
    assert len(tokens) == 16 and tokens.num_left_out == 5
    assert reader.limit("span_length", 99) == 15


class SentencePiece:
    """As keras-hub's tokenizers of this kind name their tokens."""

    proto = "model"
    tokens = ["\u2581the", "\u2581fox", "es", "\u2581", "."]

    def id_to_token(self, token_id):
        return self.tokens[token_id]


def test_pieces_are_read_without_the_marks_of_their_tokenizer():
    word_pieces = Pieces(pieces.tokenizer())
    ids = [pieces.VOCABULARY.index(t) for t in ("the", "fox", "##es", ".")]
    assert word_pieces.names(ids) == ["the", "fox", "·es", "."]
    assert word_pieces.join(ids) == " the foxes ."
    marked = word_pieces.join_marked(ids[:2], ids[2:3], ids[3:])
    assert marked == ("the fox", "es", " .")
    assert word_pieces.join_marked((), ids[1:2], ids[2:]) == ("", "fox", "es .")
    sentence = Pieces(SentencePiece())
    assert sentence.names([0, 1, 2, 4, 3]) == ["the", "fox", "·es", "·.", "␣"]
    assert sentence.join([0, 1, 2, 4]) == " the foxes."


def test_byte_pairs_are_read_as_text():
    import keras_hub

    vocabulary = ["<s>", "<pad>", "</s>", "<mask>", "<unk>"]
    vocabulary += ["f", "o", "x", "fo", "fox", "\u0120", "\u0120fox", "\u00c3"]
    tokenizer = keras_hub.models.RobertaTokenizer(
        {token: index for index, token in enumerate(vocabulary)},
        ["f o", "fo x", "\u0120 fox"],
    )
    byte_pairs = Pieces(tokenizer)
    ids = [vocabulary.index(t) for t in ("fox", "\u0120fox", "\u00c3")]
    # Half of a letter is no letter.
    assert byte_pairs.names(ids) == ["·fox", "fox", "·\ufffd"]
    assert byte_pairs.join(ids[:2]) == "fox fox"
