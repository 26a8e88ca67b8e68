"""Features of words from an encoder of pieces of words."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_dinolm.evaluation.arguments import as_features

_FIX = (
    "Give the encoder a method `encode_words(sentences)`, which turns lists "
    "of words into arrays [words, D]"
)


def word_features(
    encoder: Any, sentences: Sequence[Sequence[str]]
) -> list[np.ndarray]:
    """See `TextFeatures.words`."""
    if hasattr(encoder, "encode_words"):
        features = list(encoder.encode_words(sentences))
        _check_count(features, sentences)
        features = [as_features("encode_words(...)", x) for x in features]
        for x, words in zip(features, sentences, strict=True):
            if len(x) != len(words):
                raise ValueError(
                    "`encode_words` must return one row for each word. "
                    f"Received: {len(x)} rows for {len(words)} words."
                )
        return features
    if not hasattr(encoder, "encode"):
        raise TypeError(
            f"Features of words need more than a function of texts. {_FIX}. "
            f"Received: {encoder!r}."
        )
    texts = [" ".join(words) for words in sentences]
    pieces = list(encoder.encode(texts, output_value="token_embeddings"))
    _check_count(pieces, sentences)
    pieces = [as_features("token_embeddings", x) for x in pieces]
    if hasattr(encoder, "preprocessor"):
        owners = _owners_by_counting(encoder, sentences)
    else:
        owners = _owners_by_offsets(encoder, texts, sentences)
    return [
        _mean_by_word(x, owner, words)
        for x, owner, words in zip(pieces, owners, sentences, strict=True)
    ]


def _check_count(features, sentences):
    if len(features) != len(sentences):
        raise ValueError(
            "The encoder must return one array for each sentence. Received: "
            f"{len(features)} arrays for {len(sentences)} sentences."
        )


def _owners_by_counting(encoder, sentences):
    """The word of each piece, -1 for special tokens, of keras-hub tokenizers.

    They split at white space first, so the pieces of a text are those of its
    words.
    """
    preprocessor = encoder.preprocessor
    known = list(dict.fromkeys(word for words in sentences for word in words))
    rows = preprocessor.tokenizer.tokenize(known)
    counts = {word: len(row) for word, row in zip(known, rows, strict=True)}
    # One special token at the start; the others, if any, at the end.
    [empty] = encoder.encode([""], output_value="token_embeddings")
    end = [-1] * (len(empty) - 1)
    limit = preprocessor.sequence_length - len(end)
    for words in sentences:
        owner = np.repeat(np.arange(len(words)), [counts[w] for w in words])
        yield np.array([-1, *owner][:limit] + end)


def _owners_by_offsets(encoder, texts, sentences):
    """The same for Hugging Face tokenizers, which give places in the text."""
    limit = encoder.max_seq_length
    encoded = encoder.tokenizer(
        texts,
        truncation=limit is not None,
        max_length=limit,
        return_offsets_mapping=True,
    )
    for words, offsets in zip(
        sentences, encoded["offset_mapping"], strict=True
    ):
        ends = np.cumsum([len(word) + 1 for word in words])
        first, last = np.array(offsets).T
        owner = np.searchsorted(ends, first, side="right")
        yield np.where(last > first, owner, -1)  # special tokens have none


def _mean_by_word(pieces, owner, words):
    if len(pieces) != len(owner):
        raise ValueError(
            f"The encoder gives {len(pieces)} pieces where its tokenizer has "
            f"{len(owner)}, for the words {words}. {_FIX}."
        )
    sums = np.zeros((len(words), pieces.shape[1]), pieces.dtype)
    np.add.at(sums, owner[owner >= 0], pieces[owner >= 0])
    counts = np.bincount(owner[owner >= 0], minlength=len(words))
    return sums / np.maximum(counts, 1)[:, None].astype(pieces.dtype)
