"""The default recipe: embeddings first, as a bag; blocks on top of them."""

from keras_dinolm import objectives as o
from keras_dinolm.models import DinoLMTokenizer
from keras_dinolm.recipes import parts
from keras_dinolm.recipes.phase import Phase
from keras_dinolm.recipes.registry import register
from keras_dinolm.views import TextViews
from keras_dinolm.views import ViewGroup


@register
def bag_then_blocks(
    tokenizer: DinoLMTokenizer,
    size: str = "nano",
    sequence_length: int = 64,
    span: tuple[float, float] = (0.2, 0.4),
    mask_ratio: float = 0.3,
    temperature: float = 0.05,
    token_weights: float = 0.5,
    embedding_rate: float = 0.1,
    count_output: bool = True,
    bag_steps: int = 1_000,
    bag_batch_size: int = 256,
    bag_learning_rate: float = 2e-3,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
) -> list[Phase]:
    """Embeddings learn as a bag, then blocks learn on top of them.

    The best recipe that we know for minutes on a CPU. Phase `bag`: token
    embeddings are counted (`kd.data.ppmi_embeddings`), then learn without any
    block to tell short spans of different texts apart (InfoNCE), at a
    thirtieth of the cost of a step with blocks. Phase `blocks`: blocks come
    on top and learn to predict masked words of a window, while the embeddings
    learn from both, slowly. The feature of a text is the weighted average of
    its embeddings, in which frequent tokens count less; the feature of a
    token is what the blocks make of it. The teacher is kept.

    `python benchmarks/quality.py --size mini --minutes 20`: 73.6 on average
    over nine tasks, where masked LM has 63.9 and crop InfoNCE 66.2
    (tensorflow, one core, three seeds). That was before tokens had weights:
    `token_weights=0, embedding_rate=1.0, count_output=False`.

    Args:
        tokenizer: `DinoLMTokenizer`.
        size: string, one of `kd.models.SIZES`.
        sequence_length: int. Longest view, `[CLS]` included.
        span: pair of floats. Length of the short spans, as shares of a
            window.
        mask_ratio: float. Share of masked tokens in a window.
        temperature: float. Of InfoNCE.
        token_weights: float. How much less frequent tokens weigh in a text's
            feature: the power of `kd.data.sif_weights`. 0 is the plain mean.
        embedding_rate: float. The rate of the embeddings in `blocks`, as a
            share of that of the blocks. Below 1 they keep what they learned
            as a bag; 0 leaves them as they are.
        count_output: bool. Whether masked LM starts from how often each token
            occurs (`MaskedLM.expect`).
        bag_steps: int. The most steps without blocks; at most half of the
            budget goes there.
        bag_batch_size: int. Texts in a batch without blocks.
        bag_learning_rate: float. The highest without blocks.
        batch_size: int. Texts in a batch with blocks.
        learning_rate: float. The highest with blocks.

    Returns:
        A list of two `Phase`.

    Example:

    ```python
    import keras_dinolm as kd

    tokenizer = kd.data.train_tokenizer(["a cat", "a mat"] * 9, 60)
    bag, blocks = kd.recipes.bag_then_blocks(tokenizer, size="nano")
    bag.max_steps  # 1000
    ```
    """
    # At this place, they are the arguments.
    parts.check_options(locals())
    few = TextViews(
        tokenizer, sequence_length, groups=[ViewGroup("local", 2, span)]
    )
    whole = ViewGroup(
        "whole",
        1,
        mask_probability=1.0,
        mask_ratio=mask_ratio,
        mask_span=1.0,
        # One piece of a word is too easily told from the others.
        mask_unit="word",
    )
    many = TextViews(
        tokenizer, sequence_length, groups=[whole, ViewGroup("local", 4, span)]
    )

    pooling = "weighted_mean" if token_weights else "mean"

    def counted_bag(before, tokens):
        bag = parts.encoder(
            size, tokenizer, num_layers=0, num_registers=0, pooling=pooling
        )
        if tokens is not None:
            parts.count_embeddings(bag, tokens)
        if token_weights:
            parts.weigh_tokens(bag, tokens, token_weights)
        return bag

    def tell_apart(bag, steps):
        return parts.compiled(
            bag, [o.InfoNCE(temperature)], few, steps, bag_learning_rate
        )

    def deeper(bag, tokens):
        # The text's feature is that of its embeddings, so InfoNCE does not
        # reach the blocks, and they do not run where short spans are read.
        backbone = parts.deepen(
            bag, size, layer_scale=0.1, pooled_layers=parts.EMBEDDINGS
        )
        if token_weights:
            parts.weigh_tokens(backbone, None, token_weights)
        return backbone

    def predict_words(backbone, steps):
        return parts.compiled(
            backbone,
            [o.InfoNCE(temperature), o.MaskedLM()],
            many,
            steps,
            learning_rate,
            momentum=(0.98, 0.995),
            multipliers={"token_embedding": embedding_rate},
        )

    return [
        Phase(
            "bag",
            few,
            bag_batch_size,
            counted_bag,
            tell_apart,
            max_steps=bag_steps,
            keep="student",
            starts_as="counted embeddings",
        ),
        Phase(
            "blocks",
            many,
            batch_size,
            deeper,
            predict_words,
            prepare=parts.expect_tokens if count_output else None,
        ),
    ]
