"""Masked language modelling: predict the words that are hidden."""

from keras_dinolm import objectives as o
from keras_dinolm.models import DinoLMTokenizer
from keras_dinolm.recipes import parts
from keras_dinolm.recipes.phase import Phase
from keras_dinolm.recipes.registry import register
from keras_dinolm.views import TextViews
from keras_dinolm.views import ViewGroup


@register
def masked_lm(
    tokenizer: DinoLMTokenizer,
    size: str = "nano",
    sequence_length: int = 64,
    mask_ratio: float = 0.15,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
) -> list[Phase]:
    """Words of a text are masked, and the encoder predicts them.

    BERT's objective, with whole words. Good features of tokens (slot
    filling), weaker ones of texts. The student is kept.

    `python benchmarks/quality.py --size mini --minutes 20 --methods
    masked_lm`: 63.9 on average over nine tasks, 53.9 F1 on slots (tensorflow,
    one core, three seeds).

    Args:
        tokenizer: `DinoLMTokenizer`.
        size: string, one of `kd.models.SIZES`.
        sequence_length: int. Longest window, `[CLS]` included.
        mask_ratio: float. Share of masked tokens in a window.
        batch_size: int. Texts in a batch.
        learning_rate: float. The highest.

    Returns:
        A list of one `Phase`.

    Example:

    ```python
    import keras_dinolm as kd

    tokenizer = kd.data.train_tokenizer(["a cat", "a mat"] * 9, 60)
    phase, = kd.recipes.masked_lm(tokenizer, size="nano")
    ```

    References:
        - [BERT](https://arxiv.org/abs/1810.04805)
    """
    # At this place, they are the arguments.
    parts.check_options(locals())
    group = ViewGroup(
        "whole",
        1,
        mask_probability=1.0,
        mask_ratio=mask_ratio,
        mask_span=1.0,
        mask_unit="word",
    )
    views = TextViews(tokenizer, sequence_length, groups=[group])

    def backbone(before, tokens):
        return parts.encoder(
            size, tokenizer, pooled_layers=parts.FIRST_AND_LAST
        )

    def model(backbone, steps):
        return parts.compiled(
            backbone, [o.MaskedLM()], views, steps, learning_rate
        )

    return [
        Phase(
            "words",
            views,
            batch_size,
            backbone,
            model,
            keep="student",
            pooled_layers=parts.EMBEDDINGS,
        )
    ]
