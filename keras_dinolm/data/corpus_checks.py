"""What the counts of a tokenized corpus say about its use."""

import warnings
from typing import Any


def check_contents(shards: list[dict[str, Any]]) -> None:
    """Raises if there is no token; warns of what training suffers from.

    Args:
        shards: list of dicts, the headers of all shards.

    Raises:
        ValueError: if no document has a token.
    """
    documents = sum(shard["documents"] for shard in shards)
    tokens = sum(shard["tokens"] for shard in shards)
    if tokens == 0:
        raise ValueError(
            "The corpus is empty: nothing to tokenize. Received: "
            f"`corpus` of {documents} documents with 0 tokens. Check the path "
            "or the iterable (an iterator can be read only once)."
        )
    empty = sum(shard["empty"] for shard in shards)
    if empty:
        warnings.warn(
            f"{empty:,} of {documents:,} documents have no token (they are "
            "empty, or only white space); they stay in the store, and give no "
            "training window.",
            stacklevel=3,
        )
    distinct = sum(shard["distinct"] for shard in shards)
    if documents > 1 and distinct <= documents / 2:
        warnings.warn(
            f"Of {documents:,} documents only {distinct:,} are distinct. "
            "Copies teach nothing, and are pushed apart by KoLeo and InfoNCE. "
            "Remove them first: `keras_dinolm.data.find_near_duplicates`.",
            stacklevel=3,
        )
    unknown = sum(
        shard["unknown"] + shard.get("alternate_unknown", 0) for shard in shards
    )
    tokens += sum(shard.get("alternate_tokens", 0) for shard in shards)
    if unknown > 0.05 * tokens:
        warnings.warn(
            f"{unknown / tokens:.0%} of {tokens:,} tokens are [UNK]: the "
            "tokenizer does not fit this corpus. Train one on it with "
            "`keras_dinolm.data.train_tokenizer` (with a larger "
            "`alphabet_size`, if the writing system needs it).",
            stacklevel=3,
        )
