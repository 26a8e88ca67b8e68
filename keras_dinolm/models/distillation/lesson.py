"""A lesson: a student learns from a teacher by objectives."""

import contextlib
from typing import Any

import keras
from keras import ops

from keras_dinolm import arguments
from keras_dinolm import objectives as objectives_room
from keras_dinolm.layers.poolers import POOLERS
from keras_dinolm.layers.prototypes import FEW_PROTOTYPES
from keras_dinolm.models.distillation.checks import check_config
from keras_dinolm.models.distillation.checks import check_encoder
from keras_dinolm.models.distillation.checks import check_objectives
from keras_dinolm.models.distillation.checks import check_reads
from keras_dinolm.models.distillation.checks import check_result
from keras_dinolm.models.distillation.checks import check_shares_prototypes
from keras_dinolm.models.distillation.checks import check_teacher
from keras_dinolm.models.distillation.deserialized import deserialized_list
from keras_dinolm.models.distillation.named_layers import NamedLayers
from keras_dinolm.models.distillation.step_mean import StepMean
from keras_dinolm.models.distillation.tower import Tower
from keras_dinolm.models.encoder.lora import enable_lora
from keras_dinolm.models.encoder.lora import merged_values
from keras_dinolm.models.encoder.text_encoder import TextEncoder
from keras_dinolm.objectives import Features
from keras_dinolm.objectives import Objective
from keras_dinolm.objectives.features import FeaturesByGroup
from keras_dinolm.schedules import Cosine
from keras_dinolm.schedules import value_at
from keras_dinolm.schedules.values import checked_value
from keras_dinolm.training import move_average
from keras_dinolm.typing import Tensor


class Lesson(keras.layers.Layer):
    """Who learns what from whom: a student, a teacher, and objectives.

    A `Distillation` is made of lessons. Several students of one teacher are
    a lesson each; several teachers of one student are a lesson each, too,
    with the same `TextEncoder` object as the student. `DinoLM` is a single
    lesson.

    The teacher is the moving average of the student, or a network that was
    trained before and never moves. A fixed teacher has its own width and
    depth: the two meet at the prototypes, of which the student's heads have
    as many.

    Args:
        student: `DinoLMBackbone`, a supported keras-hub text backbone, or a
            `TextEncoder`. Lessons with the same `TextEncoder` object teach
            one student.
        objectives: list of `keras_dinolm.objectives.Objective`. Defaults to
            `SequenceDistillation`, `TokenDistillation`, `KoLeo` and `InfoNCE`
            at their default weights.
        teacher: a trained `DinoLM` or one of its towers; without heads, a
            `FixedTeacher` or a `CachedTeacher`. It is copied, heads included,
            once for all lessons that are given the same object. `None` makes
            the teacher from the student.
        weight: float. How much the lesson counts in the weighted mean of the
            losses of its student's lessons. Above 0.
        pooling: how a keras-hub backbone's sequence feature is made:
            `"mean"` (also `None`) or `"cls"`. A `DinoLMBackbone` brings its
            own pooler; leave `None`.
        num_prototypes: int, at least 2. K, for each head. Defaults to that of
            a fixed teacher, else to 1024.
        head_hidden_dim: int. Width of the heads' hidden layers. Defaults to 4
            times the encoder's width, at most 2048.
        bottleneck_dim: int. Width of the feature compared with the
            prototypes. Defaults to the encoder's width, at most 256.
        momentum: float or schedule of the optimizer update. Of the teacher's
            moving average. Defaults to a cosine from 0.99 to 0.9995 over
            20,000 updates; a fixed teacher has none.
        mask_student: boolean. Whether the student reads masked views where
            there are some. `None`: unless the teacher is fixed. Where the
            student reads whole views, masks only choose the tokens that
            `TokenDistillation` compares.
        lora_rank: int or `None`. With a rank, the encoder is frozen and
            learns by low-rank updates of its attention.
        name: string. What its metrics begin with where there are several
            lessons.

    Raises:
        ValueError: for fewer than two prototypes, objectives of one name or
            of another model, a weight that is not above 0, a `pooling` beside
            a `TextEncoder`, or a `teacher` that lacks a head, has another
            number of prototypes or another vocabulary.

    Example:

    ```python
    import keras_dinolm as kd

    def backbone(width):
        return kd.models.DinoLMBackbone(
            1_000, num_layers=1, num_heads=2, hidden_dim=width,
            intermediate_dim=2 * width,
        )

    trained = kd.models.DinoLM(backbone(64), num_prototypes=128)
    lesson = kd.models.Lesson(
        backbone(32),
        [kd.objectives.SequenceDistillation()],
        teacher=trained,
        name="slim",
    )
    ```
    """

    def __init__(
        self,
        student: Any,
        objectives: list[Objective] | None = None,
        teacher: Any = None,
        weight: float = 1.0,
        pooling: str | None = None,
        num_prototypes: int | None = None,
        head_hidden_dim: int | None = None,
        bottleneck_dim: int | None = None,
        momentum: Any = None,
        mask_student: bool | None = None,
        lora_rank: int | None = None,
        name: str = "lesson",
    ) -> None:
        super().__init__(name=arguments.string("name", name))
        check_encoder("student", student)
        if pooling is not None:
            arguments.choice("pooling", pooling, POOLERS)
        weight = arguments.number(
            "weight",
            weight,
            above=0,
            meaning="leave a lesson out that should not count",
        )
        if teacher is not None:
            check_teacher(teacher)
        if num_prototypes is not None:
            num_prototypes = arguments.count(
                "num_prototypes", num_prototypes, 2, meaning=FEW_PROTOTYPES
            )
        if head_hidden_dim is not None:
            head_hidden_dim = arguments.count(
                "head_hidden_dim", head_hidden_dim
            )
        if bottleneck_dim is not None:
            bottleneck_dim = arguments.count("bottleneck_dim", bottleneck_dim)
        if lora_rank is not None:
            lora_rank = arguments.count("lora_rank", lora_rank)
        if momentum is not None:
            momentum = checked_value("momentum", momentum, low=0, high=1)
        if mask_student is not None:
            mask_student = arguments.flag("mask_student", mask_student)
        if not isinstance(student, TextEncoder):
            student = TextEncoder(student, pooling=pooling, name="encoder")
        elif pooling not in (None, student.pooling):
            raise ValueError(
                "A `TextEncoder` pools by itself: leave `pooling=None` here "
                "and pass it to the encoder. Received: "
                f"pooling={pooling!r}, student.pooling={student.pooling!r}"
            )
        self.teacher_is_fixed = teacher is not None
        if self.teacher_is_fixed and momentum is not None:
            raise ValueError(
                "A fixed `teacher` does not move: leave `momentum=None`. "
                f"Received: momentum={momentum}"
            )
        if not self.teacher_is_fixed and momentum is None:
            momentum = Cosine(0.99, 0.9995, steps=20_000)
        if objectives is None:
            objectives = [
                objectives_room.SequenceDistillation(),
                objectives_room.TokenDistillation(),
                objectives_room.KoLeo(),
                objectives_room.InfoNCE(),
            ]
        self.mask_student = (
            not self.teacher_is_fixed if mask_student is None else mask_student
        )
        check_objectives(objectives, self.mask_student)
        self.encoder = student
        self.weight = weight
        self.momentum = momentum
        self.lora_rank = lora_rank
        width = student.hidden_dim
        self.num_prototypes = num_prototypes
        self.head_hidden_dim = head_hidden_dim or min(4 * width, 2048)
        self.bottleneck_dim = bottleneck_dim or min(width, 256)
        # A function, so that Keras does not save what is only copied.
        self.given_teacher = lambda: teacher
        self.objectives = NamedLayers(
            {objective.name: objective for objective in objectives},
            what="objectives",
        )

    def build_for(
        self, roles: dict[str, tuple], teacher: Tower | None, scope: str | None
    ) -> None:
        """Creates the networks and the state of the objectives.

        Args:
            roles: dict of view group to its roles.
            teacher: the frozen `Tower` of a fixed teacher, else `None`.
            scope: string, what the paths of variables begin with, or `None`.

        Raises:
            ValueError: if the lesson belongs to another model already.
        """
        if getattr(self, "student", None) is not None:
            raise ValueError(
                f"The lesson {self.name!r} belongs to another model already. "
                "Make a new one for each."
            )
        self.roles = roles
        if self.num_prototypes is None:
            self.num_prototypes = getattr(teacher, "num_prototypes", None)
            self.num_prototypes = self.num_prototypes or 1024
        objectives = self.objectives.values()
        towers = {
            "heads": tuple(
                # Sorted as the objectives are, see `NamedLayers`.
                sorted({h for o in objectives for h in o.heads})
            ),
            "num_prototypes": self.num_prototypes,
            "head_hidden_dim": self.head_hidden_dim,
            "bottleneck_dim": self.bottleneck_dim,
        }
        with _scope(scope):
            self.student = Tower(self.encoder, **towers, name="student")
            if teacher is None:
                copy = self.encoder.clone()
                self.teacher = Tower(copy, **towers, name="teacher")
                self.teacher.freeze()
            else:
                check_shares_prototypes(teacher, self.student)
                self.teacher = teacher
            if self.lora_rank is not None and not _has_lora(self.encoder):
                enable_lora(self.encoder, self.lora_rank)
            if teacher is None:
                self.reset_teacher()
            # What was copied need not stay in memory.
            self.given_teacher = lambda: None
            for objective in objectives:
                objective.check_is_free()
                # Optimizers tell its parts from the encoder's by their paths.
                with (
                    keras.name_scope("objectives"),
                    keras.name_scope(objective.name),
                ):
                    objective.build_for(self)
                check_reads(objective, roles)
                objective.claim()
        self.loss = StepMean(name="loss")
        self.trackers = {
            name: StepMean(name=name)
            for objective in objectives
            for name in objective.metric_names()
        }
        self.built = True

    # Keras would save a property as one more layer.
    def learned(self) -> Tower:
        """The network that training is for: the teacher, unless it is fixed.

        Returns:
            A `Tower`. Its `encoder` is what is exported.
        """
        return self.student if self.teacher_is_fixed else self.teacher

    # === What is computed ===

    def evaluate_objectives(
        self,
        batch: dict,
        student: dict,
        teacher: dict,
        update: Tensor,
        active: list[Objective],
    ) -> tuple[Tensor, dict]:
        """The weighted loss, and everything that `after_step` wants to see.

        Args:
            batch: dict of view group to its arrays.
            student: dict of view group to the student's features.
            teacher: the same for the teacher.
            update: scalar tensor, the optimizer updates done.
            active: list of the objectives that act.

        Returns:
            `(loss, aux)`: a float32 scalar, and a dict of arrays.
        """
        features = Features(
            batch=batch,
            student=FeaturesByGroup("student", student),
            teacher=FeaturesByGroup("teacher", teacher),
            update=update,
            student_logits=self.student.logits,
            teacher_logits=lambda head, x: ops.stop_gradient(
                self.teacher.logits(head, x)
            ),
            student_factors=self.student.factors,
            teacher_factors=lambda head, x: keras.tree.map_structure(
                ops.stop_gradient, self.teacher.factors(head, x)
            ),
        )
        total = 0.0
        metrics, statistics = {}, {}
        for objective in active:
            result = objective.compute(features)
            check_result(objective, result)
            weight = value_at(objective.weight, update)
            total = total + weight * result.loss
            metrics[objective.name] = ops.stop_gradient(result.loss)
            for name, value in result.metrics.items():
                metrics[f"{objective.name}_{name}"] = value
            statistics[objective.name] = result.statistics
        return total, {
            "loss": ops.stop_gradient(ops.cast(total, "float32")),
            "metrics": metrics,
            "statistics": statistics,
        }

    # === What moves after a step ===

    def after_step(
        self, aux: dict, finite: Tensor, moved: Tensor, update: Tensor
    ) -> None:
        """Moves the teacher and the state of the objectives.

        Args:
            aux: as `evaluate_objectives` returned it.
            finite: boolean scalar tensor, whether this step's gradients are.
            moved: boolean scalar tensor, whether the optimizer made an update.
            update: scalar tensor, the updates done before it.
        """
        for name, statistics in aux["statistics"].items():
            self.objectives[name].after_step(statistics, finite, moved)
        if not self.teacher_is_fixed:
            share = 1.0 - value_at(self.momentum, update)
            teachers, students = zip(*self._pairs(), strict=True)
            move_average(
                list(teachers),
                [ops.stop_gradient(student) for student in students],
                ops.where(moved, share, 0.0),
            )

    def track(self, aux: dict, finite: Tensor) -> None:
        """Adds a batch to the metrics.

        Args:
            aux: as `evaluate_objectives` returned it.
            finite: boolean scalar. `False` leaves the batch out.
        """
        values = {**aux["metrics"], "loss": aux["loss"]}
        trackers = {**self.trackers, "loss": self.loss}
        for name, value in values.items():
            trackers[name].update_state(value, finite)

    def reset_teacher(self) -> None:
        """Makes the teacher an exact copy of the student.

        Raises:
            ValueError: if the teacher is fixed.
        """
        if self.teacher_is_fixed:
            raise ValueError(
                "A fixed `teacher` is never a copy of the student; there is "
                "nothing to reset."
            )
        for teacher, student in self._pairs():
            # A copy: jax may not donate one buffer twice.
            teacher.assign(ops.copy(student))

    def _pairs(self):
        return zip(
            self.teacher.weights, merged_values(self.student), strict=True
        )

    # === Saving ===

    def get_config(self) -> dict:
        """The configuration without the networks, which lessons may share."""
        serialize = keras.saving.serialize_keras_object
        for objective in self.objectives.values():
            check_config(objective, objective.get_config())
        return {
            "name": self.name,
            "objectives": [serialize(o) for o in self.objectives.values()],
            "weight": self.weight,
            "num_prototypes": self.num_prototypes,
            "head_hidden_dim": self.head_hidden_dim,
            "bottleneck_dim": self.bottleneck_dim,
            "momentum": serialize(self.momentum),
            "mask_student": self.mask_student,
            "lora_rank": self.lora_rank,
        }

    @classmethod
    def from_config(cls, config: dict) -> "Lesson":
        """The lesson, given its networks as `student` and `teacher`.

        Args:
            config: dict as `get_config` returns it, with both networks.

        Returns:
            A `Lesson`.
        """
        config = dict(config)
        config["objectives"] = deserialized_list(config, "objectives", cls)
        config["momentum"] = keras.saving.deserialize_keras_object(
            arguments.field(config, "momentum", cls)
        )
        return cls(**config)


def _has_lora(encoder):
    """Whether another lesson of the same student has enabled it."""
    layers = encoder._flatten_layers()
    return any(getattr(layer, "lora_enabled", False) for layer in layers)


def _scope(name):
    return keras.name_scope(name) if name else contextlib.nullcontext()
