"""Texts as means of word vectors."""

import numpy as np


class WordVectors:
    """An encoder of texts from one fixed vector for each token or word.

    Args:
        split: callable, texts to lists of integers (rows of `vectors`).
        vectors: array `[V, D]`.
        weights: array `[V]`, of each row in the mean of a text; `None` is the
            plain mean.
        remove: unit vector `[D]` projected out of the mean, or `None`.
    """

    def __init__(self, split, vectors, weights=None, remove=None):
        self.split = split
        self.vectors = np.asarray(vectors, "float32")
        if weights is None:
            weights = np.ones(len(self.vectors))
        self.weights = np.asarray(weights, "float32")
        self.remove = remove

    def encode(self, texts):
        """Features `[len(texts), D]`; a text of unknown words is zero."""
        features = np.zeros((len(texts), self.vectors.shape[1]), "float32")
        for row, ids in zip(features, self.split(list(texts))):
            weight = self.weights[ids]
            row += weight @ self.vectors[ids] / max(weight.sum(), 1e-12)
        if self.remove is not None:
            features -= np.outer(features @ self.remove, self.remove)
        return features

    def encode_words(self, sentences):
        """A list of arrays `[words, D]`, the mean of each word's tokens."""
        words = list(dict.fromkeys(w for words in sentences for w in words))
        place = {word: i for i, word in enumerate(words)}
        vectors = np.zeros((len(words), self.vectors.shape[1]), "float32")
        for row, ids in zip(vectors, self.split(words)):
            if len(ids):
                row += self.vectors[ids].mean(axis=0)
        return [vectors[[place[w] for w in words]] for words in sentences]
