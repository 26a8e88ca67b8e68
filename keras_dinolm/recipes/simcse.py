"""SimCSE: the same text twice, with different dropout."""

from keras_dinolm import arguments
from keras_dinolm import objectives as o
from keras_dinolm.models import DinoLMTokenizer
from keras_dinolm.recipes import parts
from keras_dinolm.recipes.phase import Phase
from keras_dinolm.recipes.registry import register
from keras_dinolm.views import TextViews
from keras_dinolm.views import ViewGroup


@register
def simcse(
    tokenizer: DinoLMTokenizer,
    size: str = "nano",
    sequence_length: int = 32,
    dropout: float = 0.1,
    temperature: float = 0.05,
    batch_size: int = 64,
    learning_rate: float = 5e-4,
) -> list[Phase]:
    """The same text, read twice with different dropout, is one of a kind.

    A well-known way to tune an encoder that is already trained. From random
    weights it learns little, so it serves as a rival here. The student is
    kept.

    `python benchmarks/quality.py --size mini --minutes 20 --methods simcse`:
    63.0 on average over nine tasks, as untrained embeddings have (tensorflow,
    one core, three seeds, `sequence_length=32`).

    Args:
        tokenizer: `DinoLMTokenizer`.
        size: string, one of `kd.models.SIZES`.
        sequence_length: int. Longest view, `[CLS]` included.
        dropout: float in (0, 1). Of the encoder, what makes two views differ.
        temperature: float. Of InfoNCE.
        batch_size: int. Texts in a batch.
        learning_rate: float. The highest.

    Returns:
        A list of one `Phase`.

    Raises:
        ValueError: for a dropout of 0, which leaves both views equal.

    Example:

    ```python
    import keras_dinolm as kd

    tokenizer = kd.data.train_tokenizer(["a cat", "a mat"] * 9, 60)
    phase, = kd.recipes.simcse(tokenizer, size="nano")
    ```

    References:
        - [SimCSE](https://arxiv.org/abs/2104.08821)
    """
    # At this place, they are the arguments.
    parts.check_options(locals())
    arguments.number(
        "dropout",
        dropout,
        above=0,
        below=1,
        meaning="it alone makes the two views differ",
    )
    views = TextViews(
        tokenizer, sequence_length, groups=[ViewGroup("local", 2)]
    )

    def backbone(before, tokens):
        return parts.encoder(
            size,
            tokenizer,
            pooled_layers=parts.FIRST_AND_LAST,
            dropout=dropout,
        )

    def model(backbone, steps):
        return parts.compiled(
            backbone, [o.InfoNCE(temperature)], views, steps, learning_rate
        )

    return [
        Phase(
            "dropout",
            views,
            batch_size,
            backbone,
            model,
            keep="student",
            pooled_layers=parts.EMBEDDINGS,
        )
    ]
