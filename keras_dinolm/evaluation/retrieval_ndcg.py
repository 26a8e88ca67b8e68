"""Ranking of documents for a query."""

import collections.abc
import numbers
from typing import Any

import numpy as np
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.evaluation.arguments import as_features
from keras_dinolm.evaluation.nearest import nearest
from keras_dinolm.typing import Tensor


def retrieval_ndcg(
    query_features: Tensor,
    document_features: Tensor,
    relevant: Any,
    k: int = 10,
    batch_size: int = 256,
) -> float:
    """Mean normalised discounted cumulative gain of the first k documents.

    Documents are ranked by cosine. A document at rank r (from 1) adds its
    relevance divided by `log2(r + 1)`; the sum is divided by that of the best
    possible ranking, and averaged over queries. The gain is linear, as in
    trec_eval's `ndcg_cut`. With one relevant document a query, a query is
    worth 1 where it comes first, and 0 where it is not among the first k.

    Equally near documents rank by index, lowest first.

    Args:
        query_features: Array of shape `[Q, D]`.
        document_features: Array of shape `[N, D]`.
        relevant: What is relevant to each query: a sequence of Q entries, or
            a mapping from the query's index 0 ... Q - 1 to its entry. An entry
            is the index of a document, or several indices, or a mapping from
            indices to grades (0 and above, not all 0).
        k: Integer, at least 1. If there are fewer documents, all count.
        batch_size: Integer. Number of queries at a time; it does not change
            the result. The accelerator holds `batch_size * N` cosines.

    Returns:
        Float from 0 to 1.

    Raises:
        ValueError: If shapes do not fit, features are empty or not finite, or
            a query has no relevant document.

    Example:

    ```python
    import numpy as np
    from keras_dinolm.evaluation import retrieval_ndcg

    rng = np.random.default_rng(0)
    documents = rng.normal(size=(50, 8))
    queries = documents[:10] + rng.normal(size=(10, 8))
    print(retrieval_ndcg(queries, documents, relevant=range(10)))
    grades = [{i: 2.0, i + 10: 1.0} for i in range(10)]
    print(retrieval_ndcg(queries, documents, relevant=grades))
    ```

    Reference:

    - [Järvelin & Kekäläinen, 2002](https://doi.org/10.1145/582415.582418)
    """
    queries = as_features("query_features", query_features)
    documents = as_features(
        "document_features", document_features, queries.shape[1]
    )
    k = arguments.count("k", k)
    batch_size = arguments.count("batch_size", batch_size)
    grades = _as_grades(relevant, len(queries), len(documents))
    depth = min(k, len(documents))
    discounts = 1.0 / np.log2(np.arange(2, depth + 2))
    total, query = 0.0, 0
    for _, indices in nearest(queries, documents, depth, batch_size):
        for ranked in indices.tolist():
            found = [grades[query].get(document, 0.0) for document in ranked]
            ideal = sorted(grades[query].values(), reverse=True)[:depth]
            total += np.dot(found, discounts) / np.dot(
                ideal, discounts[: len(ideal)]
            )
            query += 1
    return float(total / len(queries))


def _as_grades(relevant, num_queries, num_documents):
    """One dict from document indices to grades for each query."""
    if ops.is_tensor(relevant):
        relevant = ops.convert_to_numpy(relevant)
    if isinstance(relevant, collections.abc.Mapping):
        if set(relevant) != set(range(num_queries)):
            raise ValueError(
                "`relevant` must have the indices of all queries, 0 to "
                f"{num_queries - 1}, as keys. Received {len(relevant)} keys, "
                f"among them {list(relevant)[:3]}."
            )
        relevant = [relevant[query] for query in range(num_queries)]
    if isinstance(relevant, str | bytes) or not isinstance(
        relevant, collections.abc.Iterable
    ):
        arguments.refuse("relevant", relevant, "a list with an entry a query")
    relevant = list(relevant)
    if len(relevant) != num_queries:
        raise ValueError(
            "`relevant` must have one entry for each row of "
            f"`query_features`. Received: {len(relevant)} entries, "
            f"{num_queries} rows."
        )
    return [
        _as_grade(query, entry, num_documents)
        for query, entry in enumerate(relevant)
    ]


def _as_grade(query, entry, num_documents):
    if isinstance(entry, collections.abc.Mapping):
        grades = dict(entry)
    elif isinstance(entry, numbers.Integral):
        grades = {entry: 1.0}
    elif isinstance(entry, collections.abc.Iterable):
        grades = dict.fromkeys(entry, 1.0)
    else:
        grades = {entry: 1.0}
    for document, grade in grades.items():
        if not (
            isinstance(document, numbers.Integral)
            and not isinstance(document, bool)
            and 0 <= document < num_documents
        ):
            raise ValueError(
                "`relevant` must name documents by index, from 0 to "
                f"{num_documents - 1}. Received: {document!r} for query "
                f"{query}."
            )
        arguments.number(
            f"relevant[{query}][{document}]", grade, 0, meaning="a grade"
        )
    if not any(grades.values()):
        raise ValueError(
            "Each query must have a relevant document, else its nDCG is "
            f"not defined: leave it out. Received: relevant[{query}]={entry}."
        )
    return {int(document): float(grade) for document, grade in grades.items()}
