"""What an encoder is worth on held-out texts, beside two yardsticks."""

import keras
import numpy as np

from keras_dinolm.data import Document
from keras_dinolm.evaluation import HeldOutDocuments
from keras_dinolm.evaluation import first_sentence
from keras_dinolm.models import DinoLMBackbone
from keras_dinolm.models import DinoLMTextEmbedder

# With fewer, a score is mostly chance.
FEWEST_QUERIES = 20


def search_task(documents: list[Document]) -> HeldOutDocuments | None:
    """The search for the rest of a text by its first sentence.

    Args:
        documents: list of `Document` that were not trained on.

    Returns:
        A `HeldOutDocuments`, or `None` if too few texts have a first sentence
        and a rest.
    """
    usable = sum(first_sentence(d.text) is not None for d in documents)
    return HeldOutDocuments(documents) if usable >= FEWEST_QUERIES else None


def compare(
    embedder: DinoLMTextEmbedder, task: HeldOutDocuments, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Scores of an encoder, of the same one untrained, and of TF-IDF.

    Args:
        embedder: `DinoLMTextEmbedder`.
        task: `HeldOutDocuments`.
        seed: int, of the untrained encoder.

    Returns:
        A dict of name to scores, the encoder first.
    """
    return {
        "this encoder": task.evaluate(embedder),
        "the same, untrained": task.evaluate(untrained(embedder, seed)),
        "TF-IDF (baseline)": task.evaluate(tfidf(task)),
    }


def untrained(embedder: DinoLMTextEmbedder, seed: int) -> DinoLMTextEmbedder:
    """An embedder of the same kind with random weights.

    Args:
        embedder: `DinoLMTextEmbedder` of a `DinoLMBackbone`.
        seed: int.

    Returns:
        A `DinoLMTextEmbedder`.
    """
    keras.utils.set_random_seed(seed)
    config = embedder.backbone.get_config()
    return DinoLMTextEmbedder(
        DinoLMBackbone.from_config(config), embedder.preprocessor
    )


def tfidf(task: HeldOutDocuments):
    """TF-IDF, fitted on the texts that are searched.

    Args:
        task: `HeldOutDocuments`.

    Returns:
        A function from a list of texts to an array.
    """
    # Large, and needed for this alone.
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True).fit(task.texts)

    def encode(texts: list[str]) -> np.ndarray:
        return vectorizer.transform(texts).toarray().astype("float32")

    return encode
