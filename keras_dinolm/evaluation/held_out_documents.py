"""Two tasks that any corpus gives, without a file of questions."""

import re
from collections.abc import Callable
from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_dinolm import arguments
from keras_dinolm.data.corpora.documents import to_documents
from keras_dinolm.evaluation.knn_accuracy import knn_accuracy
from keras_dinolm.evaluation.retrieval_ndcg import retrieval_ndcg
from keras_dinolm.evaluation.text_features import TextFeatures

# A sentence ends with a full stop, or with its paragraph.
_END_OF_SENTENCE = re.compile(r"(?<=\.)\s+|\n\s*\n")


class HeldOutDocuments:
    """Measures an encoder on documents that it was not trained on.

    A corpus needs no questions to be searched: the first sentence of a
    document is a query, and the rest of it is what should be found. If
    documents have labels, their neighbours among training documents should
    have the same label. Both tasks are cheap, and they are of the same domain
    as the training, which public test sets are not.

    Args:
        documents: Iterable of held-out documents (or of strings, which have no
            label), such as `kd.data.installed_docs("held_out")`. A document
            is used if its first sentence has 20 to 300 characters and the
            rest at least 100, and no document before has the same rest.
        train: Iterable of labelled training documents to compare with, or
            `None` to measure search alone.
        num_queries: Integer. How many held-out documents to use, at most.
        num_labelled: Integer. How many training documents to use, at most.
        seed: Integer, of the draw of both.

    Attributes:
        queries: List of strings, the first sentences.
        texts: List of strings, the rest of each document.
        labels: List of strings, one for each text.

    Raises:
        ValueError: If no document has a first sentence and a rest.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    documents = [
        kd.data.Document(
            f"This sentence is about {word}. " + f"More about {word}. " * 9,
            label=word,
        )
        for word in ("cats", "dogs", "birds")
    ]

    def letters(texts):
        return np.array([[text.count(c) for c in "cdb"] for text in texts])

    held_out = kd.evaluation.HeldOutDocuments(documents, train=documents)
    print(held_out.evaluate(letters))  # {"nDCG@10": ..., "k-NN": ...}
    ```
    """

    def __init__(
        self,
        documents: Iterable[Any],
        train: Iterable[Any] | None = None,
        num_queries: int = 1_000,
        num_labelled: int = 2_000,
        seed: int = 0,
    ):
        num_queries = arguments.count("num_queries", num_queries)
        num_labelled = arguments.count("num_labelled", num_labelled)
        rng = np.random.default_rng(arguments.count("seed", seed, 0))
        # Of copies, one counts: a search that found another copy would be
        # marked as wrong.
        pairs = {}
        for document in to_documents(documents, "documents"):
            pair = first_sentence(document.text)
            if pair:
                query, rest = pair
                pairs.setdefault(rest, (query, rest, document.label))
        found = list(pairs.values())
        if not found:
            raise ValueError(
                "`documents` must have at least one document whose first "
                "sentence has 20 to 300 characters, followed by at least 100 "
                "more. Received: no such document."
            )
        chosen = [found[i] for i in rng.permutation(len(found))[:num_queries]]
        self.queries, self.texts, self.labels = map(list, zip(*chosen))
        train = [] if train is None else list(to_documents(train, "train"))
        kept = rng.permutation(len(train))[:num_labelled]
        self.train = [train[i] for i in kept]

    def evaluate(self, encoder: Any | Callable) -> dict[str, float]:
        """Scores of an encoder.

        Args:
            encoder: As for `TextFeatures`: an object with `encode`, or a
                function from a list of texts to an array `[N, D]`.

        Returns:
            Dictionary of fractions: `"nDCG@10"` of finding a document by its
            first sentence and, if the labels of training documents differ,
            `"k-NN"`, the accuracy of telling a label by the 20 nearest of them.
        """
        features = TextFeatures(encoder)
        texts = features.texts(self.texts)
        scores = {
            "nDCG@10": retrieval_ndcg(
                features.texts(self.queries),
                texts,
                relevant=range(len(self.texts)),
            )
        }
        labels = [document.label for document in self.train]
        if len(set(labels)) > 1:
            train = features.texts([document.text for document in self.train])
            k = min(20, len(labels))
            scores["k-NN"] = knn_accuracy(
                train, labels, texts, self.labels, k=k
            )
        return scores


def first_sentence(text: str) -> tuple[str, str] | None:
    """Splits a text into a query and what the query should find.

    Args:
        text: String.

    Returns:
        The first sentence and the rest of the text, or `None` if the sentence
        does not have 20 to 300 characters or the rest has fewer than 100.

    Example:

    ```python
    import keras_dinolm as kd

    text = "A sentence about the text. " + "More of it. " * 10
    query, rest = kd.evaluation.first_sentence(text)
    ```
    """
    arguments.instance("text", text, str, "a string")
    first, *rest = _END_OF_SENTENCE.split(text, maxsplit=1)
    rest = "".join(rest)
    if 20 <= len(first) <= 300 and len(rest) >= 100:
        return first, rest
    return None
