"""The model that learns: students, teachers, lessons."""

import functools
from typing import Any

import keras
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.models.distillation.checks import check_all
from keras_dinolm.models.distillation.checks import check_names
from keras_dinolm.models.distillation.checks import check_reads_tokens_of
from keras_dinolm.models.distillation.checks import check_students
from keras_dinolm.models.distillation.checks import checked_group_starts
from keras_dinolm.models.distillation.checks import checked_roles
from keras_dinolm.models.distillation.learner import Learner
from keras_dinolm.models.distillation.learner_optimizers import (
    check_accumulation,
)
from keras_dinolm.models.distillation.learner_optimizers import one_for_each
from keras_dinolm.models.distillation.lesson import Lesson
from keras_dinolm.models.distillation.lessons_config import lessons_config
from keras_dinolm.models.distillation.lessons_config import lessons_from_config
from keras_dinolm.models.distillation.named_layers import NamedLayers
from keras_dinolm.models.distillation.networks import frozen_teacher
from keras_dinolm.models.distillation.networks import name_of_student
from keras_dinolm.models.distillation.networks import networks_and_parts
from keras_dinolm.models.distillation.reading_plan import make_plan
from keras_dinolm.models.distillation.reads_views import ReadsViews
from keras_dinolm.models.distillation.tower import Tower
from keras_dinolm.models.distillation.weight_files import load_verified
from keras_dinolm.models.encoder.lora import revive
from keras_dinolm.models.encoder.text_encoder import TextEncoder
from keras_dinolm.models.encoder.weight_changes import train_announced
from keras_dinolm.models.presets.export_preset import export_preset
from keras_dinolm.training import SkippedStepGuard
from keras_dinolm.training.optimizer_group import OptimizerGroup
from keras_dinolm.training.phased_model import PhasedModel
from keras_dinolm.typing import Path
from keras_dinolm.typing import Tensor

# As `TextViews` makes them by default.
ROLES = {"global": ("student", "teacher"), "local": ("student",)}


@keras.saving.register_keras_serializable(package="keras_dinolm")
class Distillation(ReadsViews, PhasedModel):
    """Trains students of teachers, in one run on the same views.

    A list of lessons says who learns what from whom. `DinoLM` is the usual
    case, a single lesson. Several lessons make

    - several students of one teacher: give the lessons the same `teacher`. It
      reads each batch once for all of them, and a large teacher costs more
      to run than its students cost to train;
    - one student of several teachers: give the lessons the same `TextEncoder`
      object as `student`. It reads each view once, and has heads of its own
      for each lesson. Its loss is the weighted mean of theirs.

    Each student has an optimizer, schedules and skipped steps of its own, and
    learns what it would learn alone on the same batches.

    In the logs, what belongs to a lesson begins with its name where there are
    several lessons, and what belongs to a student begins with its name where
    there are several students; `loss` is the sum over the students. A single
    student is called `"student"`. Of several students, one of a single lesson
    is called as the lesson, one of several lessons as its `TextEncoder`.

    Teachers, centers, counters and schedules move once per optimizer update,
    also under gradient accumulation. A step with a gradient that is not
    finite moves nothing of that student and is counted in the metric
    `skipped_steps`.

    Args:
        lessons: list of `Lesson`, each with a name of its own.
        roles: dict of view group to the networks that read it, as
            `TextViews.roles`. Defaults to the roles of the default views.
        group_starts: dict of view group to the first optimizer update at
            which it is read, for those that are not read from the beginning,
            e.g. `{"local": 5_000}`. Before it the group costs no forward
            pass, objectives do without it, and those that read nothing else
            wait. Like an objective's `start`, crossing it compiles the
            training step again, once. With several groups of one kind, it is
            a schedule of their `count`.
        max_skipped_steps: int. Training stops with an error after this many
            steps in a row whose gradients were not finite.
        **kwargs: as for `keras.Model`.

    Raises:
        ValueError: for lessons of one name or of another model, lessons of
            one student that disagree in `mask_student` or `lora_rank`, a
            backbone that two students share, roles without a student, or
            `group_starts` of unknown groups or that leave a network without
            any at first.

    Example:

    ```python
    import keras_dinolm as kd

    def backbone(width):
        return kd.models.DinoLMBackbone(
            1_000, num_layers=1, num_heads=2, hidden_dim=width,
            intermediate_dim=2 * width,
        )

    trained = kd.models.DinoLM(backbone(64), num_prototypes=128)
    model = kd.models.Distillation([
        kd.models.Lesson(
            backbone(width), [kd.objectives.SequenceDistillation()],
            teacher=trained, name=name,
        )
        for name, width in (("wide", 32), ("slim", 16))
    ])
    model.compile({
        "wide": kd.optimizers.AdamW(1e-3), "slim": kd.optimizers.AdamW(2e-3)
    })
    ```

    One student of two teachers:

    ```python
    news = kd.models.DinoLM(backbone(48), num_prototypes=96)
    encoder = kd.models.TextEncoder(backbone(16))
    model = kd.models.Distillation([
        kd.models.Lesson(
            encoder, [kd.objectives.SequenceDistillation()], teacher=teacher,
            name=name,
        )
        for name, teacher in (("docs", trained), ("news", news))
    ])
    model.compile(kd.optimizers.adamw(1e-3, schedule="constant"))
    ```

    References:
        - [DINOv3, distillation](https://arxiv.org/abs/2508.10104)
        - [AM-RADIO, several teachers](https://arxiv.org/abs/2312.06709)
    """

    def __init__(
        self,
        lessons: list[Lesson],
        roles: dict[str, tuple] | None = None,
        group_starts: dict[str, int] | None = None,
        max_skipped_steps: int = 20,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_all("lessons", lessons, Lesson, "`keras_dinolm.models.Lesson`")
        check_names("lessons", [lesson.name for lesson in lessons])
        check_students(lessons)
        self.roles = checked_roles(ROLES if roles is None else roles)
        self.group_starts = checked_group_starts(group_starts, self.roles)
        self.max_skipped_steps = arguments.count(
            "max_skipped_steps", max_skipped_steps
        )

        # === Networks and what they learn from ===
        teachers = {}
        for lesson in lessons:
            lesson.build_for(
                self.roles,
                frozen_teacher(lesson.given_teacher(), teachers),
                scope=lesson.name if len(lessons) > 1 else None,
            )
        students = {}
        for lesson in lessons:
            students.setdefault(id(lesson.encoder), []).append(lesson)
        made = [
            Learner(group, name_of_student(group, list(students.values())))
            for group in students.values()
        ]
        check_names("students", [learner.name for learner in made])
        self.students = NamedLayers({m.name: m for m in made}, "students")

        # === Who reads what ===
        self._networks, self._parts = networks_and_parts(made)
        self.built = True
        self.enter_phase([0] * len(made))

    def learners(self) -> list[Learner]:
        """Who learns: the students, each with its lessons and optimizer."""
        return self.students.values()

    def lessons(self) -> dict[str, Lesson]:
        """All lessons by name."""
        return {
            name: lesson
            for learner in self.learners()
            for name, lesson in learner.lessons.items()
        }

    # === What is computed ===

    def call(self, batch: dict, training: bool | None = None) -> dict:
        """Features of all views that the active objectives read.

        Args:
            batch: dict of view group to its arrays, as `TextViews` makes it.
            training: boolean.

        Returns:
            `{network: {group: features}}`, features being `{"tokens":
            [B, V, L, D], "sequence": [B, V, D]}`; `"tokens"` where they are
            read, or cost nothing and are watched. The networks are the
            students by name, and `"teacher"`, or `"<lesson>_teacher"` where
            there are several.
        """
        self.check_batch(batch)
        outputs = {name: {} for name in self._networks}
        watched = self.plan.watched.values()
        for reading in self.plan.readings:
            tower, masks, is_teacher = self._networks[reading.network]()
            arrays = batch[reading.group]
            # The statistics see features of tokens that cost nothing.
            is_free = reading.place in watched and tower.encoder.makes_tokens
            features = tower(
                arrays,
                masked=masks,
                training=False if is_teacher else training,
                num_layers=reading.num_layers,
                needs_tokens=is_free
                or reading.needs_tokens("masked_indices" in arrays),
            )
            if is_teacher:
                features = keras.tree.map_structure(ops.stop_gradient, features)
            outputs[reading.network][reading.group] = features
        return outputs

    def evaluate_objectives(self, batch: dict, outputs: dict) -> tuple:
        """The losses, and everything that `after_step` wants to see.

        Args:
            batch: dict of view group to its arrays.
            outputs: what `call` made of it.

        Returns:
            `(losses, aux)`: a float32 scalar for each learner, and a dict of
            arrays.
        """
        losses, aux = [], {}
        for learner in self.learners():
            evaluate = {
                part.lesson: self._evaluation(learner, part, batch, outputs)
                for part in self._parts
                if part.learner == learner.name and self._acting(part)
            }
            network, group = self.plan.watched[learner.name]
            loss, aux[learner.name] = learner.evaluate_objectives(
                evaluate,
                outputs[network][group],
                batch[group]["padding_mask"],
            )
            losses.append(loss)
        return losses, aux

    def _acting(self, part):
        """The objectives of a lesson that act now."""
        return [
            objective
            for objective in part.objectives
            if (part.lesson, objective.name) in self.plan.active
        ]

    def _evaluation(self, learner, part, batch, outputs):
        # Other lessons may have the same networks read more. Here it stays
        # out of sight, so that a lesson teaches what it would teach alone.
        seen = {
            role: {
                group: features
                for group, features in outputs[network].items()
                if (role, group) in self.plan.reads[part.lesson]
            }
            for role, network in part.networks.items()
        }
        return lambda: learner.lessons[part.lesson].evaluate_objectives(
            batch,
            seen["student"],
            seen["teacher"],
            learner.updates,
            self._acting(part),
        )

    def compute_loss(
        self,
        x: dict | None = None,
        y: Any = None,
        y_pred: dict | None = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """The loss alone, for `evaluate`; it also updates the metrics.

        Args:
            x: the batch.
            y: not used, there are no labels.
            y_pred: what `call` made of the batch.
            sample_weight: not used.
            training: not used.

        Returns:
            The sum of the students' losses.
        """
        losses, aux = self.evaluate_objectives(x, y_pred)
        for learner, loss in zip(self.learners(), losses):
            learner.track(loss, aux[learner.name], finite=True)
        return sum(losses)

    # === What moves after a step ===

    def after_step(self, losses: list, aux: dict, finite: list) -> None:
        """Moves everything but the weights, once the gradients are known.

        Args:
            losses: list of scalars, one for each learner.
            aux: as `evaluate_objectives` returned it.
            finite: list of boolean scalar tensors. `False` moves nothing of
                that learner.
        """
        for learner, loss, ok in zip(self.learners(), losses, finite):
            learner.after_step(loss, aux[learner.name], ok)

    @property
    def metrics(self):
        # Keras would add its own mean of the loss, which cannot leave out a
        # step that moved nothing.
        own = [self._loss_tracker] if self.compiled else []
        return own + [m for learner in self.learners() for m in learner.metrics]

    def get_metrics_result(self) -> dict[str, Tensor]:
        """The metrics of everything that acts."""
        logs = {}
        for learner in self.learners():
            front = self.prefix(learner)
            logs[f"{front}loss"] = learner.loss.result()
            for part in self._parts:
                acting = self._acting(part)
                if part.learner != learner.name or not acting:
                    continue
                lesson = learner.lessons[part.lesson]
                before = self.prefix(lesson)
                if len(learner.lessons) > 1:
                    logs[f"{before}loss"] = lesson.loss.result()
                for objective in acting:
                    for name in objective.metric_names():
                        logs[before + name] = lesson.trackers[name].result()
            statistics = learner.feature_statistics.result()
            if not self._sees_tokens(learner):
                del statistics["token_sequence_cosine"]
            for name, value in statistics.items():
                logs[front + name] = value
            logs[f"{front}skipped_steps"] = learner.skipped_steps.result()
        if len(self.students) > 1:
            losses = [learner.loss.result() for learner in self.learners()]
            logs = {"loss": sum(losses), **logs}
        return logs

    def _sees_tokens(self, learner):
        """Whether features of tokens reach the statistics of a learner."""
        network, _ = self.plan.watched[learner.name]
        tower, *_ = self._networks[network]()
        reads = self.plan.watches_tokens(learner.name)
        return reads or tower.encoder.makes_tokens

    @property
    def metrics_names(self) -> list[str]:
        """What the numbers are that `evaluate` returns as a list."""
        return _loss_first(self.get_metrics_result())

    def _flatten_metrics_in_order(self, logs):
        # Keras would look for the names of metrics, which lack what ours
        # have in front.
        return [logs[name] for name in _loss_first(logs)]

    def prefix(self, part: Learner | Lesson) -> str:
        """What the names of a student's or a lesson's metrics begin with.

        Args:
            part: one of `learners()` or of the values of `lessons()`.

        Returns:
            A string, empty where there is no other.
        """
        several = self.students if isinstance(part, Learner) else self._parts
        return f"{part.name}_" if len(several) > 1 else ""

    # === Training ===

    def compile(
        self, optimizer: Any = "adamw", loss: Any = None, **kwargs: Any
    ) -> None:
        """As `keras.Model.compile`; the loss comes from the objectives.

        Args:
            optimizer: see `keras_dinolm.optimizers.adamw`. With several
                students a dict of student to optimizer; or a string, of which
                each student gets one.
            loss: must be `None`.
            **kwargs: as for `keras.Model.compile`, without other losses and
                metrics.

        Raises:
            ValueError: for a loss or metrics, or unless each student has an
                optimizer of its own.
        """
        unwanted = [
            name
            for name, value in {"loss": loss, **kwargs}.items()
            if value is not None
            and name in ("loss", "loss_weights", "metrics", "weighted_metrics")
        ]
        if unwanted:
            raise ValueError(
                f"`{type(self).__name__}` takes its loss and metrics from its "
                f"`objectives`; remove {unwanted} from `compile`. A loss of "
                "your own is a `keras_dinolm.objectives.Objective`."
            )
        optimizers = one_for_each(
            self.learners(), optimizer, self.dtype_policy, kwargs
        )
        if len(optimizers) > 1:
            optimizer = OptimizerGroup(optimizers)
            kwargs = {**kwargs, "auto_scale_loss": False}
        else:
            (optimizer,) = optimizers.values()
        super().compile(optimizer=optimizer, **kwargs)
        for learner in self.learners():
            learner.set_optimizer(
                optimizers[learner.name]
                if len(optimizers) > 1
                else self.optimizer
            )

    def guards(self) -> list[keras.callbacks.Callback]:
        """Callbacks that stop a `fit` before or when numbers go wrong."""
        skipped = [
            SkippedStepGuard(
                self.max_skipped_steps, f"{self.prefix(learner)}skipped_steps"
            )
            for learner in self.learners()
        ]
        return [*skipped, *(learner.guard() for learner in self.learners())]

    def prepare_fit(self, x: Any) -> None:
        super().prepare_fit(x)
        check_accumulation(self.learners(), x)
        for lesson in self.lessons().values():
            check_reads_tokens_of(getattr(x, "views", None), lesson.encoder)
        for learner in self.learners():
            revive(learner)

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Trains, as `keras.Model.fit`, on batches of views.

        Embedders of the same backbones may encode in other threads meanwhile,
        with the weights of before.

        Args:
            *args: as for `keras.Model.fit`.
            **kwargs: as for `keras.Model.fit`.

        Returns:
            A `keras.callbacks.History`.
        """
        networks = [
            network
            for lesson in self.lessons().values()
            for network in (lesson.encoder, lesson.teacher.encoder)
        ]
        backbones = {
            id(n.backbone): n.backbone
            for n in networks
            if isinstance(n, TextEncoder)
        }
        fit = super().fit
        return train_announced(
            list(backbones.values()), lambda: fit(*args, **kwargs)
        )

    def counters(self) -> list:
        """The optimizer updates that each student has done, as variables."""
        return [learner.updates for learner in self.learners()]

    @property
    def boundaries(self) -> list[int | None]:
        """For each counter, the next update at which a phase may end."""
        return [self.plan.boundaries[name] for name in self.students]

    def enter_phase(self, updates: list[int]) -> bool:
        """Plans what is computed from now on.

        Args:
            updates: list of int, the updates that each student has done.

        Returns:
            Whether anything differs from before.
        """
        plan = make_plan(
            self._parts,
            self.roles,
            self.group_starts,
            dict(zip(self.students, updates, strict=True)),
        )
        before = getattr(self, "plan", None)
        self.plan = plan
        return before is not None and plan.phase != before.phase

    @property
    def phase(self) -> tuple:
        """What acts now; while it is the same, so is what a step computes."""
        return self.plan.phase

    # === Saving ===

    # Keras would save a property as one more layer.
    def learned(self, student: str | None = None) -> Tower:
        """The network that training is for: the teacher, unless it is fixed.

        Args:
            student: string. Which student, where there are several.

        Returns:
            A `Tower`: an encoder with its heads. Its `encoder` is what is
            exported.
        """
        return self._student(student).learned()

    def _student(self, name):
        if name is None and len(self.students) == 1:
            return self.learners()[0]
        if name not in self.students:
            raise ValueError(
                "Argument `student` must be one of the model's students, "
                f"{list(self.students)}. Received: student={name!r}"
            )
        return self.students[name]

    def export_preset(
        self,
        directory: Path,
        tokenizer: Any,
        sequence_length: int | None = None,
        heads: bool = False,
        student: str | None = None,
    ) -> None:
        """Writes the learned encoder and the tokenizer as a preset.

        The teacher's encoder, or the student's if the teacher is fixed.

        After `import keras_dinolm.models`, keras-hub loads it; with a
        keras-hub backbone as the student, it loads without this package.

        Args:
            directory: string or path. The folder to write.
            tokenizer: the tokenizer that the model was trained with.
            sequence_length: int. Where the preset's preprocessor cuts texts;
                `None` takes 128, or what a keras-hub backbone allows.
            heads: boolean. Whether to write the heads, too, from which
                `DinoLM.from_preset` resumes. A student of several lessons
                has several sets of heads, of which a preset holds none.
            student: string. Which student, where there are several.

        Raises:
            ValueError: if several students ask for a name, or `heads` are
                wanted of a student of several lessons.
        """
        learner = self._student(student)
        if heads and len(learner.lessons) > 1:
            raise ValueError(
                f"{learner.name!r} has the heads of {len(learner.lessons)} "
                "lessons, and a preset holds those of one. Save the model by "
                "`model.save('model.keras')`, or export with `heads=False`. "
                "Received: heads=True"
            )
        tower = learner.learned()
        export_preset(
            tower.encoder,
            tokenizer,
            directory,
            sequence_length,
            heads=tower if heads else None,
        )

    def load_weights(
        self, filepath: Path, skip_mismatch: bool = False, **kwargs: Any
    ) -> None:
        """As `keras.Model.load_weights`, and loads all or nothing.

        Objectives, heads and centers are found by their names. What only the
        file or only the model has, an optimizer of another class, and NaN are
        errors, after which the model is what it was.

        Args:
            filepath: string or path of a `.weights.h5` or `.keras` file.
            skip_mismatch: boolean. Whether to leave out what does not fit.
            **kwargs: as for `keras.Model.load_weights`.

        Raises:
            ValueError: naming what does not fit.
        """
        load = functools.partial(
            super().load_weights, filepath, skip_mismatch, **kwargs
        )
        load_verified(self, load, filepath, skip_mismatch)

    def get_compile_config(self):
        config = super().get_compile_config()
        if config and isinstance(self.optimizer, OptimizerGroup):
            serialize = keras.saving.serialize_keras_object
            config["optimizer"] = {
                name: serialize(optimizer)
                for name, optimizer in self.optimizer.optimizers().items()
            }
        return config

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            **lessons_config(list(self.lessons().values())),
            "roles": {g: list(r) for g, r in self.roles.items()},
            "group_starts": dict(self.group_starts),
            "max_skipped_steps": self.max_skipped_steps,
        }

    @classmethod
    def from_config(cls, config: dict) -> "Distillation":
        config = dict(config)
        config["lessons"] = lessons_from_config(config)
        return cls(**config)


def _loss_first(names):
    return sorted(names, key=lambda name: (name != "loss", name))
