"""The usual way to learn: one student, its teacher, objectives."""

from typing import Any

import keras
import keras_hub

from keras_dinolm import arguments
from keras_dinolm.models.distillation.checks import check_encoder
from keras_dinolm.models.distillation.deserialized import deserialized_list
from keras_dinolm.models.distillation.distillation import Distillation
from keras_dinolm.models.distillation.lesson import Lesson
from keras_dinolm.models.distillation.tower import Tower
from keras_dinolm.models.presets.load_preset import check_loaded
from keras_dinolm.models.presets.load_preset import checked_options
from keras_dinolm.models.presets.preset_heads import load_heads
from keras_dinolm.models.presets.preset_heads import read_head_sizes
from keras_dinolm.objectives import Objective
from keras_dinolm.typing import Path


@keras.saving.register_keras_serializable(package="keras_dinolm")
class DinoLM(Distillation):
    """Learns a text encoder without labels, by self-distillation.

    A *student* reads several views of each text, some with tokens masked. A
    *teacher*, the moving average of the student, reads some of them whole.
    Objectives compare the two; only the student gets gradients. Train with
    `fit` on a `keras_dinolm.data.view_dataset`; what comes out is the
    teacher's encoder.

    With `teacher=`, the student learns from a network that was trained before
    and never moves, usually a larger one; what comes out is then the student.

    This is a `Distillation` of a single `Lesson`, which is also the way to
    train several students of one teacher, or one student of several.

    Args:
        backbone: `DinoLMBackbone`, a supported keras-hub text backbone, or a
            `TextEncoder`. It becomes the student's.
        objectives: list of `keras_dinolm.objectives.Objective`. Defaults to
            `SequenceDistillation`, `TokenDistillation`, `KoLeo` and `InfoNCE`
            at their default weights.
        pooling: as for `Lesson`.
        num_prototypes: as for `Lesson`.
        head_hidden_dim: as for `Lesson`.
        bottleneck_dim: as for `Lesson`.
        momentum: as for `Lesson`.
        roles: as for `Distillation`.
        max_skipped_steps: as for `Distillation`.
        teacher: as for `Lesson`.
        mask_student: as for `Lesson`.
        group_starts: as for `Distillation`.
        lora_rank: as for `Lesson`.
        **kwargs: as for `keras.Model`.

    Raises:
        ValueError: as for `Lesson` and `Distillation`.

    Example:

    ```python
    import keras_dinolm as kd

    backbone = kd.models.DinoLMBackbone.from_size("nano", 1_000)
    model = kd.models.DinoLM(backbone, num_prototypes=256)
    model.compile(optimizer=kd.optimizers.adamw(1e-3, schedule="constant"))
    ```

    A smaller student of that model, once it is trained:

    ```python
    backbone = kd.models.DinoLMBackbone(
        1_000, num_layers=1, num_heads=2, hidden_dim=32, intermediate_dim=64
    )
    small = kd.models.DinoLM(
        backbone,
        [
            kd.objectives.SequenceDistillation(),
            kd.objectives.TokenDistillation(),
        ],
        teacher=model,
    )
    ```

    References:
        - [DINO](https://arxiv.org/abs/2104.14294)
        - [iBOT](https://arxiv.org/abs/2111.07832)
        - [DINOv2](https://arxiv.org/abs/2304.07193)
    """

    def __init__(
        self,
        backbone: Any,
        objectives: list[Objective] | None = None,
        pooling: str | None = None,
        num_prototypes: int | None = None,
        head_hidden_dim: int | None = None,
        bottleneck_dim: int | None = None,
        momentum: Any = None,
        roles: dict[str, tuple] | None = None,
        max_skipped_steps: int = 20,
        teacher: Any = None,
        mask_student: bool | None = None,
        group_starts: dict[str, int] | None = None,
        lora_rank: int | None = None,
        **kwargs: Any,
    ) -> None:
        check_encoder("backbone", backbone)
        lesson = Lesson(
            backbone,
            objectives,
            teacher=teacher,
            pooling=pooling,
            num_prototypes=num_prototypes,
            head_hidden_dim=head_hidden_dim,
            bottleneck_dim=bottleneck_dim,
            momentum=momentum,
            mask_student=mask_student,
            lora_rank=lora_rank,
        )
        super().__init__(
            [lesson],
            roles=roles,
            group_starts=group_starts,
            max_skipped_steps=max_skipped_steps,
            **kwargs,
        )

    # Found through the lesson, which holds and saves them.

    @property
    def lesson(self) -> Lesson:
        """The single lesson."""
        return self.learners()[0].lessons["lesson"]

    @property
    def student(self) -> Tower:
        """The student's encoder and heads."""
        return self.lesson.student

    @property
    def teacher(self) -> Tower:
        """The teacher's encoder and heads."""
        return self.lesson.teacher

    @property
    def objectives(self) -> list[Objective]:
        """What the student learns from."""
        return self.lesson.objectives.values()

    @property
    def updates(self) -> keras.Variable:
        """The optimizer updates done."""
        return self.learners()[0].updates

    @property
    def num_prototypes(self) -> int:
        """K, of each head."""
        return self.lesson.num_prototypes

    def reset_teacher(self) -> None:
        """Makes the teacher an exact copy of the student.

        Raises:
            ValueError: if the teacher is fixed.
        """
        self.lesson.reset_teacher()

    @classmethod
    def from_preset(
        cls,
        preset: Path,
        objectives: list[Objective] | None = None,
        **kwargs: Any,
    ) -> "DinoLM":
        """Continues from a preset that was exported with its heads.

        The student, and a teacher that follows it, start as the network that
        was exported. New heads on a trained encoder can ruin it in the first
        large steps.

        Args:
            preset: string or path of a local preset, written by
                `export_preset(..., heads=True)`.
            objectives: as for `DinoLM`.
            **kwargs: as for `DinoLM`, without `num_prototypes`,
                `head_hidden_dim` and `bottleneck_dim`, which the heads give.

        Returns:
            A `DinoLM`.

        Raises:
            FileNotFoundError: if the preset is not whole or has no heads.
        """
        options = checked_options(preset, {})
        sizes = read_head_sizes(preset)
        backbone = keras_hub.models.Backbone.from_preset(str(preset), **options)
        check_loaded(preset, backbone)
        model = cls(backbone, objectives, **sizes, **kwargs)
        load_heads(model.student, preset)
        if not model.lesson.teacher_is_fixed:
            model.reset_teacher()
        return model

    def get_config(self) -> dict:
        serialize = keras.saving.serialize_keras_object
        lesson = self.lesson.get_config()
        del lesson["name"], lesson["weight"]
        config = super().get_config()
        for name in ("encoders", "teachers", "lessons"):
            del config[name]
        return {
            **config,
            **lesson,
            "backbone": serialize(self.lesson.encoder),
            "teacher": serialize(self.teacher)
            if self.lesson.teacher_is_fixed
            else None,
        }

    @classmethod
    def from_config(cls, config: dict) -> "DinoLM":
        config = dict(config)
        deserialize = keras.saving.deserialize_keras_object
        for name in ("backbone", "teacher", "momentum"):
            config[name] = deserialize(arguments.field(config, name, cls))
        config["objectives"] = deserialized_list(config, "objectives", cls)
        return cls(**config)
