"""What an encoder is worth on held-out texts, beside two yardsticks."""

import warnings
from collections.abc import Callable

import keras
import numpy as np

from keras_dinolm.data import Document
from keras_dinolm.evaluation import HeldOutDocuments
from keras_dinolm.evaluation import first_sentence
from keras_dinolm.evaluation import rankme
from keras_dinolm.models import DinoLMBackbone
from keras_dinolm.models import DinoLMTextEmbedder

# With fewer, a score is mostly chance.
FEWEST_QUERIES = 20


def measure(
    embedder: DinoLMTextEmbedder,
    documents: list[Document],
    seed: int = 0,
    stages: dict[str, dict[str, float]] | None = None,
) -> dict:
    """Measures an encoder on texts that it was not trained on, without labels.

    The rest of a text is searched by its first sentence: by the encoder, by
    the same one untrained, and by TF-IDF.

    Args:
        embedder: `DinoLMTextEmbedder`.
        documents: list of `Document`.
        seed: int, of the untrained encoder.
        stages: dict of name to scores of the same search, as `search` gives
            them: what the encoder was on its way. They get rows of their own.

    Returns:
        A dict: `documents`, their number; with two texts or more `dim`,
        `rankme` and `feature_std` of their features; with enough pairs of a
        first sentence and a rest `queries`, their number, and `search`, a
        dict of encoder to scores.
    """
    found: dict = {"documents": len(documents)}
    with warnings.catch_warnings():
        # Long texts are cut, for all encoders alike.
        warnings.filterwarnings("ignore", ".*texts have more than")
        if len(documents) > 1:
            texts = [document.text for document in documents]
            features = np.asarray(embedder.encode(texts))
            found["dim"] = features.shape[1]
            found["rankme"] = rankme(features)
            found["feature_std"] = feature_std(features)
        task = search_task(documents)
        if task is not None:
            found["queries"] = len(task.queries)
            found["search"] = {
                "untrained": task.evaluate(untrained(embedder, seed)),
                **(stages or {}),
                "this encoder": task.evaluate(embedder),
                "TF-IDF (baseline)": task.evaluate(tfidf(task)),
            }
    return found


def search_task(documents: list[Document]) -> HeldOutDocuments | None:
    """The search for the rest of a text by its first sentence.

    Args:
        documents: list of `Document`.

    Returns:
        `HeldOutDocuments`, or `None` if there are too few for a score.
    """
    usable = sum(first_sentence(d.text) is not None for d in documents)
    return HeldOutDocuments(documents) if usable >= FEWEST_QUERIES else None


def search(
    embedder: DinoLMTextEmbedder, documents: list[Document]
) -> dict[str, float] | None:
    """How well an encoder finds the rest of a text by its first sentence.

    Args:
        embedder: `DinoLMTextEmbedder`.
        documents: list of `Document`.

    Returns:
        A dict of scores, or `None` if there are too few texts.
    """
    task = search_task(documents)
    if task is None:
        return None
    with warnings.catch_warnings():
        # Long texts are cut, for all encoders alike.
        warnings.filterwarnings("ignore", ".*texts have more than")
        return task.evaluate(embedder)


def describe(found: dict) -> str:
    """The result of `measure` as text.

    Args:
        found: dict.

    Returns:
        A string of a few lines.
    """
    lines = []
    if "rankme" in found:
        lines.append(
            f"Features of {found['documents']:,} held-out texts: RankMe "
            f"{found['rankme']:.0f} of {found['dim']}, feature std "
            f"{found['feature_std']:.2f} (1 is spread evenly, 0 collapsed)."
        )
    if "search" not in found:
        lines.append(
            "Search was not measured: too few texts have a first sentence "
            "that is followed by more text."
        )
        return "\n".join(lines)
    lines.append(
        "Find the rest of a text by its first sentence, among "
        f"{found['queries']:,} (nDCG@10 in percent, higher is better):"
    )
    lines += [
        f"{name:>22} {100 * row['nDCG@10']:6.1f}"
        for name, row in found["search"].items()
    ]
    return "\n".join(lines)


def feature_std(features: np.ndarray) -> float:
    """How evenly features of unit length spread, as `DinoLM` logs it.

    Args:
        features: array `[N, D]`.

    Returns:
        A float: 1 if they are isotropic, 0 if all are the same.
    """
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.maximum(norms, 1e-6)
    return float(np.sqrt(unit.var(axis=0).sum()))


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


def tfidf(task: HeldOutDocuments) -> Callable[[list[str]], np.ndarray]:
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
