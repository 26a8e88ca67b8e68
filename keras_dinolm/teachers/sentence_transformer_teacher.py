"""Models of sentence-transformers and Hugging Face as teachers."""

import json
from typing import Any

import numpy as np

from keras_dinolm.teachers import pieces
from keras_dinolm.teachers.teacher import PROBES
from keras_dinolm.teachers.teacher import Teacher
from keras_dinolm.teachers.teacher import digest_of
from keras_dinolm.teachers.teacher import digest_of_features

_KINDS = {
    "WordPiece": pieces.WORD_PIECE,
    "ByteLevel": pieces.BYTES,
}
# What is a text of usual length, when batches are measured in texts.
_TOKENS_A_TEXT = 32


class SentenceTransformerTeacher(Teacher):
    """A `SentenceTransformer` as a teacher.

    There are features of tokens if its first module is a transformer with a
    tokenizer that tells where tokens are (a "fast" one).

    Args:
        model: `sentence_transformers.SentenceTransformer`.
        digest: str. A digest of the files that it came from, or `None` to
            tell it apart by its features of a few texts.
        batch_size: int. Texts a batch, if they have 32 tokens; fewer longer
            ones, and more shorter ones.
        prompt: str that is put before each text; `None` for the model's own.
    """

    def __init__(
        self,
        model: Any,
        digest: str | None = None,
        batch_size: int = 32,
        prompt: str | None = None,
    ):
        if prompt is None:
            name = model.default_prompt_name
            prompt = (model.prompts.get(name) or "") if name else ""
        super().__init__(prompt)
        self.model = model
        self.digest = digest
        self.batch_size = batch_size
        self.tokenizer = getattr(model, "tokenizer", None)
        self.has_tokens = bool(
            getattr(self.tokenizer, "is_fast", False)
        ) and hasattr(model[0], "auto_model")

    def fingerprint(self) -> str:
        digest = self.digest
        if digest is None:
            with self.silence():
                digest = digest_of_features(self.encode(PROBES))
        return digest_of(
            "sentence-transformers",
            digest,
            self.prompt,
            getattr(self.model, "max_seq_length", None),
        )

    def vocabulary(self) -> list[str] | None:
        if not getattr(self.tokenizer, "is_fast", False):
            return None
        described = json.loads(self.tokenizer.backend_tokenizer.to_str())
        kind = described["model"].get("type")
        if "ByteLevel" in json.dumps(described.get("decoder")):
            kind = "ByteLevel"
        kind = _KINDS.get(kind, pieces.WORDS_WITH_SPACES)
        mark = described["model"].get("continuing_subword_prefix") or "##"
        ids = self.tokenizer.get_vocab()
        special = set(self.tokenizer.all_special_tokens)
        words = [""] * (max(ids.values()) + 1)
        for token, index in ids.items():
            if token not in special:
                words[index] = pieces.as_text(
                    pieces.bytes_of(token, kind, mark)
                )
        return words

    def _prompted(self, texts):
        # The library puts it there, as some models pool without it.
        return texts

    def _encode(self, texts):
        offsets = self._offsets(texts)
        self._count_long(offsets)
        return np.stack(self._in_batches(texts, offsets, "sentence_embedding"))

    def _encode_both(self, texts):
        offsets = self._offsets(texts)
        self._count_long(offsets)
        found = self._in_batches(texts, offsets, None)
        limit = self.model.max_seq_length
        pooled, tokens = [], []
        for item, spans, text in zip(found, offsets, texts):
            pooled.append(_numpy(item["sentence_embedding"]))
            real = _numpy(item["attention_mask"]) > 0
            features = _numpy(item["token_embeddings"])[real]
            if limit and len(spans) > limit:
                [spans] = self._offsets([text], limit)
            if len(spans) != len(features):
                raise ValueError(
                    f"The teacher has features of {len(features)} tokens of a "
                    f"text, and its tokenizer finds {len(spans)}. Pass an "
                    "object with `encode` and `encode_tokens` instead. The "
                    f"text: {text[:80]!r}"
                )
            # Special tokens have no characters, and are left out by that.
            tokens.append((features, spans))
        return np.stack(pooled), tokens

    def _in_batches(self, texts, offsets, output_value):
        """What the library gives for each text, batched by tokens."""
        sizes = [len(text) // 4 + 2 for text in texts]
        if offsets:
            sizes = [len(spans) for spans in offsets]
        found: list[Any] = [None] * len(texts)
        for batch in _batches(sizes, self.batch_size * _TOKENS_A_TEXT):
            outputs = self.model.encode(
                [texts[i] for i in batch],
                prompt=self.prompt,
                batch_size=len(batch),
                show_progress_bar=False,
                output_value=output_value,
            )
            for index, output in zip(batch, outputs):
                found[index] = output
        return found

    def _offsets(self, texts, limit=None):
        """Spans of the tokens of each text, with its prompt; not cut."""
        if not getattr(self.tokenizer, "is_fast", False):
            return []
        options = {}
        if limit:
            options = {"truncation": True, "max_length": limit}
        found = self.tokenizer(
            [self.prompt + text for text in texts],
            return_offsets_mapping=True,
            verbose=False,
            **options,
        )
        return [
            np.asarray(spans, dtype="int64").reshape(-1, 2)
            for spans in found["offset_mapping"]
        ]

    def _count_long(self, offsets):
        limit = getattr(self.model, "max_seq_length", None)
        if limit:
            too_long = sum(len(spans) > limit for spans in offsets)
            self._count_cut(too_long, len(offsets), limit)


def _batches(sizes, most):
    """Yields indices of texts of similar length, at most so many tokens."""
    batch: list[int] = []
    for index in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        if batch and (len(batch) + 1) * sizes[batch[0]] > most:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _numpy(tensor):
    return tensor.detach().float().cpu().numpy()
