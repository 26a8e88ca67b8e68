"""Search in texts by their features, which are computed once."""

import hashlib
import os
import pathlib
from collections.abc import Iterable

import numpy as np

from keras_dinolm.data import Document
from keras_dinolm.data.paths import write_atomically
from keras_dinolm.models import DinoLMTextEmbedder


class TextSearch:
    """Finds the texts whose features are nearest to that of a query.

    The features of the texts are kept in a folder, under a digest of the
    preset's files and the texts, so that the next search starts at once.

    Args:
        preset: path of a preset.
        documents: iterable of `Document`.
        folder: path where features are kept, or `None` to keep none.
        sequence_length: int. How many tokens of a text are read.
        verbose: int. 1 says how many features are computed, which takes time.

    Attributes:
        found: boolean. Whether the features were there already.

    Raises:
        FileNotFoundError: if there is no preset.
        ValueError: if there is no document.

    Example:

    ```python
    import keras_dinolm as kd

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = kd.models.DinoLMTokenizer([*special, "good", "bad"])
    backbone = kd.models.DinoLMBackbone.from_size("nano", 7)
    kd.models.export_preset(
        kd.models.TextEncoder(backbone), tokenizer, "my_preset"
    )
    search = kd.recipes.TextSearch("my_preset", [kd.data.Document("good")])
    search("bad", top=1)  # [(cosine, document)]
    ```
    """

    def __init__(
        self,
        preset: str | os.PathLike,
        documents: Iterable[Document],
        folder: str | os.PathLike | None = None,
        sequence_length: int = 128,
        verbose: int = 0,
    ):
        self.documents = list(documents)
        if not self.documents:
            raise ValueError(
                "There is no text to search in. Files are UTF-8 text, or JSON "
                "lines with their text under 'text'."
            )
        self.embedder = DinoLMTextEmbedder.from_preset(preset)
        if self.embedder.preprocessor is not None:
            self.embedder.preprocessor.sequence_length = sequence_length
        texts = [document.text for document in self.documents]
        self.found = False
        if folder is not None:
            name = _digest(preset, texts, sequence_length)
            path = pathlib.Path(folder, f"{name}.npy")
            self.found = path.exists()
        if self.found:
            self.features = np.load(path)
            return
        if verbose:
            kept = "" if folder is None else ", which are kept"
            print(
                f"Computing the features of {len(texts):,} texts{kept} ...",
                flush=True,
            )
        self.features = np.asarray(
            self.embedder.encode(texts, normalize_embeddings=True)
        )
        if folder is not None:
            with write_atomically(path) as file:
                np.save(file, self.features)

    def __call__(self, query: str, top: int = 5) -> list:
        """The nearest texts.

        Args:
            query: string.
            top: int. How many to return.

        Returns:
            A list of pairs, cosine and `Document`, the nearest first.
        """
        feature = self.embedder.encode(query, normalize_embeddings=True)
        cosines = self.features @ feature
        best = np.argsort(-cosines, kind="stable")[:top]
        return [(float(cosines[i]), self.documents[i]) for i in best]


def _digest(preset, texts, sequence_length):
    """Differs if any feature may differ."""
    total = hashlib.sha256(f"{sequence_length}\n".encode())
    preset = pathlib.Path(preset)
    assets = (preset / "assets").rglob("*")
    for path in sorted([*preset.glob("*.*"), *assets]):
        if path.is_file():
            total.update(path.read_bytes())
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        total.update(b"%d\n" % len(data) + data)
    return total.hexdigest()[:16]
