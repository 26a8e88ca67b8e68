"""Exact nearest neighbours by cosine."""

from collections.abc import Iterator

import numpy as np
from keras import ops

from keras_dinolm.evaluation.arguments import unit

# Entries of the largest temporary array on the host.
BLOCK = 2**24


def nearest(
    queries: np.ndarray, documents: np.ndarray, k: int, batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The k documents of highest cosine to each query, best first.

    The accelerator multiplies all by all in float32 (or TF32, or whatever its
    matrix unit does) and keeps a few more documents than asked for. These are
    measured again in float64 and sorted. Where the documents left behind
    might be as near (near-duplicates, collapsed features), all documents are
    measured. Equal cosines rank by index, lowest first. So the
    result depends neither on the device nor on `batch_size`.

    Args:
        queries: Array of shape `[Q, D]`.
        documents: Array of shape `[N, D]`.
        k: Integer from 1 to N.
        batch_size: Integer. Number of queries at a time.

    Returns:
        Yields `(cosines, indices)` for each batch of queries: float64 and
        integer arrays of shape `[batch, k]`.
    """
    documents = unit(documents)
    num_documents, width = documents.shape
    kept = min(num_documents, 2 * k + 16)
    columns = ops.convert_to_tensor(documents.T, dtype="float32")
    for start in range(0, len(queries), batch_size):
        rows = unit(queries[start : start + batch_size])
        rough, indices = ops.top_k(
            ops.matmul(ops.convert_to_tensor(rows, dtype="float32"), columns),
            kept,
        )
        rough = ops.convert_to_numpy(rough).astype(np.float64)
        indices = ops.convert_to_numpy(indices).astype(np.int64)
        exact = np.empty_like(rough)
        step = max(1, BLOCK // (kept * width))
        for i in range(0, len(rows), step):
            part = slice(i, i + step)
            exact[part] = np.einsum(
                "qd,qnd->qn", rows[part], documents[indices[part]]
            )
        cosines, indices = _sort(exact, indices, k)
        if kept < num_documents:
            # What was left behind is at most as good as the worst of what
            # was kept, give or take the product's error, which we just saw
            # thousands of samples of.
            margin = 4.0 * np.abs(rough - exact).max() + 1e-7
            unsure = rough.min(axis=1) + margin >= cosines[:, -1]
            for row in np.flatnonzero(unsure):
                every = np.einsum("d,nd->n", rows[row], documents)
                best = np.argsort(-every, kind="stable")[:k]
                cosines[row], indices[row] = every[best], best
        yield cosines, indices


def _sort(cosines, indices, k):
    order = np.lexsort((indices, -cosines), axis=1)[:, :k]
    return (
        np.take_along_axis(cosines, order, axis=1),
        np.take_along_axis(indices, order, axis=1),
    )
