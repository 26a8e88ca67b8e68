"""Features of tokens in batches of views, to cluster them."""

from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

import numpy as np
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.layers.near_tokens import mean_of_near_tokens
from keras_dinolm.models.distillation.checks import check_encoder
from keras_dinolm.models.distillation.tower import read_views
from keras_dinolm.models.encoder.text_encoder import TextEncoder

_BATCHES = "an iterable of batches of views, such as a `view_dataset`"


def token_features(
    encoder: Any,
    batches: Iterable,
    num_tokens: int = 50_000,
    window: int = 0,
    group: str | None = None,
) -> np.ndarray:
    """What an encoder makes of the tokens of some texts.

    `keras_dinolm.data.centroids` clusters them, and
    `keras_dinolm.objectives.UnitPrediction` predicts the clusters. The views
    are read whole, without masks; `[CLS]` and padding are left out.

    Args:
        encoder: `TextEncoder`, `DinoLMBackbone` or a supported keras-hub
            backbone.
        batches: iterable of batches of views, such as a `view_dataset`. It
            is read until there are enough tokens, or to its end.
        num_tokens: int. How many rows to return at most.
        window: int. Over how many tokens of text on either side features are
            averaged, as in `UnitPrediction`.
        group: string. The view group to read. `None` takes the groups with
            masks, or all if there are none.

    Returns:
        A float32 array `[N, hidden_dim]`.

    Raises:
        ValueError: for something that is no encoder, batches without such a
            group or without text, or numbers out of range.

    Example:

    ```python
    import keras_dinolm as kd

    texts = [f"the cat number {i} sat on mat {i % 7}" for i in range(60)]
    tokenizer = kd.data.train_tokenizer(texts, vocabulary_size=80)
    tokens = kd.data.tokenize(texts, tokenizer, "tokens/")
    views = kd.views.TextViews(tokenizer, sequence_length=16)
    dataset = kd.data.view_dataset(tokens, views, batch_size=8)
    backbone = kd.models.DinoLMBackbone.from_size(
        "nano", tokenizer.vocabulary_size()
    )
    features = kd.models.token_features(backbone, dataset, num_tokens=200)
    features.shape  # (200, 128)
    ```
    """
    check_encoder("encoder", encoder)
    if not isinstance(encoder, TextEncoder):
        encoder = TextEncoder(encoder)
    num_tokens = arguments.count("num_tokens", num_tokens)
    window = arguments.integer("window", window, 0, 1_000)
    if group is not None:
        group = arguments.string("group", group, meaning="a view group")
    parts, found = [], 0
    for arrays in groups_read(batches, group):
        tokens = read_views(encoder, arrays, training=False)["tokens"]
        is_text = ops.convert_to_numpy(arrays["positions"]) >= 0
        near = mean_of_near_tokens(tokens, is_text, window)
        parts.append(ops.convert_to_numpy(near)[is_text])
        found += len(parts[-1])
        if found >= num_tokens:
            break
    if not found:
        raise ValueError(
            "Argument `batches` must hold text. Received: batches without a "
            "token of text"
        )
    return np.concatenate(parts)[:num_tokens]


def groups_read(batches: Any, group: str | None = None) -> Iterator[dict]:
    """Yields the arrays of view groups, batch by batch.

    Args:
        batches: iterable of batches of views.
        group: string. The view group; `None` takes those with masks, or all
            if there are none.

    Yields:
        Dicts of arrays.

    Raises:
        ValueError: for other batches, or a group that they lack.
    """
    if not isinstance(batches, Iterable) or isinstance(batches, str | bytes):
        arguments.refuse("batches", batches, _BATCHES)
    for batch in batches:
        # Keras' datasets yield tuples.
        batch = batch[0] if isinstance(batch, tuple) else batch
        if not isinstance(batch, dict):
            arguments.refuse("batches", batch, _BATCHES)
        if group is not None:
            yield batch[arguments.choice("group", group, batch)]
            continue
        masked = [a for a in batch.values() if "masked_indices" in a]
        yield from masked or batch.values()
