"""Sizes in the configuration of a preset against those of its weights.

A few bytes of JSON can ask for terabytes. So every size is compared with the
weight file, which has to hold as many numbers, before anything is made.
"""

import inspect
import math
import pathlib
import re
from typing import Any

from keras_dinolm import arguments
from keras_dinolm.models.presets.preset_files import FIX
from keras_dinolm.models.presets.preset_files import SHARDED_WEIGHTS
from keras_dinolm.models.presets.preset_files import WEIGHTS
from keras_dinolm.models.presets.preset_files import has_file
from keras_dinolm.models.presets.weight_shapes import Shapes

# The longest sequence and the deepest encoder that any preset has, times ten.
# They bound what no array of the weights shows.
LONGEST = 1 << 20
_MOST_LAYERS = 1024

_EMBEDDING = r"layers/(.+/)?(reversible|token)_embedding/vars/0"
_BLOCK = r"(layers/(?:encoder_block|\w*_encoder)(?:_\d+)?)/"
# Size in a Keras config -> where the weights have it. Biases and norms come
# first: their sizes stay when kernels are quantized.
_KERAS: dict[str, list[tuple[str, int]]] = {
    "vocabulary_size": [(_EMBEDDING, 0)],
    "vocab_size": [(_EMBEDDING, 0)],
    "embedding_dim": [("layers/layer_normalization/vars/0", 0)],
    "hidden_dim": [
        (_BLOCK + r"(_self_attention_layer|attention)_norm/vars/0", 0),
        (_BLOCK + r"_self_attention_layer_norm/vars/0", 0),
        ("layers/layer_normalization/vars/0", 0),
    ],
    "intermediate_dim": [
        (_BLOCK + r"_feedforward_intermediate_dense/vars/1", 0),
        (_BLOCK + r"mlp/up/vars/1", 0),
    ],
    "num_heads": [
        (_BLOCK + r"_self_attention_layer/_?key_dense/vars/1", 0),
        (r"layers/attention_pooling/vars/0", 1),
    ],
    "max_sequence_length": [(r"layers/(.+/)?position_embedding/vars/0", 0)],
    "num_segments": [(r"layers/embedding/vars/0", 0)],
    "num_registers": [(r"layers/registers/vars/0", 0)],
}

# The same for Hugging Face, where sizes have other names in DistilBERT.
_LAYER = r"\blayer\.(\d+)\."
_TRANSFORMERS: dict[str, list[tuple[str, int]]] = {
    "vocab_size": [(r"word_embeddings\.weight$", 0)],
    "max_position_embeddings": [(r"position_embeddings\.weight$", 0)],
    "type_vocab_size": [(r"token_type_embeddings\.weight$", 0)],
    "hidden_size": [(r"attention\.(output\.)?dense\.weight$", 0)],
    "embedding_size": [(r"word_embeddings\.weight$", 1)],
    "intermediate_size": [
        (r"intermediate\.dense\.weight$", 0),
        (r"\bffn\.weight$", 0),
    ],
}
_DISTILBERT: dict[str, list[tuple[str, int]]] = {
    "vocab_size": [(r"word_embeddings\.weight$", 0)],
    "max_position_embeddings": [(r"position_embeddings\.weight$", 0)],
    "dim": [(r"word_embeddings\.weight$", 1)],
    "hidden_dim": [(r"\bffn\.lin1\.weight$", 0)],
}


def check_keras_sizes(
    folder: pathlib.Path,
    name: str,
    cls: type,
    config: dict[str, Any],
    shapes: Shapes,
) -> None:
    """Raises unless a backbone's configuration agrees with its weights.

    Args:
        folder: `pathlib.Path` of the preset.
        name: string. The file of the configuration.
        cls: the class of the backbone.
        config: its arguments.
        shapes: what `keras_shapes` found.

    Raises:
        ValueError: names the file, the size and both values.
    """
    sizes = _Sizes(folder, name, config, shapes)
    sizes.check_names(cls)
    blocks = {match[1] for path in shapes if (match := re.match(_BLOCK, path))}
    if "num_groups" in config:  # ALBERT repeats its blocks
        groups = sizes.integer("num_groups", 1, _MOST_LAYERS)
        inner = sizes.integer("num_inner_repetitions", 1, _MOST_LAYERS)
        product = "num_groups * num_inner_repetitions"
        sizes.compare(product, groups * inner, len(blocks))
        sizes.integer("num_layers", 1, _MOST_LAYERS)
    elif "num_layers" in config:
        layers = sizes.integer("num_layers", 0, _MOST_LAYERS)
        sizes.compare("num_layers", layers, len(blocks))
    for key, places in _KERAS.items():
        if key in config:
            found = sizes.find(places)
            if key == "num_registers" and found is None:
                found = 0
            sizes.size(key, found)
    weights = sizes.find([("layers/weighted_mean_pooling/vars/0", 0)])
    if weights is not None:
        sizes.size("vocabulary_size", weights)
    if "bucket_size" in config:  # relative positions of DeBERTa
        rows = sizes.find([("layers/relative_embedding/vars/0", 0)]) or 0
        sizes.size("bucket_size", rows // 2)
    if {"num_heads", "hidden_dim"} <= set(config):
        sizes.divides("num_heads", "hidden_dim")
    sizes.check_blocks(sorted(blocks))
    sizes.check_rest()
    sizes.check_total(
        len(blocks),
        ("vocabulary_size", "vocab_size", "max_sequence_length",
         "num_segments", "num_registers", "bucket_size"),
        ("embedding_dim", "hidden_dim"),
        "hidden_dim",
        "intermediate_dim",
    )  # fmt: skip


def check_transformers_sizes(
    folder: pathlib.Path,
    name: str,
    config: dict[str, Any],
    shapes: Shapes,
) -> None:
    """The same for a folder in the layout of Hugging Face.

    Args:
        folder: `pathlib.Path` of the preset.
        name: string. The file of the configuration.
        config: what it says.
        shapes: what `safetensors_shapes` found.

    Raises:
        ValueError: names the file, the size and both values.
    """
    sizes = _Sizes(folder, name, config, shapes)
    kind = config["model_type"]
    if kind == "distilbert":
        layers, heads, width = "n_layers", "n_heads", "dim"
    else:
        layers, heads = "num_hidden_layers", "num_attention_heads"
        width = "hidden_size"
    places_of = _DISTILBERT if kind == "distilbert" else _TRANSFORMERS
    for key, places in places_of.items():
        if key in config or key not in ("embedding_size", "type_vocab_size"):
            sizes.size(key, sizes.find(places))
    depth = sizes.integer(layers, 1, _MOST_LAYERS)
    if kind == "albert":
        groups = sizes.integer("num_hidden_groups", 1, _MOST_LAYERS)
        inner = sizes.integer("inner_group_num", 1, _MOST_LAYERS)
        sizes.compare(
            "num_hidden_groups", groups, sizes.count(r"layer_groups\.(\d+)\.")
        )
        sizes.compare(
            "inner_group_num", inner, sizes.count(r"albert_layers\.(\d+)\.")
        )
    else:
        # A checkpoint may be read in part.
        stored = sizes.count(_LAYER)
        if depth > stored:
            sizes.compare(layers, depth, stored)
    sizes.divides(heads, width)
    sizes.check_total(
        depth if kind != "albert" else 1,
        ("vocab_size", "max_position_embeddings", "type_vocab_size"),
        ("embedding_size", width),
        width,
        "hidden_dim" if kind == "distilbert" else "intermediate_size",
    )


class _Sizes:
    """A configuration, its weights, and where they are from."""

    def __init__(self, folder, name, config, shapes):
        self.folder, self.name = folder, name
        self.config, self.shapes = config, shapes

    def check_names(self, cls):
        """Keyword arguments that the class does not have."""
        signature = inspect.signature(cls.__init__)
        known = {"name", "trainable", "dtype", *signature.parameters}
        unknown = sorted(set(self.config) - known)
        if unknown:
            raise ValueError(
                f"The file '{self.name}' of the preset folder '{self.folder}' "
                f"has arguments that `{cls.__name__}` does not take: "
                f"{arguments.shorten(unknown)}. Update this package, if the "
                f"preset is of a newer one. {FIX}"
            )
        missing = sorted(
            name
            for name, parameter in signature.parameters.items()
            if parameter.default is inspect.Parameter.empty
            and parameter.kind is not inspect.Parameter.VAR_KEYWORD
            and name not in ("self", *self.config)
        )
        if missing:
            raise ValueError(
                f"The file '{self.name}' of the preset folder '{self.folder}' "
                f"lacks arguments of `{cls.__name__}`: {missing}. {FIX}"
            )

    def find(self, places):
        for pattern, axis in places:
            for path, shape in self.shapes.items():
                if re.search(f"(?:^|(?<=[./])){pattern}", path) and (
                    axis < len(shape)
                ):
                    return shape[axis]
        return None

    def count(self, pattern):
        return len(
            {m[1] for path in self.shapes if (m := re.search(pattern, path))}
        )

    def size(self, key, stored):
        value = self.integer(key, 0, LONGEST if stored is None else None)
        if stored is None and key in ("vocabulary_size", "vocab_size"):
            self.refuse(key, value, "the rows of an embedding in the weights")
        if stored is not None:
            self.compare(key, value, stored)

    def divides(self, key, of):
        whole = self.config[of]
        value = self.integer(key, 1, None)
        if whole % value:
            self.refuse(key, value, f"a divisor of {of}={whole}")

    def compare(self, key, value, stored):
        if value != stored:
            self.refuse(key, value, f"{stored}, as in the weights")

    def integer(self, key, low, high):
        value = self.config.get(key)
        if type(value) is not int or value < low or (high and value > high):
            most = f" to {high}" if high else " on"
            self.refuse(key, value, f"an integer from {low}{most}")
        return value

    def refuse(self, key, value, what):
        weights = "model.safetensors"
        if "model_type" not in self.config:
            single = has_file(self.folder, WEIGHTS)
            weights = WEIGHTS if single else SHARDED_WEIGHTS
        raise ValueError(
            f"The file '{self.name}' of the preset folder '{self.folder}' "
            f"does not go with '{weights}': `{key}` must be {what}. Received: "
            f"{key}={arguments.shorten(value)}. {FIX}"
        )

    def check_blocks(self, blocks):
        """All blocks have the arrays of the first one."""
        parts = {block: {} for block in blocks}
        for path, shape in self.shapes.items():
            match = re.match(_BLOCK, path)
            if match:
                parts[match[1]][path[match.end() :]] = shape
        for block in blocks[1:]:
            if parts[block] != parts[blocks[0]]:
                self.refuse(
                    "num_layers",
                    len(blocks),
                    f"of equal blocks, and '{block}' has other arrays in the "
                    f"weights than '{blocks[0]}'",
                )

    def check_total(self, blocks, rows, columns, hidden, wide):
        """The weights have about as many numbers as will be made.

        Without it, a small array in the place of a large one would be enough
        to give a size. Two numbers share a byte in int4, so half are enough.
        """
        # A registered backbone may have other arguments, or fewer.
        column = next((key for key in columns if key in self.config), hidden)
        row = sum(self.config[key] for key in rows if key in self.config)
        if "position_embedding" not in " ".join(self.shapes):
            # No array: rotary and relative positions.
            row -= self.config.get("max_sequence_length", 0)
        dim, column, wide = (
            self.config.get(key, 0) for key in (hidden, column, wide)
        )
        made = row * column + blocks * 2 * dim * (2 * dim + wide)
        stored = sum(math.prod(shape) for shape in self.shapes.values())
        if made > 2 * stored:
            self.refuse(
                hidden,
                dim,
                f"such that {made:,} numbers are about the {stored:,} that "
                "are there",
            )

    def check_rest(self):
        """What no array shows: finite, and not huge."""
        if not isinstance(self.config.get("name", ""), str):
            self.refuse("name", self.config["name"], "a string")
        for key, value in self.config.items():
            for number in value if isinstance(value, list) else [value]:
                if isinstance(number, float) and not math.isfinite(number):
                    self.refuse(key, value, "finite")
                large = isinstance(number, int) and abs(number) > LONGEST
                if large and "wavelength" not in key:
                    self.refuse(key, value, f"at most {LONGEST}")
            if isinstance(value, list) and len(value) > _MOST_LAYERS + 2:
                self.refuse(key, value, f"of at most {_MOST_LAYERS} items")
            if isinstance(value, str) and len(value) > 200:
                self.refuse(key, value, "a string of at most 200 characters")
