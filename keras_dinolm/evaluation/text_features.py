"""Features from anything that encodes texts."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_dinolm.evaluation.arguments import as_features
from keras_dinolm.evaluation.word_features import word_features

# The feature of this text tells one encoder, or one state of it, from another.
PROBE = "The quick brown fox jumps over the lazy dog."


class TextFeatures:
    """One interface for all encoders, which encodes each text once.

    Args:
        encoder: An object with `encode`, which turns a list of N strings into
            an array `[N, D]`: `DinoLMTextEmbedder`, `SentenceTransformer`, or
            any other. A function that does the same is allowed as well. `words`
            needs an object with either `encode_words`, which turns a list of
            sentences, each a list of words, into a list of arrays
            `[words, D]`; or `encode(..., output_value="token_embeddings")`
            and the tokenizer of Keras or Hugging Face that goes with it.

    Raises:
        ValueError: If `encoder` is neither.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    def letters(texts):
        return np.array([[text.count(c) for c in "abc"] for text in texts])

    features = kd.evaluation.TextFeatures(letters)
    print(features.texts(["a cab", "back"]))  # [[2, 1, 1], [1, 1, 1]]
    ```
    """

    def __init__(self, encoder: Any) -> None:
        self.encoder = encoder
        self._encode = getattr(encoder, "encode", encoder)
        # A string has an `encode` of its own.
        if not callable(self._encode) or isinstance(encoder, str):
            raise ValueError(
                "Argument `encoder` must have a method `encode(texts)`, or be "
                "a function of a list of texts; both return an array [N, D]. "
                f"Received: {encoder!r} (of type {type(encoder).__name__})."
            )
        self._texts: dict[str, np.ndarray] = {}
        self._words: dict[tuple[str, ...], np.ndarray] = {}

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Features of texts; those of known texts come from memory.

        Args:
            texts: List of N strings.

        Returns:
            Float array of shape `[N, D]`.

        Raises:
            ValueError: If the encoder returns another number of rows, or
                features that are not finite.
        """
        new = [text for text in dict.fromkeys(texts) if text not in self._texts]
        if new:
            rows = as_features("encoder(texts)", self._encode(new))
            if len(rows) != len(new):
                raise ValueError(
                    "`encoder` must return one row for each text. Received: "
                    f"{len(rows)} rows for {len(new)} texts."
                )
            self._texts.update(zip(new, rows, strict=True))
        return np.stack([self._texts[text] for text in texts])

    def words(self, sentences: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Features of the words of sentences.

        A word's feature is the mean of those of its pieces. Words beyond the
        length where the encoder cuts texts have features of zeros, so that
        they count in an evaluation.

        Args:
            sentences: List of lists of words.

        Returns:
            List of float arrays of shape `[words, D]`.

        Raises:
            TypeError: If the encoder gives no features of words.
            ValueError: If pieces and words cannot be matched.
        """
        keys = [tuple(words) for words in sentences]
        new = [key for key in dict.fromkeys(keys) if key not in self._words]
        if new:
            features = word_features(self.encoder, [list(key) for key in new])
            self._words.update(zip(new, features, strict=True))
        return [self._words[key] for key in keys]
