"""Counted embeddings: against dense float64 counts, and what they mean."""

import importlib

import numpy as np
import pytest
from scipy import linalg

import keras_dinolm as kd
from tests.data.stores import build_store
from tests.data.stores import word_tokenizer

pytestmark = pytest.mark.once

WORDS = ["alpha", "beta", "gamma", "delta", "eps", "zeta", "eta"]


@pytest.fixture(scope="module")
def texts():
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, rng.integers(1, 9))) for _ in range(80)]


@pytest.fixture(scope="module")
def tokenizer():
    return word_tokenizer(WORDS)


def dense_ppmi(texts, size, tokenizer, window):
    """Counted pair by pair, text by text."""
    counts = np.zeros((size, size))
    for ids in tokenizer.tokenize(texts):
        for i, a in enumerate(ids):
            for b in ids[i + 1 : i + 1 + window]:
                counts[a, b] += 1
                counts[b, a] += 1
    row = counts.sum(axis=1, keepdims=True)
    column = row.T**0.75 / (row**0.75).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        result = np.log(counts / (row * column))
    return np.where(counts > 0, np.maximum(result, 0.0), 0.0)


@pytest.mark.parametrize("window, more", [(1, 0), (3, 0), (20, 0), (3, 5)])
def test_products_of_rows_are_the_root_of_the_squared_matrix(
    texts, tokenizer, tmp_path, window, more
):
    # With all dimensions, (U S^1/2)(U S^1/2)^T = (P P^T)^(1/2), with more too.
    tokens = build_store(texts, tokenizer, tmp_path, shard_characters=300)
    assert len(tokens.shards) > 3
    size = tokenizer.vocabulary_size()
    rows = kd.data.ppmi_embeddings(tokens, size, size + more, window=window)
    seen = [i for i, w in enumerate(tokenizer.get_vocabulary()) if w in WORDS]
    matrix = dense_ppmi(texts, size, tokenizer, window)
    expected = linalg.sqrtm((matrix @ matrix.T)[np.ix_(seen, seen)]).real
    found = (rows[seen] @ rows[seen].T).astype("float64")
    scale = np.trace(expected) / np.trace(found)
    np.testing.assert_allclose(found * scale, expected, atol=1e-5)
    assert rows[seen].std() == pytest.approx(0.05, rel=1e-5)


def test_words_used_alike_are_near(tokenizer, tmp_path):
    # "alpha" and "beta" stand in the same places, "gamma" in others.
    texts = ["alpha delta eps", "beta delta eps", "gamma zeta eta"] * 10
    tokens = build_store(texts, tokenizer, tmp_path)
    size = tokenizer.vocabulary_size()
    rows = kd.data.ppmi_embeddings(tokens, size, 4, stddev=1.0)
    vocabulary = list(tokenizer.get_vocabulary())
    a, b, c = (rows[vocabulary.index(w)] for w in ("alpha", "beta", "gamma"))
    assert a @ b > 0.9 * np.linalg.norm(a) * np.linalg.norm(b)
    assert abs(a @ c) < 0.1 * np.linalg.norm(a) * np.linalg.norm(c)


def test_tokens_that_are_not_seen_get_random_rows(tokenizer, tmp_path):
    tokens = build_store(["alpha beta alpha"] * 5, tokenizer, tmp_path)
    size = tokenizer.vocabulary_size()
    first, again, other = (
        kd.data.ppmi_embeddings(tokens, size, 2, seed=seed)
        for seed in (0, 0, 1)
    )
    vocabulary = list(tokenizer.get_vocabulary())
    unseen = [vocabulary.index(w) for w in ("[MASK]", "[CLS]", "eta")]
    assert np.all(first[unseen] != 0.0)
    np.testing.assert_array_equal(first, again)
    assert np.all(first[unseen] != other[unseen])


def test_stretches_count_each_pair_once(
    texts, tokenizer, tmp_path, monkeypatch
):
    # The function of the same name hides its module.
    module = importlib.import_module("keras_dinolm.data.ppmi_embeddings")
    tokens = build_store(texts, tokenizer, tmp_path)
    size = tokenizer.vocabulary_size()
    whole = kd.data.ppmi_embeddings(tokens, size, size)
    monkeypatch.setattr(module, "STRETCH", 7)
    pieces = kd.data.ppmi_embeddings(tokens, size, size)
    np.testing.assert_allclose(pieces, whole, atol=1e-6)
    few = kd.data.ppmi_embeddings(tokens, size, size, max_tokens=70)
    assert np.abs(few - whole).max() > 1e-3


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"dim": 0}, "`dim` must be .*dim=0"),
        ({"window": 0}, "`window` must be .*window=0"),
        ({"stddev": 0.0}, "`stddev` must be .*stddev=0.0"),
        ({"max_tokens": 0}, "`max_tokens` must be .*max_tokens=0"),
        ({"vocabulary_size": 6}, "of a larger vocabulary"),
    ],
)
def test_bad_arguments(texts, tokenizer, tmp_path, arguments, message):
    tokens = build_store(texts, tokenizer, tmp_path)
    arguments = {"vocabulary_size": 12, "dim": 2, **arguments}
    with pytest.raises(ValueError, match=message):
        kd.data.ppmi_embeddings(tokens, **arguments)


@pytest.mark.parametrize(
    "texts, message",
    [
        (["alpha", "beta"], "no document with two tokens"),
        (["alpha alpha alpha"], "more often than by chance"),
    ],
)
def test_nothing_to_learn_from(texts, message, tokenizer, tmp_path):
    tokens = build_store(texts, tokenizer, tmp_path)
    with pytest.raises(ValueError, match=message):
        kd.data.ppmi_embeddings(tokens, 12, 2)
