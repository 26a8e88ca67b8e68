"""How often each token occurs."""

import numpy as np

from keras_dinolm import arguments
from keras_dinolm.data.ppmi_embeddings import STRETCH
from keras_dinolm.data.store_header import MOST
from keras_dinolm.data.token_store import TokenStore


def token_counts(tokens: TokenStore, vocabulary_size: int) -> np.ndarray:
    """How often each token occurs in a token store.

    Weights of tokens (`sif_weights`) and the first guess of a model that
    predicts tokens (`MaskedLM.expect`) come from these counts.

    Args:
        tokens: `TokenStore`.
        vocabulary_size: int. Number of counts, `tokenizer.vocabulary_size()`.

    Returns:
        An int64 array `[vocabulary_size]`.

    Raises:
        ValueError: if `tokens` is no store, or has ids of a larger vocabulary.

    Example:

    ```python
    import keras_dinolm as kd

    texts = ["the cat sat on the mat", "the dog sat on the rug"] * 9
    tokenizer = kd.data.train_tokenizer(texts, vocabulary_size=60)
    tokens = kd.data.tokenize(texts, tokenizer, "tokens/")
    counts = kd.data.token_counts(tokens, tokenizer.vocabulary_size())
    counts[tokenizer.token_to_id("the")]  # 36
    ```
    """
    arguments.instance(
        "tokens",
        tokens,
        TokenStore,
        "a `TokenStore`, from `keras_dinolm.data.tokenize`",
    )
    vocabulary_size = arguments.integer(
        "vocabulary_size", vocabulary_size, 1, MOST
    )
    known = tokens.header["vocabulary_size"]
    if vocabulary_size < known:
        raise ValueError(
            "`vocabulary_size` must be that of the tokenizer that made the "
            f"store, {known:,}. The store has ids of a larger vocabulary. "
            f"Received: vocabulary_size={vocabulary_size}"
        )
    counts = np.zeros(vocabulary_size, "int64")
    for shard in range(len(tokens.shards)):
        ids, _, _ = tokens.shard(shard)
        # In stretches, because NumPy counts a copy in int64.
        for start in range(0, len(ids), STRETCH):
            part = ids[start : start + STRETCH]
            counts += np.bincount(part, minlength=vocabulary_size)
    return counts
