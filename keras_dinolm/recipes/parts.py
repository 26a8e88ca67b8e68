"""What several recipes have in common."""

from collections.abc import Callable
from typing import Any

import keras_hub
import numpy as np

from keras_dinolm import arguments
from keras_dinolm import models
from keras_dinolm import objectives as o
from keras_dinolm import schedules
from keras_dinolm.data import TokenStore
from keras_dinolm.data import ppmi_embeddings
from keras_dinolm.data import sif_weights
from keras_dinolm.data import token_counts
from keras_dinolm.models import DinoLM
from keras_dinolm.models import DinoLMBackbone
from keras_dinolm.models import DinoLMTokenizer
from keras_dinolm.training import COMPILE_BY_DEFAULT
from keras_dinolm.training.optimizers import adamw
from keras_dinolm.views import TextViews

# Standard deviation of the token embeddings at the start. Larger than the
# backbone's default, which is meant for longer training.
EMBEDDING_STDDEV = 0.05

# Where a loss on the text's feature trains the blocks, the average of the
# first and the last layer is the better feature: words say what a text is
# about, and blocks do not keep all of it.
FIRST_AND_LAST = (0, -1)
# The feature of a text after a short training: its embeddings alone. On dev
# files this was the best choice for every recipe that we tried.
EMBEDDINGS = (0,)


def _above(name, value):
    return arguments.number(name, value, above=0)


def _share(name, value):
    return arguments.number(name, value, above=0, high=1)


def _two_shares(name, value):
    """A pair of numbers in [0, 1]."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        arguments.refuse(name, value, "a pair of numbers")
    for item in value:
        arguments.number(name, item, 0, 1)


def _tokenizer(name, value):
    kinds = keras_hub.tokenizers.Tokenizer
    arguments.instance(name, value, kinds, "a `DinoLMTokenizer`")


# What the options of our recipes may be.
_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "tokenizer": _tokenizer,
    "size": lambda name, value: arguments.choice(name, value, models.SIZES),
    "sequence_length": lambda name, value: arguments.count(name, value, 2),
    "batch_size": arguments.count,
    "bag_batch_size": arguments.count,
    "bag_steps": arguments.count,
    "num_local": lambda name, value: arguments.count(name, value, 2),
    "num_prototypes": lambda name, value: arguments.count(name, value, 2),
    "token_weights": lambda name, value: arguments.number(name, value, 0),
    "embedding_rate": lambda name, value: arguments.number(name, value, 0),
    "count_output": arguments.flag,
    "learning_rate": _above,
    "bag_learning_rate": _above,
    "temperature": _above,
    "mask_ratio": _share,
    "dropout": lambda name, value: arguments.number(name, value, 0, below=1),
    "info_nce_weight": lambda name, value: arguments.number(name, value, 0),
    "momentum": _two_shares,
}


def check_options(options: dict[str, Any]) -> None:
    """Raises unless a recipe can be made with these arguments.

    `span` is left to the view group that gets it.

    Args:
        options: dict of name to value.

    Raises:
        ValueError: naming the argument that is out of its range.
    """
    for name, value in options.items():
        if name in _CHECKS:
            _CHECKS[name](name, value)


def encoder(
    size: str, tokenizer: DinoLMTokenizer, **overrides: Any
) -> DinoLMBackbone:
    """The untrained encoder that recipes start from.

    Args:
        size: string, one of `kd.models.SIZES`.
        tokenizer: `DinoLMTokenizer`.
        **overrides: other arguments of `DinoLMBackbone`.

    Returns:
        A `DinoLMBackbone`.
    """
    return DinoLMBackbone.from_size(
        size,
        tokenizer.vocabulary_size(),
        **{"embedding_stddev": EMBEDDING_STDDEV, **overrides},
    )


def count_embeddings(backbone: DinoLMBackbone, tokens: TokenStore) -> None:
    """Starts the token embeddings from counts: which tokens meet often.

    Args:
        backbone: `DinoLMBackbone`, which is changed.
        tokens: `TokenStore`.
    """
    backbone.token_embedding.embeddings.assign(
        ppmi_embeddings(
            tokens,
            backbone.vocabulary_size,
            backbone.hidden_dim,
            stddev=EMBEDDING_STDDEV,
        )
    )


def weigh_tokens(
    backbone: DinoLMBackbone, tokens: TokenStore | None, power: float
) -> None:
    """Sets the weights of tokens in a text's feature, from counts, for good.

    Args:
        backbone: `DinoLMBackbone` with the pooling `"weighted_mean"`, which is
            changed.
        tokens: `TokenStore`, or `None` to leave the weights as they are.
        power: float, as for `sif_weights`.
    """
    if tokens is not None:
        weights = sif_weights(tokens, backbone.vocabulary_size, power=power)
        backbone.pooler.log_weights.assign(np.log(weights))
    # They would learn little: from the square roots, a bag that learned them
    # was no better.
    backbone.pooler.trainable = False


def expect_tokens(model: DinoLM, tokens: TokenStore) -> None:
    """Starts masked LM from counts: how often each token occurs.

    Args:
        model: `DinoLM`, of which every `MaskedLM` is changed.
        tokens: `TokenStore`.
    """
    counts = token_counts(tokens, model.student.encoder.vocabulary_size)
    for objective in model.objectives:
        if isinstance(objective, o.MaskedLM):
            objective.expect(counts)


def deepen(bag: DinoLMBackbone, size: str, **overrides: Any) -> DinoLMBackbone:
    """An encoder of a size on top of one without blocks.

    Args:
        bag: `DinoLMBackbone` without blocks.
        size: string, one of `kd.models.SIZES`.
        **overrides: as for `extend_depth`.

    Returns:
        A new `DinoLMBackbone`.
    """
    full = DinoLMBackbone.from_size(size, 1)
    return models.extend_depth(
        bag,
        full.num_layers,
        **{"num_registers": full.num_registers, **overrides},
    )


def compiled(
    backbone: DinoLMBackbone,
    objectives: list[o.Objective],
    views: TextViews,
    steps: int,
    learning_rate: float,
    momentum: tuple[float, float] = (0.99, 0.999),
    multipliers: dict[str, float] | None = None,
    **kwargs: Any,
) -> DinoLM:
    """A `DinoLM` that is compiled for a phase of so many steps.

    AdamW with a linear warm-up over a tenth of the steps (at most 100), then
    a cosine; weight decay 0.04.

    Args:
        backbone: `DinoLMBackbone`.
        objectives: list of objectives.
        views: `TextViews`, for the roles of its groups.
        steps: int.
        learning_rate: float. The highest.
        momentum: pair of floats. Of the teacher, first and last.
        multipliers: dict, as for `kd.optimizers.adamw`.
        **kwargs: other arguments of `DinoLM`. With `teacher`, there is no
            momentum.

    Returns:
        A compiled `DinoLM`.
    """
    if "teacher" not in kwargs:
        kwargs["momentum"] = schedules.Cosine(*momentum, steps)
    model = DinoLM(backbone, objectives, roles=views.roles, **kwargs)
    model.compile(
        adamw(
            learning_rate,
            warmup_steps=min(100, steps // 10),
            total_steps=steps,
            weight_decay=0.04,
            multipliers=multipliers,
        ),
        jit_compile=COMPILE_BY_DEFAULT,
    )
    return model
