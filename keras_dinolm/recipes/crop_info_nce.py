"""InfoNCE on short spans: which two are of one text?"""

from keras_dinolm import objectives as o
from keras_dinolm.models import DinoLMTokenizer
from keras_dinolm.recipes import parts
from keras_dinolm.recipes.phase import Phase
from keras_dinolm.recipes.registry import register
from keras_dinolm.views import TextViews
from keras_dinolm.views import ViewGroup


@register
def crop_info_nce(
    tokenizer: DinoLMTokenizer,
    size: str = "nano",
    sequence_length: int = 64,
    span: tuple[float, float] = (0.2, 0.4),
    temperature: float = 0.05,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
) -> list[Phase]:
    """Two short spans of a text are told from those of other texts.

    The simplest contrastive recipe: cheap steps, and features of texts that
    are good for search early on. Its features of tokens are weak. The student
    is kept.

    `python benchmarks/quality.py --size mini --minutes 20 --methods
    crop_info_nce`: 66.2 on average over nine tasks (tensorflow, one core,
    three seeds).

    Args:
        tokenizer: `DinoLMTokenizer`.
        size: string, one of `kd.models.SIZES`.
        sequence_length: int. Longest window that spans are cut from, `[CLS]`
            included.
        span: pair of floats. Length of the spans, as shares of a window.
        temperature: float. Of InfoNCE.
        batch_size: int. Texts in a batch.
        learning_rate: float. The highest.

    Returns:
        A list of one `Phase`.

    Example:

    ```python
    import keras_dinolm as kd

    tokenizer = kd.data.train_tokenizer(["a cat", "a mat"] * 9, 60)
    phase, = kd.recipes.crop_info_nce(tokenizer, size="nano")
    ```
    """
    # At this place, they are the arguments.
    parts.check_options(locals())
    views = TextViews(
        tokenizer, sequence_length, groups=[ViewGroup("local", 2, span)]
    )

    def backbone(before, tokens):
        return parts.encoder(
            size, tokenizer, pooled_layers=parts.FIRST_AND_LAST
        )

    def model(backbone, steps):
        return parts.compiled(
            backbone, [o.InfoNCE(temperature)], views, steps, learning_rate
        )

    return [
        Phase(
            "crops",
            views,
            batch_size,
            backbone,
            model,
            keep="student",
            pooled_layers=parts.EMBEDDINGS,
        )
    ]
