"""How much each token says of a text, from how often it occurs."""

from collections.abc import Sequence

import numpy as np

from keras_dinolm import arguments
from keras_dinolm.data.token_counts import token_counts
from keras_dinolm.data.token_store import TokenStore

# The weight of special tokens. Its logarithm is finite, and a text without
# any other token still has a feature.
NEAR_ZERO = 1e-6


def sif_weights(
    tokens: TokenStore,
    vocabulary_size: int,
    smoothing: float = 1e-3,
    power: float = 1.0,
    special_token_ids: Sequence[int] = (),
) -> np.ndarray:
    """Weights of tokens that fall with their frequency.

    In a mean of token features, words like "the" take most of the room and
    say little. Smooth inverse frequency gives a token with the share `p` of
    all tokens the weight `(a / (a + p)) ** power`, where `a` is the
    smoothing: 1 for rare tokens, and ever less for frequent ones. Questions
    differ by frequent words ("who", "when"), so where such words matter, a
    power of 0.5 keeps more of them.

    Special tokens (padding, `[CLS]` and `[MASK]`, as the store has them) get
    a weight near 0. Tokens that the store does not have count as rare.

    Args:
        tokens: `TokenStore`.
        vocabulary_size: int. Number of weights, `tokenizer.vocabulary_size()`.
        smoothing: float above 0. The share at which a token weighs half as
            much as a rare one (at a power of 1). Defaults to `1e-3`.
        power: float from 0 on. 0 gives equal weights, 0.5 the square roots.
            Defaults to `1.0`.
        special_token_ids: ints. Other tokens that shall get a weight near 0,
            such as `tokenizer.sep_token_id`.

    Returns:
        A float32 array `[vocabulary_size]`, above 0 and at most 1.

    Raises:
        ValueError: if an argument is out of its range, or the store has ids
            of a larger vocabulary.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    texts = ["the cat sat on the mat", "the dog sat on the rug"] * 9
    tokenizer = kd.data.train_tokenizer(texts, vocabulary_size=60)
    tokens = kd.data.tokenize(texts, tokenizer, "tokens/")
    size = tokenizer.vocabulary_size()

    backbone = kd.models.DinoLMBackbone.from_size(
        "nano", size, pooling="weighted_mean"
    )
    backbone.pooler.log_weights.assign(
        np.log(kd.data.sif_weights(tokens, size))
    )
    ```

    Reference:
        [A Simple but Tough-to-Beat Baseline for Sentence
        Embeddings](https://openreview.net/forum?id=SyK00v5xx)
    """
    smoothing = arguments.number("smoothing", smoothing, above=0)
    power = arguments.number("power", power, 0)
    counts = token_counts(tokens, vocabulary_size)
    special = [*tokens.header["special_token_ids"].values()]
    special.append(tokens.header["pad_token_id"])
    special += _ids(special_token_ids, vocabulary_size)
    shares = counts / counts.sum()
    weights = (smoothing / (smoothing + shares)) ** power
    weights[special] = 0.0
    return np.maximum(weights, NEAR_ZERO).astype("float32")


def _ids(values, vocabulary_size):
    if not isinstance(values, list | tuple | set | frozenset | np.ndarray):
        arguments.refuse("special_token_ids", values, "a list of token ids")
    return [
        arguments.integer(
            f"special_token_ids[{index}]", value, 0, vocabulary_size - 1
        )
        for index, value in enumerate(values)
    ]
