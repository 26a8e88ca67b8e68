"""BM25, which ranks documents for a query and does nothing else."""

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics import ndcg_score

import keras_dinolm as kd


def evaluate(folder, split, k1=0.9, b=0.4):
    """The score of the retrieval task alone, nDCG@10."""
    data = kd.evaluation.TASKS["xquad"].load(folder, split, None)
    truth = np.zeros((len(data.queries), len(data.documents)))
    for query, relevant in enumerate(data.relevant):
        truth[query, list(relevant)] = list(relevant.values())
    scores = bm25(data.queries, data.documents, k1, b)
    return {"xquad": float(ndcg_score(truth, scores, k=10))}


def bm25(queries, documents, k1=0.9, b=0.4):
    """Scores `[Q, N]` of documents for queries.

    A query's word adds `idf tf / (tf + k1 (1 - b + b length / mean length))`;
    constants are those of Anserini.
    """
    vectorizer = CountVectorizer()
    weights = vectorizer.fit_transform(documents).astype(float).tocsc()
    length = np.asarray(weights.sum(axis=1)).ravel()
    present = np.diff(weights.indptr)
    idf = np.log1p((len(documents) - present + 0.5) / (present + 0.5))
    norm = k1 * (1 - b + b * length / length.mean())
    weights.data /= weights.data + norm[weights.indices]
    weights.data *= np.repeat(idf, present)
    return (vectorizer.transform(queries) @ weights.T).toarray()
