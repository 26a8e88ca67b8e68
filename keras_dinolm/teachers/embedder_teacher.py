"""Encoders of keras-hub and of this package as teachers."""

import warnings
from typing import Any

import numpy as np

from keras_dinolm.teachers.pieces import TokenSpans
from keras_dinolm.teachers.pieces import plain_pieces
from keras_dinolm.teachers.teacher import Teacher
from keras_dinolm.teachers.teacher import digest_of


class EmbedderTeacher(Teacher):
    """A `DinoLMTextEmbedder` as a teacher, of whatever backbone.

    Args:
        embedder: `keras_dinolm.models.DinoLMTextEmbedder`.
        digest: str. A digest of the files that it came from, or `None` to
            compute one of its weights.
        batch_size: int. Texts a batch.
        prompt: str that is put before each text; `None` for the embedder's.
    """

    has_tokens = True

    def __init__(
        self,
        embedder: Any,
        digest: str | None = None,
        batch_size: int = 32,
        prompt: str | None = None,
    ):
        if prompt is None:
            name = embedder.default_prompt_name
            prompt = embedder.prompts[name] if name else ""
        super().__init__(prompt)
        if embedder.preprocessor is None:
            raise ValueError(
                "Argument `teacher` must have a preprocessor, to read texts. "
                f"Received: teacher={embedder!r}"
            )
        self.embedder = embedder
        self.digest = digest
        self.batch_size = batch_size
        self.tokenizer = embedder.preprocessor.tokenizer
        self._spans = TokenSpans(self.tokenizer)

    def fingerprint(self) -> str:
        digest = self.digest
        if digest is None:
            weights = [
                np.ascontiguousarray(np.asarray(w, dtype="float32")).tobytes()
                for w in self.embedder.backbone.get_weights()
            ]
            digest = digest_of(*weights, *self._spans.pieces)
        return digest_of(
            "embedder",
            digest,
            self.prompt,
            self.embedder.preprocessor.sequence_length,
            self.embedder.normalize,
            self.embedder.pooling,
        )

    def vocabulary(self) -> list[str]:
        return plain_pieces(self.tokenizer)

    def _call(self, texts, output_value):
        with warnings.catch_warnings():
            # Counted here for all calls together.
            warnings.filterwarnings("ignore", ".*texts have more than.*")
            return self.embedder.encode(
                texts,
                prompt="",
                batch_size=self.batch_size,
                show_progress_bar=False,
                output_value=output_value,
            )

    def _encode(self, texts):
        self._rows(texts)
        return self._call(texts, "sentence_embedding")

    def _encode_both(self, texts):
        found = self._call(texts, "token_embeddings")
        tokens = [
            (feature[1 : 1 + len(row)], self._spans(text, row))
            for feature, row, text in zip(found, self._rows(texts), texts)
        ]
        if self._is_ours():
            return self._call(texts, "sentence_embedding"), tokens
        # Its pooler has no weights: no need to run the network again.
        first = self.embedder.pooling == "cls"
        pooled = np.stack([f[0] if first else f.mean(0) for f in found])
        if self.embedder.normalize:
            norms = np.linalg.norm(pooled, axis=1, keepdims=True)
            pooled = pooled / np.maximum(norms, 1e-12)
        return pooled, tokens

    def _is_ours(self):
        from keras_dinolm.models.encoder.backbone import DinoLMBackbone

        return isinstance(self.embedder.backbone, DinoLMBackbone)

    def _rows(self, texts):
        """Ids of the tokens that the embedder reads of each text."""
        from keras_dinolm.models.tasks.token_rows import token_rows

        # [CLS], and [SEP] of stock encoders.
        added = 1 if self._is_ours() else 2
        limit = self.embedder.preprocessor.sequence_length - added
        rows, too_long = token_rows(self.tokenizer, texts, limit)
        self._count_cut(too_long, len(texts), limit)
        return rows
