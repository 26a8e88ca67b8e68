"""DINO and iBOT: a student learns from its own moving average."""

from keras_dinolm import objectives as o
from keras_dinolm import schedules
from keras_dinolm.models import DinoLMTokenizer
from keras_dinolm.recipes import parts
from keras_dinolm.recipes.phase import Phase
from keras_dinolm.recipes.registry import register
from keras_dinolm.views import TextViews
from keras_dinolm.views import ViewGroup


@register
def dino(
    tokenizer: DinoLMTokenizer,
    size: str = "nano",
    sequence_length: int = 64,
    num_prototypes: int = 512,
    num_local: int = 4,
    span: tuple[float, float] = (0.2, 0.4),
    info_nce_weight: float = 1.0,
    batch_size: int = 64,
    learning_rate: float = 2e-3,
    momentum: tuple[float, float] = (0.98, 0.998),
) -> list[Phase]:
    """Self-distillation from a moving average, with InfoNCE beside it.

    The objectives that `DinoLM` has by default: the student's short spans
    learn the teacher's assignment of long ones to prototypes (DINO), its
    masked tokens that of the same tokens seen whole (iBOT), KoLeo spreads the
    features, and InfoNCE gets them off the ground. Meant for longer training
    than minutes on a CPU: there `bag_then_blocks` is far ahead. The teacher
    is kept, heads included.

    Rates, momentum and weights are those of the first example of this
    library, which trained `nano` for 4 minutes without InfoNCE (657 steps on
    two cores, jax): nDCG@10 14.5, where `crop_info_nce` had 42.5. The
    settings were not tuned for long runs.

    Args:
        tokenizer: `DinoLMTokenizer`.
        size: string, one of `kd.models.SIZES`.
        sequence_length: int. Longest view, `[CLS]` included.
        num_prototypes: int. K, for each head.
        num_local: int. Short spans of each text.
        span: pair of floats. Their length, as shares of a window.
        info_nce_weight: float, at least 0; 0 trains without InfoNCE.
        batch_size: int. Texts in a batch.
        learning_rate: float. The highest.
        momentum: pair of floats. Of the teacher, first and last.

    Returns:
        A list of one `Phase`.

    Example:

    ```python
    import keras_dinolm as kd

    tokenizer = kd.data.train_tokenizer(["a cat", "a mat"] * 9, 60)
    phase, = kd.recipes.dino(tokenizer, size="nano", num_prototypes=64)
    ```

    References:
        - [DINO](https://arxiv.org/abs/2104.14294)
        - [iBOT](https://arxiv.org/abs/2111.07832)
        - [DINOv2](https://arxiv.org/abs/2304.07193)
    """
    # At this place, they are the arguments.
    parts.check_options(locals())
    long = ViewGroup(
        "global",
        2,
        span=(0.8, 1.0),
        mask_probability=0.5,
        mask_ratio=(0.1, 0.5),
    )
    short = ViewGroup("local", num_local, span, roles=("student",))
    views = TextViews(tokenizer, sequence_length, groups=[long, short])

    def backbone(before, tokens):
        return parts.encoder(size, tokenizer)

    def model(backbone, steps):
        temperature = schedules.Linear(0.04, 0.07, max(steps // 5, 1))
        objectives = [
            o.SequenceDistillation(teacher_temperature=temperature, weight=0.5),
            o.TokenDistillation(teacher_temperature=temperature, weight=0.5),
            o.KoLeo(0.1),
        ]
        if info_nce_weight:
            objectives.append(o.InfoNCE(weight=info_nce_weight))
        return parts.compiled(
            backbone,
            objectives,
            views,
            steps,
            learning_rate,
            momentum,
            num_prototypes=num_prototypes,
        )

    return [Phase("distillation", views, batch_size, backbone, model)]
