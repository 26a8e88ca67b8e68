"""`encode` in any batches against one text after the other."""

import functools

import keras
import numpy as np
from hypothesis import strategies as st

import keras_dinolm as kd
from tests.properties.tokenizers import tokenizer

LENGTH, DIM = 16, 8
_words = st.sampled_from(["fox", "the", ".", "foxes", "狐", "1"])
_texts = st.one_of(
    st.text(max_size=8), st.lists(_words, max_size=12).map(" ".join)
)
cases = st.fixed_dictionaries(
    {
        "texts": st.lists(_texts, max_size=9),
        "batch_size": st.sampled_from([1, 2, 5, 32]),
        "normalize": st.booleans(),
        "tokens": st.booleans(),
    }
)


@functools.cache
def embedder():
    keras.utils.set_random_seed(0)
    backbone = kd.models.DinoLMBackbone(
        vocabulary_size=tokenizer().vocabulary_size(),
        num_layers=1,
        num_heads=2,
        hidden_dim=DIM,
        intermediate_dim=16,
        embedding_stddev=1.0,
    )
    preprocessor = kd.models.DinoLMTextPreprocessor(
        tokenizer(), sequence_length=LENGTH
    )
    return kd.models.DinoLMTextEmbedder(backbone, preprocessor)


@functools.cache
def _alone(text):
    """Feature of a text, and of its tokens, by the backbone alone."""
    ids = [2, *tokenizer().tokenize([text])[0][: LENGTH - 1]]
    row = np.zeros((1, LENGTH), "int32")
    row[0, : len(ids)] = ids
    outputs = embedder().backbone.predict(
        {"token_ids": row, "padding_mask": np.arange(LENGTH)[None] < len(ids)},
        verbose=0,
    )
    tokens = outputs["sequence_output"][0][: len(ids)]
    return outputs["pooled_output"][0], tokens


def check(case: dict) -> int:
    """Features do not depend on the other texts, their order or number."""
    texts = case["texts"]
    options = {"batch_size": case["batch_size"], "show_progress_bar": False}
    if case["tokens"]:
        found = embedder().encode(
            texts, output_value="token_embeddings", **options
        )
        assert len(found) == len(texts)
        for text, tokens in zip(texts, found):
            expected = _alone(text)[1]
            assert tokens.shape == expected.shape
            np.testing.assert_allclose(tokens, expected, atol=2e-5)
        return max(len(texts), 1)
    found = embedder().encode(
        texts, normalize_embeddings=case["normalize"], **options
    )
    assert found.shape == (len(texts), DIM) and found.dtype == np.float32
    for text, feature in zip(texts, found):
        expected = _alone(text)[0]
        if case["normalize"]:
            norm = np.linalg.norm(expected)
            expected = expected / max(norm, 1e-6)
        np.testing.assert_allclose(feature, expected, atol=2e-5)
    return max(len(texts), 1)
