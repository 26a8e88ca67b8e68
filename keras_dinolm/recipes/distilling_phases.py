"""The phases of `distill`: a table of tokens, then blocks on top of it."""

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import keras_hub

from keras_dinolm import models
from keras_dinolm import objectives as o
from keras_dinolm.data import JoinedFeatures
from keras_dinolm.data import TokenStore
from keras_dinolm.models import DinoLMBackbone
from keras_dinolm.recipes import parts
from keras_dinolm.recipes.phase import Phase
from keras_dinolm.views import TextViews
from keras_dinolm.views import ViewGroup

# The size without blocks.
TABLE = "table"
# Of its features.
TABLE_DIM, TABLE_HEADS = 256, 4
# What the batches call the teacher's features.
NAME = "teacher"
# The loss of a regression is a fraction of that of InfoNCE, which it leads.
WEIGHT_OF_INFO_NCE = 0.1
# Blocks learn to read the table that was trained before them.
RATE_OF_TABLE = 0.1


def dim_of(size: str) -> int:
    """The width of an encoder of a size.

    Args:
        size: string, `"table"` or one of `kd.models.SIZES`.
    """
    return TABLE_DIM if size == TABLE else models.SIZES[size]["hidden_dim"]


def make_phases(
    tokenizer: keras_hub.tokenizers.Tokenizer,
    size: str,
    sequence_length: int,
    start: Callable[[DinoLMBackbone, TokenStore], None],
    store: JoinedFeatures,
    statistics: Mapping[str, Any],
    span: tuple[float, float],
    temperature: float,
    bag_steps: int,
    bag_batch_size: int,
    bag_learning_rate: float,
    batch_size: int,
    learning_rate: float,
) -> list[Phase]:
    """The phases of `distill`.

    Args:
        tokenizer: the student's.
        size: string, `"table"` or one of `kd.models.SIZES`.
        sequence_length: int. Longest view.
        start: callable that gives a backbone without blocks its table and
            the weights of its tokens.
        store: `JoinedFeatures` of the teachers.
        statistics: as for `CachedTeacher`.
        span: pair of floats. Length of the short spans.
        temperature: float. Of InfoNCE.
        bag_steps: int. The most steps without blocks.
        bag_batch_size: int. Texts in a batch without blocks.
        bag_learning_rate: float. The highest without blocks.
        batch_size: int. Texts in a batch with blocks.
        learning_rate: float. The highest with blocks.

    Returns:
        A list of one `Phase` or two.
    """
    whole = ViewGroup("whole", 1, span=(1.0, 1.0), roles=("student", "teacher"))
    short = ViewGroup("local", 2, span, roles=("student",))
    both = TextViews(tokenizer, sequence_length, groups=[whole, short])
    alone = TextViews(tokenizer, sequence_length, groups=[whole])
    hidden = 2 * dim_of(size)
    shape = (
        {}
        if size != TABLE
        else {"hidden_dim": TABLE_DIM, "num_heads": TABLE_HEADS}
    )

    def taught(backbone, objectives, views, steps, rate, **kwargs):
        teacher = models.CachedTeacher(NAME, store.dim, statistics=statistics)
        return parts.compiled(
            backbone, objectives, views, steps, rate, teacher=teacher, **kwargs
        )

    def table(before, tokens):
        bag = parts.encoder(
            "nano" if size == TABLE else size,
            tokenizer,
            **shape,
            num_layers=0,
            num_registers=0,
            pooling="weighted_mean",
        )
        if tokens is not None:
            start(bag, tokens)
        bag.pooler.trainable = False
        return bag

    def tell_apart(bag, steps):
        objectives = [
            o.InfoNCE(temperature, weight=WEIGHT_OF_INFO_NCE),
            o.SequenceRegression(group="whole"),
        ]
        return taught(bag, objectives, both, steps, bag_learning_rate)

    def deeper(bag, tokens):
        deep = parts.deepen(bag, size, layer_scale=0.1, pooled_layers=(-1,))
        deep.pooler.trainable = False
        return deep

    def regress(backbone, steps):
        objectives = [o.SequenceRegression()]
        if store.has_tokens:
            objectives.append(o.TokenRegression("squared", hidden))
        return taught(
            backbone,
            objectives,
            alone,
            steps,
            learning_rate,
            multipliers={"token_embedding": RATE_OF_TABLE},
        )

    bag = Phase(
        "table",
        both,
        bag_batch_size,
        table,
        tell_apart,
        max_steps=bag_steps,
        features={NAME: store.without_tokens()},
        starts_as="the teacher's tokens",
    )
    if size == TABLE:
        return [bag]
    blocks = Phase(
        "blocks",
        alone,
        batch_size,
        deeper,
        regress,
        pooled_layers=(0, -1),
        pooled_join="concatenate",
        features={NAME: store},
        only_with_features=True,
    )
    return [bag, blocks]
