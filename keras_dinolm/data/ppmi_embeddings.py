"""Token embeddings from counts of which tokens stand near which."""

import numpy as np

from keras_dinolm import arguments
from keras_dinolm.data.store_header import MOST
from keras_dinolm.data.token_store import TokenStore

# Tokens that are counted at a time.
STRETCH = 1_000_000
# The power to which counts of contexts are raised (Levy et al., 2015).
SMOOTHING = 0.75


def ppmi_embeddings(
    tokens: TokenStore,
    vocabulary_size: int,
    dim: int,
    window: int = 5,
    stddev: float = 0.05,
    max_tokens: int = 20_000_000,
    seed: int = 0,
) -> np.ndarray:
    """Token embeddings by factorized co-occurrence counts.

    An encoder that starts from random embeddings first has to learn what
    counting tells at once: which tokens are used alike. For each pair of
    tokens within a window, the positive pointwise mutual information
    `max(0, log p(a, b) / (p(a) p(b)))` says how much more often than by
    chance they meet. A truncated singular value decomposition `U S V^T` of
    that matrix gives each token the row of `U S^(1/2)`. The counts of
    contexts are raised to the power of 0.75, so that rare ones do not stand
    out.

    All rows together are scaled to a standard deviation. Tokens that were not
    seen, such as special ones, get random rows with that deviation.

    Args:
        tokens: `TokenStore`.
        vocabulary_size: int. Number of rows, `tokenizer.vocabulary_size()`.
        dim: int. Size of each row, `backbone.hidden_dim`. Dimensions beyond
            the size of the vocabulary are 0.
        window: int. Farthest distance of a pair, in tokens. Defaults to `5`.
        stddev: float. Standard deviation of the numbers that are returned.
            Defaults to `0.05`.
        max_tokens: int. A larger store is counted in part: this many tokens,
            in stretches of a million that are spread evenly over it. Defaults
            to 20 million.
        seed: int. The seed of the random rows and of the randomized
            decomposition. Defaults to `0`.

    Returns:
        A float32 array `[vocabulary_size, dim]`.

    Raises:
        ValueError: if there are no pairs, ids that are too large, or sizes
            that do not fit.

    Example:

    ```python
    import keras_dinolm as kd

    texts = ["the cat sat on the mat", "the dog sat on the rug"] * 9
    tokenizer = kd.data.train_tokenizer(texts, vocabulary_size=60)
    tokens = kd.data.tokenize(texts, tokenizer, "tokens/")
    size = tokenizer.vocabulary_size()

    backbone = kd.models.DinoLMBackbone(size, 2, 2, 16, 32)
    backbone.token_embedding.embeddings.assign(
        kd.data.ppmi_embeddings(tokens, size, backbone.hidden_dim)
    )
    ```

    References:
        - [Levy & Goldberg, 2014](https://papers.nips.cc/paper/5477)
        - [Levy, Goldberg & Dagan, 2015](https://aclanthology.org/Q15-1016)
    """
    # A large import that no other part of this room needs.
    from sklearn.utils.extmath import randomized_svd

    arguments.instance(
        "tokens",
        tokens,
        TokenStore,
        "a `TokenStore`, from `keras_dinolm.data.tokenize`",
    )
    vocabulary_size = arguments.integer(
        "vocabulary_size", vocabulary_size, 1, MOST
    )
    dim = arguments.integer("dim", dim, 1, MOST)
    window = arguments.integer("window", window, 1, MOST)
    stddev = arguments.number("stddev", stddev, above=0)
    max_tokens = arguments.integer("max_tokens", max_tokens, 1, (1 << 62) - 1)
    seed = arguments.integer("seed", seed, 0, (1 << 32) - 1)
    if vocabulary_size < tokens.header["vocabulary_size"]:
        raise ValueError(
            "`vocabulary_size` must be that of the tokenizer that made the "
            f"store, {tokens.header['vocabulary_size']:,}. The store has ids "
            "of a larger vocabulary. "
            f"Received: vocabulary_size={vocabulary_size}"
        )
    counts = _count(tokens, vocabulary_size, window, max_tokens)
    if not counts.nnz:
        raise ValueError(
            "`tokens` has no document with two tokens: there is nothing to "
            f"count. Received: tokens={tokens!r}"
        )
    information = _ppmi(counts)
    if not information.nnz:
        raise ValueError(
            "In `tokens` no two tokens meet more often than by chance, for "
            "instance because all are the same. Received: "
            f"tokens={tokens!r}"
        )
    rank = min(dim, vocabulary_size)
    left, scales, _ = randomized_svd(information, rank, random_state=seed)
    rows = np.zeros((vocabulary_size, dim))
    rows[:, :rank] = left * np.sqrt(scales)

    rng = np.random.default_rng(seed)
    result = rng.normal(0.0, stddev, (vocabulary_size, dim))
    seen = np.diff(counts.indptr) > 0
    result[seen] = rows[seen] * (stddev / rows[seen].std())
    return result.astype("float32")


def _count(tokens, vocabulary_size, window, max_tokens):
    """Counts how often a window holds each pair of tokens: symmetric CSR."""
    from scipy import sparse

    shape = (vocabulary_size, vocabulary_size)
    total = sparse.csr_array(shape, dtype="float64")
    for ids, documents, size in _stretches(tokens, window, max_tokens):
        pairs = []
        for distance in range(1, window + 1):
            stop = max(0, min(size, len(ids) - distance))
            near = documents[:stop] == documents[distance : stop + distance]
            pairs.append(
                (ids[:stop][near], ids[distance : stop + distance][near])
            )
        first, second = (np.concatenate(side) for side in zip(*pairs))
        ones = np.ones(len(first))
        total += sparse.csr_array((ones, (first, second)), shape=shape)
    return (total + total.T).tocsr()


def _stretches(tokens, window, max_tokens):
    """Yields ids, the document of each, and how many pairs may begin there.

    Pairs begin at the first ids. The others are those that a window reaches.
    """
    starts = [
        (shard, start)
        for shard, header in enumerate(tokens.shards)
        for start in range(0, header["tokens"], STRETCH)
    ]
    kept = min(len(starts), max(1, max_tokens // STRETCH))
    for index in np.linspace(0, len(starts) - 1, kept).astype(int):
        shard, start = starts[index]
        ids, lengths, _ = tokens.shard(shard)
        part = ids[start : start + STRETCH + window].astype("int64")
        size = min(STRETCH, max_tokens, len(part))
        places = np.arange(start, start + len(part))
        documents = np.searchsorted(np.cumsum(lengths), places, side="right")
        yield part, documents, size


def _ppmi(counts):
    """Positive pointwise mutual information of a sparse matrix of counts."""
    from scipy import sparse

    counts = counts.tocoo()
    margin = counts.sum(axis=1)
    contexts = margin**SMOOTHING
    contexts /= contexts.sum()
    information = np.log(
        counts.data / (margin[counts.row] * contexts[counts.col])
    )
    kept = information > 0
    return sparse.csr_array(
        (information[kept], (counts.row[kept], counts.col[kept])),
        shape=counts.shape,
    )
