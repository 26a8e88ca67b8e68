"""Count-based encoders: statistics of the corpus, without training."""

import collections

import numpy as np
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from contest.word_vectors import WordVectors

DIMENSIONS = 256
SMOOTHING = 1e-3  # SIF's a


class Words:
    """The words of a corpus and their counts.

    Args:
        texts: list of strings.
        min_count: int. Rarer words are left out.
    """

    def __init__(self, texts, min_count=3):
        self.analyze = TfidfVectorizer().build_analyzer()
        rows = [self.analyze(text) for text in texts]
        counts = collections.Counter(word for row in rows for word in row)
        kept = [w for w, n in counts.most_common() if n >= min_count]
        self.index = {word: i for i, word in enumerate(kept)}
        self.frequency = np.array([counts[w] for w in kept], "float64")
        self.frequency /= self.frequency.sum()
        self.rows = [self._known(row) for row in rows]

    def __call__(self, texts):
        return [self._known(self.analyze(text)) for text in texts]

    def _known(self, row):
        return [self.index[word] for word in row if word in self.index]


def lsa(texts, seed):
    """TF-IDF of the corpus, reduced by a truncated SVD; rows of unit length."""
    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=3, max_df=0.3)
    matrix = vectorizer.fit_transform(texts)
    width = min(DIMENSIONS, matrix.shape[1] - 1)
    svd = TruncatedSVD(width, random_state=seed).fit(matrix)

    class LSA:
        def encode(self, texts):
            features = svd.transform(vectorizer.transform(texts))
            norms = np.linalg.norm(features, axis=1, keepdims=True)
            return features / np.maximum(norms, 1e-12)

        def encode_words(self, sentences):
            return [self.encode(words) for words in sentences]

    return LSA()


def ppmi_svd(texts, seed, window=5):
    """Word vectors: positive PMI within a window, SVD; SIF-weighted means.

    References:
        - [Levy & Goldberg, 2014](https://papers.nips.cc/paper/5477)
        - [Arora et al., 2017](https://openreview.net/forum?id=SyK00v5xx)
    """
    words = Words(texts)
    size = len(words.index)
    # Texts end to end, each followed by a gap that no pair crosses.
    gap = [-1] * window
    flat = np.array([i for row in words.rows for i in [*row, *gap]])
    counts = sparse.csr_array((size, size), dtype="float64")
    for distance in range(1, window + 1):
        left, right = flat[:-distance], flat[distance:]
        keep = (left >= 0) & (right >= 0)
        pairs = (np.ones(keep.sum()), (left[keep], right[keep]))
        counts += sparse.csr_array(pairs, shape=(size, size))
    counts = (counts + counts.T).tocoo()
    total = counts.sum()
    margin = np.asarray(counts.sum(axis=1)).ravel()
    pmi = np.log(
        counts.data * total / (margin[counts.row] * margin[counts.col])
    )
    keep = pmi > 0
    ppmi = sparse.csr_array(
        (pmi[keep], (counts.row[keep], counts.col[keep])), shape=(size, size)
    )
    svd = TruncatedSVD(min(DIMENSIONS, size - 1), random_state=seed)
    vectors = svd.fit_transform(ppmi)
    vectors /= np.sqrt(np.maximum(svd.singular_values_, 1e-12))
    return sif(words, vectors)


def random_vectors(texts, seed):
    """A random vector for each word; SIF-weighted means."""
    words = Words(texts)
    rng = np.random.default_rng(seed)
    return sif(words, rng.normal(size=(len(words.index), DIMENSIONS)))


def sif(words, vectors):
    """Rare words count more; the corpus' first component is taken out."""
    weights = SMOOTHING / (SMOOTHING + words.frequency)
    means = np.stack(
        [
            weights[row] @ vectors[row] / weights[row].sum()
            for row in words.rows
            if row
        ]
    )
    # Features are not centered: their first direction is what texts share.
    _, axes = np.linalg.eigh(means.T @ means)
    return WordVectors(words, vectors, weights, axes[:, -1])


ENCODERS = {
    "lsa": ("LSA-256", lsa),
    "ppmi": ("PPMI-SVD-256 + SIF", ppmi_svd),
    "random": ("random vectors + SIF", random_vectors),
}
