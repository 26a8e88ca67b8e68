import math

import numpy as np
import pytest
from keras import ops
from sklearn.metrics import ndcg_score

from keras_dinolm.evaluation import retrieval_ndcg
from keras_dinolm.evaluation.arguments import unit


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.mark.parametrize("k", [1, 10, 100])
def test_one_relevant_document_agrees_with_scikit_learn(k):
    documents = draw(0, 100, 8)
    queries = documents[:40] + draw(1, 40, 8)
    relevance = np.eye(40, 100)
    expected = ndcg_score(relevance, unit(queries) @ unit(documents).T, k=k)
    actual = retrieval_ndcg(queries, documents, range(40), k=k)
    assert isinstance(actual, float)
    assert 0.1 < actual < 0.95
    assert actual == pytest.approx(expected, abs=1e-12)


def test_grades_agree_with_scikit_learn():
    documents, queries = draw(2, 60, 8), draw(3, 20, 8)
    relevance = np.random.default_rng(4).integers(-6, 4, size=(20, 60)).clip(0)
    expected = ndcg_score(relevance, unit(queries) @ unit(documents).T, k=10)
    grades = [dict(enumerate(row)) for row in relevance]
    for relevant in (grades, dict(enumerate(grades))):
        actual = retrieval_ndcg(queries, documents, relevant)
        assert actual == pytest.approx(expected, abs=1e-12)


def test_by_hand():
    documents = np.eye(4)
    query = np.array([[0.4, 0.3, 0.2, 0.1]])  # ranks them 0, 1, 2, 3
    for document in range(4):
        value = retrieval_ndcg(query, documents, [document], k=3)
        hand = 1 / math.log2(document + 2) if document < 3 else 0.0
        assert value == pytest.approx(hand)
    value = retrieval_ndcg(query, documents, [{1: 3, 2: 1}], k=3)
    gained = 3 / math.log2(3) + 1 / math.log2(4)
    assert value == pytest.approx(gained / (3 / 1 + 1 / math.log2(3)))
    # More relevant documents than ranks: the best ranking has k of them.
    value = retrieval_ndcg(query, documents, [[0, 1, 2, 3]], k=2)
    assert value == pytest.approx(1.0)


def test_forms_of_one_relevant_document():
    documents = draw(5, 30, 6)
    queries = documents[::-1][:12] + draw(6, 12, 6)
    relevant = list(range(29, 17, -1))
    expected = retrieval_ndcg(queries, documents, relevant)
    for form in (
        np.array(relevant),
        ops.convert_to_tensor(relevant),
        [[i] for i in relevant],
        [{i} for i in relevant],
        [{i: 5.0, 0: 0.0} for i in relevant],
        {q: i for q, i in enumerate(relevant)},
    ):
        assert retrieval_ndcg(queries, documents, form) == expected
    assert expected == retrieval_ndcg(
        queries, documents, relevant, batch_size=5
    )


def test_equal_documents_rank_by_index():
    documents = np.ones((50, 7))
    for document, hand in ((0, 1.0), (2, 0.5), (10, 0.0)):
        value = retrieval_ndcg(np.ones((1, 7)), documents, [document])
        assert value == pytest.approx(hand)


def test_fewer_documents_than_ranks():
    value = retrieval_ndcg(np.eye(2), np.eye(2)[::-1], [0, 0], k=10)
    assert value == pytest.approx((1 / math.log2(3) + 1) / 2)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"relevant": [0]}, "1 entries, 2 rows"),
        ({"relevant": [0, 3]}, "Received: 3 for query 1"),
        ({"relevant": [0, -1]}, "from 0 to 2"),
        ({"relevant": [0, 0.5]}, "Received: 0.5"),
        ({"relevant": ["a", "b"]}, "Received: 'a'"),
        ({"relevant": [0, []]}, r"relevant\[1\]=\[\]"),
        ({"relevant": [{0: 0.0}, 1]}, r"relevant\[0\]"),
        ({"relevant": [{0: -1.0}, 1]}, r"`relevant\[0\]\[0\]`.*least 0"),
        ({"relevant": {0: 1, 5: 1}}, "keys"),
        ({"k": 0}, "k=0"),
        ({"document_features": np.ones((3, 5))}, "`document_features`"),
        ({"query_features": np.full((2, 4), np.inf)}, "in 2 of 2 rows"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    arguments = {
        "query_features": np.ones((2, 4)),
        "document_features": np.ones((3, 4)),
        "relevant": [0, 1],
    }
    with pytest.raises(ValueError, match=message):
        retrieval_ndcg(**(arguments | change))
