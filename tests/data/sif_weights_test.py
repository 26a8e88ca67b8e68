"""Weights by frequency: against counts by hand, and special tokens."""

import numpy as np
import pytest

import keras_dinolm as kd
from tests.data.stores import build_store
from tests.data.stores import word_tokenizer

pytestmark = pytest.mark.once

TOKENIZER = word_tokenizer(["the", "cat", "mat", "dog"])
SIZE = TOKENIZER.vocabulary_size()


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    # Ten tokens: "the" six times, "cat" three times, "mat" once.
    texts = ["the cat the mat the", "cat the cat", "the the"]
    return build_store(
        texts, TOKENIZER, tmp_path_factory.mktemp("t"), shard_characters=9
    )


def weights_of(tokens, *words, **options):
    found = kd.data.sif_weights(tokens, SIZE, **options)
    assert found.dtype == "float32" and found.shape == (SIZE,)
    return [float(found[TOKENIZER.token_to_id(word)]) for word in words]


def test_weights_by_hand(tokens):
    assert len(tokens.shards) > 1
    words = "the", "cat", "mat", "dog"
    # 0.2 / (0.2 + 0.6), 0.2 / (0.2 + 0.3), 0.2 / (0.2 + 0.1), not seen.
    expected = [1 / 4, 2 / 5, 2 / 3, 1.0]
    found = weights_of(tokens, *words, smoothing=0.2)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    found = weights_of(tokens, *words, smoothing=0.2, power=0.5)
    np.testing.assert_allclose(found, np.sqrt(expected), rtol=1e-6)
    found = weights_of(tokens, *words, power=0.0)
    np.testing.assert_allclose(found, 1.0, rtol=1e-6)
    # The default: 0.001 / (0.001 + 0.6).
    assert weights_of(tokens, "the") == pytest.approx([1 / 601], rel=1e-6)


def test_special_tokens_count_next_to_nothing(tokens):
    special = "[PAD]", "[CLS]", "[MASK]"
    found = weights_of(tokens, *special, power=0.0)
    assert 0.0 < max(found) < 1e-5
    assert np.isfinite(np.log(found)).all()
    assert weights_of(tokens, "[SEP]") == [1.0]
    more = [TOKENIZER.token_to_id("[SEP]")]
    found = weights_of(tokens, "[SEP]", special_token_ids=more)
    assert max(found) < 1e-5


def test_a_store_of_a_larger_vocabulary(tokens):
    with pytest.raises(ValueError, match="of a larger vocabulary"):
        kd.data.sif_weights(tokens, SIZE - 1)


def test_counts_by_hand(tokens):
    counts = kd.data.token_counts(tokens, SIZE)
    found = {
        word: counts[TOKENIZER.token_to_id(word)]
        for word in ("the", "cat", "mat", "dog", "[CLS]")
    }
    assert found == {"the": 6, "cat": 3, "mat": 1, "dog": 0, "[CLS]": 0}
    assert counts.sum() == 10 and counts.dtype == "int64"
    with pytest.raises(ValueError, match="of a larger vocabulary"):
        kd.data.token_counts(tokens, SIZE - 1)
