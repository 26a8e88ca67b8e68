"""Where a corpus differs from that of a token store, in words."""

import pathlib
from typing import Any

import numpy as np

from keras_dinolm.arguments import shorten
from keras_dinolm.data.shard import check_shard_files
from keras_dinolm.data.store_check import shard_path
from keras_dinolm.data.store_check import type_of
from keras_dinolm.data.store_encoder import encode_documents
from keras_dinolm.data.store_encoder import make_encoder

_SHOWN = 12


def first_difference(
    directory: pathlib.Path,
    index: int,
    settings: dict[str, Any],
    shard: dict[str, Any],
    batch: dict[str, Any],
    encoder_config: dict[str, Any],
    first: int,
) -> str:
    """Says which document of a shard is the first that differs.

    Args:
        directory: path of the store.
        index: int. The number of the shard.
        settings: dict. The settings of the store.
        shard: dict. The header of the shard.
        batch: dict. The texts of the same shard of the corpus.
        encoder_config: dict. What `encoder_config` returned.
        first: int. The number of the first document of the shard.

    Returns:
        A part of a sentence.
    """
    encoder = make_encoder(encoder_config)
    try:
        check_shard_files(directory, index, settings, shard)
    except (ValueError, FileNotFoundError):
        return f"shard {index} has other texts (and is damaged)"
    ids, lengths = (
        np.fromfile(
            shard_path(directory, index, kind), type_of(kind, settings["dtype"])
        )
        for kind in ("ids", "lengths")
    )
    start = 0
    for place, text in enumerate(batch["texts"]):
        if place == len(lengths):
            return (
                f"it has a document {first + place:,}, which begins with "
                f"{shorten(text[:60])}; there the shard ends before it"
            )
        row = ids[start : start + lengths[place]].tolist()
        start += lengths[place]
        if row != encode_documents(encoder, [text])[0][0]:
            tokens = [encoder.vocabulary[i] for i in row[:_SHOWN]]
            return (
                f"document {first + place:,} begins there with "
                f"{shorten(' '.join(tokens))}, and here with "
                f"{shorten(text[:60])}"
            )
    if len(batch["texts"]) < len(lengths):
        return (
            f"it ends after {first + len(batch['texts']):,} documents, and "
            "there the shard has more"
        )
    return (
        f"the tokens of shard {index} are the same, and its texts or "
        "alternates are not"
    )
