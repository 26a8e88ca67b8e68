"""Groups of variables, found by regular expressions in their paths.

Everything that an optimizer knows about the names of a model's parts is in
this file. A pattern is searched in `variable.path`, such as
`"backbone/block_3/attention/query/kernel"`.
"""

import re
from collections.abc import Iterable
from collections.abc import Sequence

# What weight decay leaves alone.
NO_DECAY = (
    r"(^|/)bias$",
    r"(^|/)(gamma|beta|scale)$",
    r"norm",
    r"layer_scale",
    r"register",
    r"(^|/)prototypes(/|$)",
    r"(^|/)log_weights$",
)

# In a `DinoLM`: the projection heads, each with its prototypes; the parts of
# each objective; the prototypes alone; and the encoder, which is what is left.
# The groups in parentheses are names of modules.
HEADS = r"^student/(\w+)_(?:head|prototypes)/"
OBJECTIVES = r"^objectives/(\w+)/"
PROTOTYPES = r"^student/\w+_prototypes/"
ENCODER = r"^(?!student/|objectives/)"

# Depth in an encoder: `block_3` is ours, `transformer_layer_3` keras-hub's.
_BLOCK = r"(?:block|layer)_(\d+)(?:/|_)"
_EMBEDDINGS = r"embedding|register"


def matches(path: str, patterns: Iterable[str]) -> list[str]:
    """The patterns that are found in a path.

    Args:
        path: str. Of a variable.
        patterns: regular expressions.

    Returns:
        List of str.
    """
    return [pattern for pattern in patterns if re.search(pattern, path)]


def module_of(path: str, patterns: Iterable[str]) -> str:
    """The name of the module that a variable belongs to.

    Args:
        path: str. Of the variable.
        patterns: regular expressions, each with a group that captures the
            name.

    Returns:
        str: what the first pattern that is found captures; `""` for a
        variable of no module.
    """
    for pattern in patterns:
        found = re.search(pattern, path)
        if found:
            return found.group(1)
    return ""


def layer_factors(paths: Sequence[str], layer_decay: float) -> list[float]:
    """What the learning rate of each variable is multiplied by for its depth.

    Args:
        paths: paths of all variables.
        layer_decay: float. Factor from one block to the one below.

    Returns:
        List of float: for block i of n, `layer_decay ** (n - i)`; for
        embeddings, `layer_decay ** (n + 1)`; for everything else 1.
    """
    blocks = [_block(path) for path in paths]
    depth = 1 + max((b for b in blocks if b is not None), default=-1)
    return [
        layer_decay ** (depth - _layer(path, block, depth))
        for path, block in zip(paths, blocks)
    ]


def _block(path):
    """The index of the transformer block a variable belongs to, or `None`."""
    found = re.search(_BLOCK, path)
    return int(found.group(1)) if found else None


def _layer(path, block, depth):
    """-1 for embeddings, i for block i, `depth` for what follows."""
    if block is not None:
        return block
    return -1 if re.search(_EMBEDDINGS, path) else depth
