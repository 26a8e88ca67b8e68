"""Search in texts by their features, which are computed once."""

import hashlib
import os
import pathlib
from collections.abc import Iterable

import numpy as np

from keras_dinolm import arguments
from keras_dinolm import files
from keras_dinolm.data import Document
from keras_dinolm.models import DinoLMTextEmbedder
from keras_dinolm.models.encoder.text_encoder import pooled_dim
from keras_dinolm.models.presets.named import resolve


class TextSearch:
    """Finds the texts whose features are nearest to that of a query.

    The features of the texts are kept in a folder, under a digest of the
    preset's files and the texts, so that the next search starts at once.

    Args:
        preset: path or name of a preset.
        documents: iterable of `Document`.
        folder: path where features are kept, or `None` to keep none.
        sequence_length: int. How many tokens of a text are read.
        verbose: int. 1 says how many features are computed, which takes time.

    Attributes:
        found: boolean. Whether the features were there already.

    Raises:
        FileNotFoundError: if there is no preset.
        ValueError: if there is no document, or for arguments out of range.

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
        arguments.path("preset", preset)
        if isinstance(documents, str | bytes | dict) or not isinstance(
            documents, Iterable
        ):
            arguments.refuse("documents", documents, "a list of `Document`")
        if folder is not None:
            arguments.path("folder", folder)
        self.documents = list(documents)
        for index, document in enumerate(self.documents):
            arguments.instance(
                f"documents[{index}]", document, Document, "a `Document`"
            )
        sequence_length = arguments.count("sequence_length", sequence_length, 2)
        arguments.choice("verbose", verbose, (0, 1, 2, False, True))
        if not self.documents:
            raise ValueError(
                "Argument `documents` holds no text to search in. Files are "
                "UTF-8 text, or JSON lines with their text under 'text'."
            )
        preset = resolve(preset)
        self.embedder = DinoLMTextEmbedder.from_preset(preset)
        if self.embedder.preprocessor is not None:
            self.embedder.preprocessor.sequence_length = sequence_length
        texts = [document.text for document in self.documents]
        self.found = False
        if folder is not None:
            name = _digest(preset, texts, sequence_length)
            path = arguments.path("folder", folder) / f"{name}.npy"
            features = _kept(path, len(texts), self.embedder)
            if features is not None:
                self.found = True
                self.features = features
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
            with files.write_file(path, size=self.features.nbytes) as file:
                np.save(file, self.features)

    def __call__(self, query: str, top: int = 5) -> list:
        """The nearest texts.

        Args:
            query: string.
            top: int. How many to return.

        Returns:
            A list of pairs, cosine and `Document`, the nearest first.
        """
        query = arguments.string("query", query)
        top = arguments.integer("top", top, 1)
        feature = self.embedder.encode(query, normalize_embeddings=True)
        cosines = self.features @ feature
        best = np.argsort(-cosines, kind="stable")[:top]
        return [(float(cosines[i]), self.documents[i]) for i in best]


def _kept(path, count, embedder):
    """The features that an earlier search kept, or `None`.

    The size of a file is compared with what it should hold before it is read.
    """
    if not path.is_file():
        return None
    shape = (count, pooled_dim(embedder.backbone))
    try:
        mapped = np.load(path, mmap_mode="r")
        if mapped.shape != shape or mapped.dtype != np.float32:
            raise ValueError(f"{mapped.dtype} {mapped.shape}, not {shape}")
        features = np.array(mapped)
        if not np.isfinite(features).all():
            raise ValueError("features that are not finite")
    except (EOFError, OSError, OverflowError, ValueError) as error:
        files.set_aside(path, error)
        return None
    return features


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
