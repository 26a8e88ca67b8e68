"""TF-IDF on the contest's tasks: sparse, so it needs its own scoring.

The vocabulary is that of each task's own training texts, in single words and
pairs; the feature of a word is the word itself. Protocols are those of
`keras_dinolm.evaluation`.
"""

import warnings

import numpy as np
from scipy import sparse
from scipy.stats import spearmanr
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

import keras_dinolm as kd

STRENGTHS = (1.0, 10.0, 100.0)


def evaluate(folder, split, max_train=None):
    """Scores of all tasks, as `kd.evaluation.evaluate` gives them."""
    return {
        name: _SCORES[type(task)](task.load(folder, split, max_train))
        for name, task in kd.evaluation.TASKS.items()
    }


def classification(data):
    vectorizer = _fit(data.train.texts)
    return _probe(
        *(
            (vectorizer.transform(part.texts), part.labels)
            for part in (data.train, data.dev, data.test)
        )
    )


def nli(data):
    """Both texts, and the words that they share."""
    vectorizer = _fit([*data.train.first, *data.train.second])

    def features(part):
        first = vectorizer.transform(part.first)
        second = vectorizer.transform(part.second)
        shared = first.multiply(second)
        return sparse.hstack([first, second, shared]).tocsr()

    return _probe(
        *(
            (features(part), part.targets)
            for part in (data.train, data.dev, data.test)
        )
    )


def tagging(data):
    """Each word on its own, by what it was tagged in training."""
    vectorizer = TfidfVectorizer(analyzer=lambda word: [word.lower()])
    vectorizer.fit([w for words in data.train.words for w in words])

    def part(rows):
        words = [word for row in rows.words for word in row]
        return vectorizer.transform(words), [
            t for row in rows.tags for t in row
        ]

    predicted = _probe(
        part(data.train),
        part(data.dev),
        part(data.test),
        score=lambda rows, tags: kd.evaluation.entity_f1(
            rows.tags, _rows(tags, rows.tags)
        ),
        rows=(data.dev, data.test),
    )
    return predicted


def sts(data):
    vectorizer = _fit([*data.first, *data.second], ngrams=1)
    first = vectorizer.transform(data.first)
    second = vectorizer.transform(data.second)
    cosines = np.asarray(first.multiply(second).sum(axis=1)).ravel()
    return float(spearmanr(cosines, data.targets)[0])


def retrieval(data):
    vectorizer = _fit(data.documents, ngrams=1)
    return kd.evaluation.retrieval_ndcg(
        vectorizer.transform(data.queries).toarray(),
        vectorizer.transform(data.documents).toarray(),
        data.relevant,
    )


def topic(data):
    vectorizer = _fit(data.train.texts, ngrams=1)
    train = vectorizer.transform(data.train.texts)
    cosines = (vectorizer.transform(data.test.texts) @ train.T).toarray()
    # Neighbours by exact cosines; the vote as in `knn_accuracy`.
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :20]
    labels = np.array(data.train.labels)
    right = 0
    for row, places, truth in zip(cosines, nearest, data.test.labels):
        votes = {}
        for place in places:
            weight = np.exp(row[place] / 0.07)
            votes[labels[place]] = votes.get(labels[place], 0) + weight
        right += max(votes, key=votes.get) == truth
    return right / len(cosines)


def _fit(texts, ngrams=2):
    return TfidfVectorizer(ngram_range=(1, ngrams), sublinear_tf=True).fit(
        texts
    )


def _accuracy(rows, predicted):
    return float(np.mean(np.array(rows) == predicted))


def _rows(flat, like):
    flat = iter(flat)
    return [[next(flat) for _ in row] for row in like]


def _probe(train, dev, test, score=_accuracy, rows=None):
    """Logistic regression, its strength chosen on dev."""
    dev_rows, test_rows = rows or (dev[1], test[1])
    best = None
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=1000)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(*train)
        found = score(dev_rows, model.predict(dev[0]))
        if best is None or found > best[0]:
            best = found, score(test_rows, model.predict(test[0]))
    return best[1]


_SCORES = {
    kd.evaluation.ClassificationTask: classification,
    kd.evaluation.NLITask: nli,
    kd.evaluation.TaggingTask: tagging,
    kd.evaluation.STSTask: sts,
    kd.evaluation.RetrievalTask: retrieval,
    kd.evaluation.TopicTask: topic,
}
