"""The second phase of training: the same model on longer texts."""

import dataclasses
import math

import keras
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.models.distillation.dino_lm import DinoLM
from keras_dinolm.models.encoder.extend_context import ROPE
from keras_dinolm.models.encoder.extend_context import extend_context
from keras_dinolm.objectives import GramAnchoring
from keras_dinolm.schedules import Schedule
from keras_dinolm.schedules import value_at
from keras_dinolm.schedules.values import checked_value
from keras_dinolm.views import TextViews
from keras_dinolm.views import ViewGroup
from keras_dinolm.views.settings import last
from keras_dinolm.views.spans import UNIT

_FIXED_TEACHER_MOMENTUM = 0.999


class LongContextAdaptation:
    """Continues a trained model on longer texts, and keeps short ones good.

    Training at full length from the start is expensive and unnecessary. A
    model is trained on short windows, then for a short while at 2 to 8 times
    their length, as DINOv3 adapts to high resolution at the end. This makes
    the views and the model of that second phase:

    - Views that the teacher reads have any length from that of the first
      phase to the new one; `buckets` adds shorter documents in batches of
      their own width.
    - A further group, `"short"`, has spans as long as the windows of the
      first phase. On it, Gram anchoring holds the similarities between tokens
      where the model had them before.
    - Rotary positions are rescaled by `extend_context`, and optionally
      jittered.
    - Student and teacher both start as the encoder and the heads that came
      out of the first phase, with the objectives that act at its end and
      their state. What followed a schedule keeps its last value.

    Train with a low rate and a warm-up (a tenth of the first phase's rate, a
    few hundred to a few thousand updates); the model is not compiled yet.

    Args:
        model: `DinoLM`, trained, of a `DinoLMBackbone`.
        views: `TextViews` that it was trained on.
        factor: int, at least 2. How many times as long the windows become.
        rope: as for `extend_context`.
        position_jitter: as for `extend_context`.
        gram_weight: float or schedule. Of the Gram anchoring; 0 for none.
        momentum: float or schedule of the teacher. `None`: as it was at the
            end of the first phase; 0.999 where the teacher was fixed.

    Attributes:
        views: `TextViews` of the longer windows.
        model: `DinoLM`.
        buckets: list of int, for `view_dataset`: widths of windows, from the
            old one by doublings to the new one.

    Raises:
        ValueError: if an argument is out of range, `views` are not those of
            the model, or none of its objectives acts.

    Example:

    ```python
    import keras_dinolm as kd

    texts = [f"text {i} of a small corpus. " * (i % 9 + 1) for i in range(99)]
    tokenizer = kd.data.train_tokenizer(texts, vocabulary_size=80)
    tokens = kd.data.tokenize(texts, tokenizer, "tokens/")
    views = kd.views.TextViews(tokenizer, sequence_length=16)
    backbone = kd.models.DinoLMBackbone.from_size(
        "nano", tokenizer.vocabulary_size()
    )
    model = kd.models.DinoLM(backbone, num_prototypes=64)
    # ... trained by now.

    adaptation = kd.recipes.LongContextAdaptation(model, views, factor=4)
    dataset = kd.data.view_dataset(
        tokens, adaptation.views, batch_size=8, buckets=adaptation.buckets
    )
    adaptation.model.compile(
        kd.optimizers.adamw(1e-4, warmup_steps=100, total_steps=1_000)
    )
    # adaptation.model.fit(dataset, steps_per_epoch=1_000)
    adaptation.model.export_preset(
        "long", tokenizer, sequence_length=adaptation.views.sequence_length
    )
    ```

    References:
        - [DINOv3](https://arxiv.org/abs/2508.10104) (adaptation to high
          resolution with Gram anchoring)
        - [Position Interpolation](https://arxiv.org/abs/2306.15595)
        - [YaRN](https://arxiv.org/abs/2309.00071)
    """

    def __init__(
        self,
        model: DinoLM,
        views: TextViews,
        factor: int = 4,
        rope: str = "ntk",
        position_jitter: float | None = None,
        gram_weight: float | Schedule = 2.0,
        momentum: float | Schedule | None = None,
    ):
        factor = arguments.count(
            "factor", factor, 2, meaning="how many times as long windows become"
        )
        arguments.choice("rope", rope, ROPE)
        if position_jitter is not None:
            arguments.number("position_jitter", position_jitter, 1)
        gram_weight = checked_value("gram_weight", gram_weight, low=0)
        if momentum is not None:
            momentum = checked_value("momentum", momentum, low=0, high=1)
        arguments.instance("model", model, DinoLM, "a `DinoLM`")
        arguments.instance("views", views, TextViews, "a `TextViews`")
        if views.roles != model.roles:
            raise ValueError(
                "`views` must be those that the model was trained on. "
                f"Received: views.roles={views.roles}, "
                f"model.roles={model.roles}"
            )
        self.views = _longer_views(views, factor)
        self.buckets = _buckets(views.sequence_length, factor)
        tower = model.learned()
        self.model = _continued(
            model,
            extend_context(
                tower.encoder.backbone, factor, rope, position_jitter
            ),
            GramAnchoring(teacher=tower.encoder, weight=gram_weight),
            self.views.roles,
            momentum,
        )


# === Views ===


def _longer_views(views, factor):
    length = factor * views.sequence_length
    # Rounded down, so that no span is longer than the old windows.
    share = (views.sequence_length - 1) / (length - 1)
    share = max(math.floor(share * UNIT), 1) / UNIT
    groups = []
    for group in views.groups:
        if "gram" in group.roles:
            continue
        settings = {
            field.name: _last(getattr(group, field.name))
            for field in dataclasses.fields(group)
        }
        if "teacher" in group.roles:
            low, high = settings["span"]
            settings["span"] = (max(low / factor, 1 / UNIT), high)
        groups.append(ViewGroup(**settings))
    groups.append(ViewGroup("short", 1, share, roles=("student", "gram")))
    return TextViews(views.special_tokens, length, groups, **views.tables)


def _last(value):
    """The last value of a setting that may follow a schedule."""
    return tuple(map(last, value)) if isinstance(value, tuple) else last(value)


def _buckets(length, factor):
    """Widths of windows; [CLS] takes one place of a sequence."""
    doublings = math.ceil(math.log2(factor))
    factors = [*(2**i for i in range(doublings)), factor]
    return [length * f - 1 for f in factors]


# === Model ===


def _continued(model, backbone, anchoring, roles, momentum):
    """A model that continues where another is, with another backbone."""
    lesson = model.lesson
    update = int(ops.convert_to_numpy(model.updates))
    acting = [
        objective
        for objective in model.objectives
        if objective.acts_at(update)
        and not isinstance(objective, GramAnchoring)
    ]
    if not acting:
        raise ValueError(
            "None of the model's objectives acts at its optimizer update "
            f"{update}, so there is nothing to continue with. Received: "
            f"objectives {[o.name for o in model.objectives]}"
        )
    if momentum is None:
        momentum = _FIXED_TEACHER_MOMENTUM
        if not lesson.teacher_is_fixed:
            momentum = float(value_at(lesson.momentum, update))
    new = DinoLM(
        backbone,
        [*(_settled(objective, update) for objective in acting), anchoring],
        num_prototypes=model.num_prototypes,
        head_hidden_dim=lesson.head_hidden_dim,
        bottleneck_dim=lesson.bottleneck_dim,
        momentum=momentum,
        roles=roles,
        max_skipped_steps=model.max_skipped_steps,
        mask_student=None if lesson.teacher_is_fixed else lesson.mask_student,
    )
    learned = model.learned()
    for head in new.student.heads:
        for part, source in (
            (new.student.projection(head), learned.projection(head)),
            (new.student.prototypes(head), learned.prototypes(head)),
        ):
            part.set_weights(source.get_weights())
    new.reset_teacher()
    for objective, source in zip(new.objectives, acting):
        state = source.get_weights()
        # A codebook of a fixed teacher of another width starts from scratch.
        if [w.shape for w in state] == [w.shape for w in objective.weights]:
            objective.set_weights(state)
    return new


def _settled(objective, update):
    """A copy that acts from the start, with what its schedules had reached."""
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(objective)
    )
    copy.start, copy.stop = 0, None
    for name, value in list(vars(copy).items()):
        if isinstance(value, Schedule):
            setattr(copy, name, float(value_at(value, update)))
    return copy
