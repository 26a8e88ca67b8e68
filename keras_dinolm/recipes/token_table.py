"""A table of tokens from what teachers make of each token alone."""

from collections.abc import Sequence

import keras_hub
import numpy as np

from keras_dinolm.recipes.parts import EMBEDDING_STDDEV
from keras_dinolm.teachers import Teacher
from keras_dinolm.teachers import plain_pieces

# Of a component, as a share of the largest variance: noise stays small.
LEAST_SPREAD = 1e-6


def token_table(
    teachers: Sequence[Teacher],
    tokenizer: keras_hub.tokenizers.Tokenizer,
    dim: int,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of a vocabulary, and how much each token says.

    Each token is a text of its own to the teachers. Their features, side by
    side, are reduced by PCA. Components are divided by the fourth root of
    their variance: half way to equal variances, since the first of them tell
    kinds of words apart and few texts. Tokens that say little lie near the
    mean. A backbone without blocks normalises its embeddings, which loses how
    far from the mean they lie; so these lengths are returned beside them, for
    the weights of a `WeightedMeanPooling`.

    Args:
        teachers: list of `Teacher`.
        tokenizer: a `DinoLMTokenizer`, or a tokenizer of keras-hub.
        dim: int. Width of the embeddings. Where the teachers have fewer
            numbers, the last columns are 0.
        seed: int. For tokens that are no text, such as `[MASK]`: they are
            drawn.

    Returns:
        Two float32 arrays. Embeddings `[V, dim]` of standard deviation 0.05,
        and lengths `[V]`: those of the rows after PCA, over their mean, and 1
        for tokens that are no text.

    Raises:
        ValueError: if a feature is not finite, or no token is a text.

    Reference:
        [model2vec](https://github.com/MinishLab/model2vec)
    """
    # Large, and needed for this alone.
    from sklearn.decomposition import PCA

    pieces = plain_pieces(tokenizer)
    words = list(dict.fromkeys(piece for piece in pieces if piece))
    if not words:
        raise ValueError("No token of the tokenizer is a text.")
    features = [_unit(_finite(t.encode(words), words)) for t in teachers]
    features = np.concatenate(features, 1)
    kept = min(dim, *features.shape)
    reduced = np.zeros((len(words), dim), "float32")
    pca = PCA(kept, random_state=0)
    components = pca.fit_transform(features)
    spread = pca.explained_variance_ / pca.explained_variance_.max()
    reduced[:, :kept] = components * (spread + LEAST_SPREAD) ** -0.25
    lengths = np.linalg.norm(reduced, axis=1)
    lengths = np.maximum(lengths / max(lengths.mean(), 1e-12), 1e-3)
    place = {word: index for index, word in enumerate(words)}
    rows = np.array([place.get(piece, -1) for piece in pieces])
    table = np.random.default_rng(seed).normal(size=(len(pieces), dim))
    scale = max(float(reduced.std()), 1e-12)
    table[rows >= 0] = reduced[rows[rows >= 0]] / scale
    weights = np.where(rows >= 0, lengths[rows], 1.0)
    return (EMBEDDING_STDDEV * table).astype("float32"), weights.astype(
        "float32"
    )


def _finite(features, words):
    bad = np.flatnonzero(~np.isfinite(features).all(1))
    if len(bad):
        raise ValueError(
            f"The teacher's features of {len(bad)} of {len(words)} tokens are "
            f"not finite, such as those of {words[bad[0]]!r}."
        )
    return np.asarray(features, "float64")


def _unit(features):
    """Features in units of their spread, so that several teachers compare."""
    features = features - features.mean(0)
    size = float(np.sqrt(np.square(features).mean()))
    return features / max(size, 1e-12)
