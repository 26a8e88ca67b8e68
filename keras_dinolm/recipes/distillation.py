"""A smaller student learns from a teacher that was trained before."""

import json
import os
import pathlib
from typing import Any

from keras_dinolm import arguments
from keras_dinolm import objectives as o
from keras_dinolm.models import DinoLM
from keras_dinolm.models import DinoLMBackbone
from keras_dinolm.models import DinoLMTokenizer
from keras_dinolm.recipes import parts
from keras_dinolm.recipes.phase import Phase
from keras_dinolm.recipes.registry import register
from keras_dinolm.views import TextViews
from keras_dinolm.views import ViewGroup


def preset_of(teacher: str | os.PathLike) -> pathlib.Path:
    """The preset folder of a run, or the folder itself if it is one.

    Args:
        teacher: path of a run's folder or of a preset.

    Returns:
        A path.

    Raises:
        FileNotFoundError: if there is no preset.
    """
    arguments.path("teacher", teacher)
    for folder in (pathlib.Path(teacher), pathlib.Path(teacher, "preset")):
        if (folder / "config.json").is_file():
            return folder
    raise FileNotFoundError(
        f"There is no preset in '{teacher}', nor in its folder 'preset'. Give "
        "the folder that `kd.recipes.pretrain` trained a teacher in, or a "
        "preset that `DinoLM.export_preset(..., heads=True)` wrote."
    )


def tokenizer_of(teacher: str | os.PathLike, **options: Any) -> DinoLMTokenizer:
    """The tokenizer of a teacher, which its student must share.

    Args:
        teacher: path of a run's folder or of a preset.
        **options: the other options of the recipe, which do not matter here.

    Returns:
        A `DinoLMTokenizer`.
    """
    return DinoLMTokenizer.from_preset(str(preset_of(teacher)))


@register(tokenizer=tokenizer_of)
def distillation(
    tokenizer: DinoLMTokenizer,
    size: str = "nano",
    sequence_length: int = 64,
    *,
    teacher: str | os.PathLike,
    span: tuple[float, float] = (0.2, 0.4),
    temperature: float = 0.05,
    batch_size: int = 64,
    learning_rate: float = 2e-3,
) -> list[Phase]:
    """A smaller student learns from a teacher that was trained before.

    The teacher reads whole windows, the student short spans of them. The
    student learns which texts the teacher finds alike (SEED) and, where the
    teacher has a head for texts (as `dino` leaves it), its assignments to
    prototypes (DINO); InfoNCE beside them tells texts apart. The student is
    kept.

    `python examples/distill.py`: over three seeds of 600 steps, a `tiny`
    student of a `mini` teacher had nDCG@10 17.9, the same student without a
    teacher 15.4 (tensorflow, `sequence_length=32`).

    Args:
        tokenizer: `DinoLMTokenizer`, that of the teacher. `pretrain` takes it
            from there.
        size: string, one of `kd.models.SIZES`. Of the student.
        sequence_length: int. Longest view, `[CLS]` included.
        teacher: path of the run's folder (or of the preset with heads) of
            the teacher.
        span: pair of floats. Length of the student's spans, as shares of a
            window.
        temperature: float. Of InfoNCE.
        batch_size: int. Texts in a batch.
        learning_rate: float. The highest.

    Returns:
        A list of one `Phase`.

    Raises:
        FileNotFoundError: if there is no preset of a teacher.

    Example:

    ```python
    import keras_dinolm as kd

    tokenizer = kd.data.train_tokenizer(["a cat", "a mat"] * 9, 60)
    backbone = kd.models.DinoLMBackbone(
        tokenizer.vocabulary_size(), 2, 2, 32, 64
    )
    kd.models.DinoLM(backbone, num_prototypes=16).export_preset(
        "teacher", tokenizer, heads=True
    )
    phase, = kd.recipes.distillation(tokenizer, teacher="teacher")
    ```

    References:
        - [SEED](https://arxiv.org/abs/2101.04731)
        - [DINO](https://arxiv.org/abs/2104.14294)
    """
    # At this place, they are the arguments.
    parts.check_options(locals())
    arguments.path("teacher", teacher)
    preset = preset_of(teacher)
    views = TextViews(
        tokenizer,
        sequence_length,
        groups=[
            ViewGroup("global", 1, span=(0.8, 1.0), roles=("teacher",)),
            ViewGroup("local", 2, span, roles=("student",)),
        ],
    )

    def backbone(before, tokens):
        return parts.encoder(size, tokenizer)

    def model(backbone, steps):
        trained = load_teacher(preset)
        objectives = [o.InfoNCE(temperature), o.SimilarityDistillation()]
        if "sequence" in heads_of(preset):
            objectives.append(o.SequenceDistillation())
        return parts.compiled(
            backbone, objectives, views, steps, learning_rate, teacher=trained
        )

    return [Phase("student", views, batch_size, backbone, model)]


def load_teacher(preset: pathlib.Path) -> DinoLM:
    """A trained `DinoLM`, with the heads that its preset has.

    Args:
        preset: path of a preset.

    Returns:
        A `DinoLM`.
    """
    heads = set(heads_of(preset))
    readers = [o.SequenceDistillation(), o.TokenDistillation()]
    objectives = [x for x in readers if set(x.heads) <= heads]
    if objectives:
        return DinoLM.from_preset(preset, objectives)
    # Without heads its features can be compared, but no prototypes.
    backbone = DinoLMBackbone.from_preset(preset)
    return DinoLM(backbone, [o.SimilarityDistillation()])


def heads_of(preset: pathlib.Path) -> list[str]:
    """The names of the heads that a preset was exported with.

    Args:
        preset: path of a preset.

    Returns:
        A list of strings; empty for an encoder alone.
    """
    path = preset / "heads.json"
    if not path.is_file():
        return []
    return json.loads(path.read_text(encoding="utf-8"))["heads"]
