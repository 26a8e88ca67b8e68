"""The model that learns: a student, its teacher, objectives."""

import keras
import keras_hub
from keras import ops

from keras_dinolm import objectives as objectives_module
from keras_dinolm import training
from keras_dinolm.models.distillation.feature_statistics import (
    FeatureStatistics,
)
from keras_dinolm.models.distillation.tower import Tower
from keras_dinolm.models.encoder.backbone import DinoLMBackbone
from keras_dinolm.models.encoder.lora import enable_lora
from keras_dinolm.models.encoder.lora import merged_values
from keras_dinolm.models.encoder.lora import revive
from keras_dinolm.models.encoder.text_encoder import TextEncoder
from keras_dinolm.models.presets.export_preset import export_preset
from keras_dinolm.models.presets.preset_files import check_preset
from keras_dinolm.models.presets.preset_heads import load_heads
from keras_dinolm.models.presets.preset_heads import read_head_sizes
from keras_dinolm.schedules import Cosine
from keras_dinolm.schedules import value_at
from keras_dinolm.training.phased_model import PhasedModel
from keras_dinolm.training.phased_model import check_compile

# As `TextViews` makes them by default.
ROLES = {"global": ("student", "teacher"), "local": ("student",)}

# The key in a batch of what a teacher of several students has made of it.
TEACHER_FEATURES = "_teacher_features"


@keras.saving.register_keras_serializable(package="keras_dinolm")
class DinoLM(PhasedModel):
    """Learns a text encoder without labels, by self-distillation.

    A *student* reads several views of each text, some with tokens masked. A
    *teacher*, the moving average of the student, reads some of them whole.
    Objectives compare the two; only the student gets gradients. Train with
    `fit` on a `keras_dinolm.data.view_dataset`; what comes out is the
    teacher's encoder.

    With `teacher=`, the student learns from a network that was trained before
    and never moves, usually a larger one; what comes out is then the student.
    Such a teacher has its own width and depth: the two meet at the
    prototypes, of which the student's heads have as many. The student reads
    whole views; their masks only choose the tokens that `TokenDistillation`
    compares. `MultiStudentDistillation` and `MultiTeacherDistillation` train
    several students of one teacher, or one student of several.

    Teacher, centers, counters and schedules move once per optimizer update,
    also under gradient accumulation. A step with a gradient that is not
    finite moves nothing and is counted in the metric `skipped_steps`.

    Args:
        backbone: `DinoLMBackbone`, a supported keras-hub text backbone, or a
            `TextEncoder`. It becomes the student's.
        objectives: list of `keras_dinolm.objectives.Objective`. Defaults to
            `SequenceDistillation`, `TokenDistillation`, `KoLeo` and `InfoNCE`
            at their default weights.
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
        roles: dict of view group to the networks that read it, as
            `TextViews.roles`. Defaults to the roles of the default views.
        group_starts: dict of view group to the first optimizer update at
            which it is read, for those that are not read from the beginning,
            e.g. `{"local": 5_000}`. Before it the group costs no forward
            pass, objectives go on without it, and those that read nothing
            else wait. Like an objective's `start`, crossing it compiles the
            training step anew, once. With several groups of one kind, it is
            a schedule of their `count`.
        max_skipped_steps: int. Training stops with an error after this many
            steps in a row whose gradients were not finite.
        teacher: a `DinoLM` that was trained with the same tokenizer, to learn
            from a copy of what came out of it, heads included; or the
            `teacher` of another student, to share that copy. `None` makes
            the teacher from the student.
        mask_student: boolean. Whether the student reads masked views where
            there are some. `None`: unless the teacher is fixed.
        **kwargs: as for `keras.Model`.

    Raises:
        ValueError: for fewer than two prototypes, objectives of one name,
            roles without a student, `group_starts` of unknown groups or that
            leave a network without any at first, or a `teacher` that lacks a
            head, has another number of prototypes or another vocabulary.

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
        backbone,
        objectives=None,
        pooling=None,
        num_prototypes=None,
        head_hidden_dim=None,
        bottleneck_dim=None,
        momentum=None,
        roles=None,
        max_skipped_steps=20,
        teacher=None,
        mask_student=None,
        group_starts=None,
        lora_rank=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.teacher_is_fixed = teacher is not None
        if isinstance(teacher, DinoLM):
            teacher = teacher.learned().clone(name="teacher")
            teacher.freeze()
        if self.teacher_is_fixed:
            _check_is_frozen_tower(teacher)
            teacher.freeze()  # once more, if it was loaded
        if num_prototypes is None:
            num_prototypes = (
                teacher.num_prototypes if self.teacher_is_fixed else 1024
            )
        if num_prototypes < 2:
            raise ValueError(
                "Argument `num_prototypes` must be at least 2: with one "
                "prototype every assignment is the same and nothing can be "
                f"learned. Received: num_prototypes={num_prototypes}"
            )
        if objectives is None:
            objectives = [
                objectives_module.SequenceDistillation(),
                objectives_module.TokenDistillation(),
                objectives_module.KoLeo(),
                objectives_module.InfoNCE(),
            ]
        names = [objective.name for objective in objectives]
        if not names or len(set(names)) < len(names):
            raise ValueError(
                "Argument `objectives` must hold at least one objective, each "
                "with a name of its own; pass `name=` to tell two of a kind "
                f"apart. Received objectives named: {names}"
            )
        self.roles = {
            group: tuple(group_roles)
            for group, group_roles in (roles or ROLES).items()
        }
        _check_roles(self.roles)
        self.group_starts = dict(group_starts or {})
        _check_group_starts(self.group_starts, self.roles)

        # === Networks ===
        if not isinstance(backbone, TextEncoder):
            backbone = TextEncoder(backbone, pooling=pooling, name="encoder")
        width = backbone.hidden_dim
        self.num_prototypes = num_prototypes
        self.head_hidden_dim = head_hidden_dim or min(4 * width, 2048)
        self.bottleneck_dim = bottleneck_dim or min(width, 256)
        heads = dict.fromkeys(h for o in objectives for h in o.heads)
        towers = {
            "heads": tuple(heads),
            "num_prototypes": num_prototypes,
            "head_hidden_dim": self.head_hidden_dim,
            "bottleneck_dim": self.bottleneck_dim,
        }
        self.student = Tower(backbone, **towers, name="student")
        if self.teacher_is_fixed:
            _check_teacher(teacher, self.student)
            self.teacher = teacher
        else:
            self.teacher = Tower(backbone.clone(), **towers, name="teacher")
            self.teacher.freeze()
        self.lora_rank = lora_rank
        if lora_rank is not None:
            enable_lora(self.student.encoder, lora_rank)
        if not self.teacher_is_fixed:
            self.reset_teacher()
        self.mask_student = (
            not self.teacher_is_fixed if mask_student is None else mask_student
        )

        # === Objectives ===
        self.objectives = list(objectives)
        if not self.mask_student:
            _check_nothing_is_masked(self.objectives)
        for objective in self.objectives:
            # Optimizers tell its parts from the encoder's by their paths.
            with keras.name_scope("objectives"):
                with keras.name_scope(objective.name):
                    objective.build_for(self)
        if self.teacher_is_fixed:
            if momentum is not None:
                raise ValueError(
                    "A fixed `teacher` does not move: leave `momentum=None`. "
                    f"Received: momentum={momentum}"
                )
        elif momentum is None:
            momentum = Cosine(0.99, 0.9995, steps=20_000)
        self.momentum = momentum
        self.max_skipped_steps = max_skipped_steps

        # === State ===
        # The optimizer's counter is out of reach inside a jax step; this
        # mirror of it drives every schedule.
        self.updates = self.add_weight(
            shape=(),
            dtype="int",
            initializer="zeros",
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
            name="updates",
        )
        extra = [m for o in self.objectives for m in o.extra_metrics]
        self.trackers = [
            keras.metrics.Mean(name=name) for name in [*names, *extra]
        ]
        self.feature_statistics = FeatureStatistics(width)
        self.skipped_steps = keras.metrics.Sum(name="skipped_steps")
        self.built = True
        self._enter_phase(0)
        self._last_update_read = None

    # === What is computed ===

    def call(self, views, training=None):
        """Features of all views that the active objectives read.

        Args:
            views: dict of view group to its arrays, as `TextViews` gives it.
            training: boolean.

        Returns:
            `{"student": {group: features}, "teacher": {group: features}}`,
            features being `{"tokens": [B, V, L, D], "sequence": [B, V, D]}`;
            `"tokens"` where they are read.
        """
        self.check_views(views)
        given = views.get(TEACHER_FEATURES)
        student, teacher = {}, {}
        for (network, group), read in self._passes.items():
            is_masked = "masked_indices" in views[group]
            needs_tokens = "all" in read or ("masked" in read and is_masked)
            if network == "student":
                student[group] = self.student(
                    views[group],
                    masked=self.mask_student,
                    training=training,
                    needs_tokens=needs_tokens,
                )
            elif given is None:
                teacher[group] = self.read_as_teacher(
                    views[group], needs_tokens=needs_tokens
                )
        return {"student": student, "teacher": teacher}

    def check_views(self, views):
        """Raises unless the batch has every view group of the roles."""
        missing = [g for g in self.roles if g not in views]
        if missing:
            raise ValueError(
                f"The batch lacks the view groups {missing}. The model expects "
                f"roles={self.roles}; pass `roles=views.roles` to `DinoLM`. "
                f"Received a batch with: {sorted(views)}"
            )

    def read_as_teacher(self, view_group, num_layers=None, needs_tokens=True):
        """The teacher's features of one view group, without gradient.

        Args:
            view_group: the group's arrays.
            num_layers: int. How many of its last layers to return; `None` for
                what the active objectives read.
            needs_tokens: boolean. As for `TextEncoder`.
        """
        if num_layers is None:
            num_layers = self.num_teacher_layers
        features = self.teacher(
            view_group,
            training=False,
            num_layers=num_layers,
            needs_tokens=needs_tokens,
        )
        return keras.tree.map_structure(ops.stop_gradient, features)

    def groups_read_by(self, network):
        """The view groups that `"student"` or `"teacher"` reads now."""
        return [group for who, group in self._passes if who == network]

    def evaluate_objectives(self, views, outputs):
        """The weighted loss, and everything that `after_step` wants to see.

        Args:
            views: the batch.
            outputs: what `call` made of it.

        Returns:
            `(loss, aux)`: a scalar, and a dict of arrays.
        """
        # Not what went through `call`, which casts to its own policy.
        teacher = outputs["teacher"]
        if TEACHER_FEATURES in views:
            # Of which other students may read more.
            given = views[TEACHER_FEATURES]
            teacher = {g: given[g] for g in self.groups_read_by("teacher")}
        features = objectives_module.Features(
            views=views,
            student=outputs["student"],
            teacher=teacher,
            update=self.updates,
            student_logits=self.student.logits,
            teacher_logits=lambda head, x: ops.stop_gradient(
                self.teacher.logits(head, x)
            ),
            student_factors=self.student.factors,
            teacher_factors=lambda head, x: keras.tree.map_structure(
                ops.stop_gradient, self.teacher.factors(head, x)
            ),
        )
        total = ops.cast(sum(self.losses, start=0.0), "float32")
        metrics, statistics = {}, {}
        for objective in self._active:
            result = objective.compute(features)
            weight = value_at(objective.weight, self.updates)
            total = total + weight * result.loss
            metrics[objective.name] = ops.stop_gradient(result.loss)
            metrics.update(result.metrics)
            statistics[objective.name] = result.statistics
        # What users get; before the teacher is read, the student.
        moving = outputs["teacher"] and not self.teacher_is_fixed
        network = "teacher" if moving else "student"
        group = next(iter(outputs[network]))
        spread = self.feature_statistics.sums(
            outputs[network][group], views[group]["padding_mask"]
        )
        return total, {
            "metrics": metrics,
            "statistics": statistics,
            "features": spread,
        }

    def compute_loss(
        self,
        x=None,
        y=None,
        y_pred=None,
        sample_weight=None,
        training=True,
    ):
        """The loss alone, for `evaluate`; it also updates the metrics."""
        loss, aux = self.evaluate_objectives(x, y_pred)
        self._track(aux, finite=True)
        return loss

    def track_loss(self, loss):
        """Adds to the loss in the logs, for a model that holds this one."""
        self._loss_tracker.update_state(loss)

    # === What moves after a step ===

    def after_step(self, loss, aux, finite):
        """Moves everything but the weights: once the gradients are known.

        Args:
            loss: scalar.
            aux: as `evaluate_objectives` returned it.
            finite: boolean scalar tensor. `False` moves nothing.
        """
        done = ops.cast(self.optimizer.iterations, self.updates.dtype)
        moved = ops.logical_and(finite, done > self.updates)
        for objective in self._active:
            objective.after_step(
                aux["statistics"][objective.name], finite, moved
            )
        if not self.teacher_is_fixed:
            self._move_teacher(moved)
        self.updates.assign(done)

        self._loss_tracker.update_state(
            ops.where(finite, loss, 0.0),
            sample_weight=ops.cast(finite, "float32"),
        )
        self._track(aux, finite)
        self.skipped_steps.update_state(1.0 - ops.cast(finite, "float32"))

    def _move_teacher(self, moved):
        share = 1.0 - value_at(self.momentum, self.updates)
        for teacher, student in zip(
            self.teacher.weights, merged_values(self.student), strict=True
        ):
            difference = ops.stop_gradient(student) - teacher.value
            change = ops.cast(share, teacher.dtype) * difference
            teacher.assign_add(ops.where(moved, change, 0.0))

    def _track(self, aux, finite):
        keep = ops.cast(finite, "float32")
        for tracker in self.trackers:
            value = aux["metrics"].get(tracker.name)
            if value is not None:
                tracker.update_state(
                    ops.where(finite, value, 0.0), sample_weight=keep
                )
        self.feature_statistics.update_state(aux["features"], finite)

    def reset_teacher(self):
        """Makes the teacher an exact copy of the student.

        Raises:
            ValueError: if the teacher is fixed.
        """
        if self.teacher_is_fixed:
            raise ValueError(
                "A fixed `teacher` is never a copy of the student; there is "
                "nothing to reset."
            )
        for teacher, student in zip(
            self.teacher.weights, merged_values(self.student), strict=True
        ):
            # A copy: jax may not donate one buffer twice.
            teacher.assign(ops.copy(student))

    def get_metrics_result(self):
        """As Keras', without the metrics of objectives that do not act."""
        silent = {
            name
            for objective in self.objectives
            if objective.name not in self._active_names
            for name in (objective.name, *objective.extra_metrics)
        }
        result = super().get_metrics_result()
        return {k: v for k, v in result.items() if k not in silent}

    # === Training ===

    def compile(self, optimizer="adamw", **kwargs):
        """As `keras.Model.compile`; the loss comes from the objectives.

        Args:
            optimizer: see `keras_dinolm.optimizers.adamw`.
            **kwargs: as for `keras.Model.compile`.
        """
        check_compile(self, kwargs)
        super().compile(optimizer=optimizer, **kwargs)
        # Inside a compiled step it would be too late to create its state.
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)

    def parts(self):
        return [self]

    def guards(self):
        return [training.SkippedStepGuard(self.max_skipped_steps)]

    def prepare_fit(self):
        """What a restored state needs: a new look at it, factors that move."""
        self._last_update_read = None
        revive(self.student)

    def enter_next_phase(self, model, *args):
        """Enters a new phase if it is time; reads the counter only if it may.

        Between reads the counter rises by at most one per call and execution
        step, so it is read, which waits for the device, only once that bound
        reaches the next boundary.

        Args:
            model: the model that trains: this one, or one that holds it.
            *args: what its training function is called with.

        Returns:
            A boolean, whether other objectives act from now on.
        """
        if self._last_update_read is not None:
            self._calls_since_read += 1
            bound = (
                self._last_update_read
                + self._calls_since_read * model.steps_per_execution
            )
            if self._next_boundary is None or bound < self._next_boundary:
                return False
        update = int(training.read_variable(model, self.updates, *args))
        self._last_update_read = update
        self._calls_since_read = 0
        before = self._active_names, dict(self._passes)
        self._enter_phase(update)
        return (self._active_names, self._passes) != before

    @property
    def phase(self):
        """Names of the objectives that act now."""
        return self._active_names

    @property
    def _active(self):
        return [o for o in self.objectives if o.name in self._active_names]

    def _enter_phase(self, update):
        """Fixes which objectives act, and which forward passes they need."""
        roles = {
            group: roles
            for group, roles in self.roles.items()
            if self.group_starts.get(group, 0) <= update
        }
        reads = {
            o.name: o.reads(roles) for o in self.objectives if o.acts_at(update)
        }
        # One whose groups have not started waits for them.
        active = [
            o
            for o in self.objectives
            if reads.get(o.name) and {g for _, g in reads[o.name]} <= set(roles)
        ]
        if not active:
            raise ValueError(
                f"No objective acts at optimizer update {update}: all have "
                "weight 0, act at other updates or read view groups that "
                "start later. Received objectives: "
                + ", ".join(
                    f"{o.name}(start={o.start}, stop={o.stop})"
                    for o in self.objectives
                )
                + f"; group_starts={dict(self.group_starts)}"
            )
        # Names, since Keras would take a list of layers for state to save.
        self._active_names = frozenset(o.name for o in active)
        wanted = set().union(*(reads[o.name] for o in active))
        passes = [
            (network, group)
            for network in ("student", "teacher")
            for group in self.roles
            if (network, group) in wanted
        ]
        # Of which of their views the features of tokens are read.
        self._passes = {
            each: {o.reads_tokens for o in active if each in reads[o.name]}
            for each in passes
        }
        # The statistics of features read all of a network's first group.
        for each in dict(reversed(passes)).items():
            self._passes[each] = {"all"}
        self.num_teacher_layers = max(o.num_teacher_layers for o in active)
        boundaries = [
            b
            for o in self.objectives
            for b in (o.start, o.stop)
            if b is not None and b > update
        ] + [b for b in self.group_starts.values() if b > update]
        self._next_boundary = min(boundaries, default=None)

    # === Saving ===

    # Not a property, which Keras would save as one more layer.
    def learned(self):
        """The network that training is for: the teacher, unless it is fixed.

        Returns:
            A tower: an encoder with its heads. Its `encoder` is what is
            exported.
        """
        return self.student if self.teacher_is_fixed else self.teacher

    def export_preset(
        self, directory, tokenizer, sequence_length=None, heads=False
    ):
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
                `DinoLM.from_preset` goes on.
        """
        export_preset(
            self.learned().encoder,
            tokenizer,
            directory,
            sequence_length,
            heads=self.learned() if heads else None,
        )

    @classmethod
    def from_preset(cls, preset, objectives=None, **kwargs):
        """Goes on from a preset that was exported with its heads.

        The student, and a teacher that follows it, start as the network that
        was exported, so that they go on where they were. New heads on a
        trained encoder can ruin it in the first large steps.

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
        check_preset(preset)
        sizes = read_head_sizes(preset)
        backbone = keras_hub.models.Backbone.from_preset(str(preset))
        model = cls(backbone, objectives, **sizes, **kwargs)
        load_heads(model.student, preset)
        if not model.teacher_is_fixed:
            model.reset_teacher()
        return model

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "backbone": serialize(self.student.encoder),
            "objectives": [serialize(o) for o in self.objectives],
            "num_prototypes": self.num_prototypes,
            "head_hidden_dim": self.head_hidden_dim,
            "bottleneck_dim": self.bottleneck_dim,
            "momentum": serialize(self.momentum),
            "roles": {g: list(r) for g, r in self.roles.items()},
            "max_skipped_steps": self.max_skipped_steps,
            "teacher": serialize(self.teacher)
            if self.teacher_is_fixed
            else None,
            "mask_student": self.mask_student,
            "group_starts": dict(self.group_starts),
            "lora_rank": self.lora_rank,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        deserialize = keras.saving.deserialize_keras_object
        for name in ("backbone", "teacher"):
            # A model of several gives a network that these share. There is
            # none of a model that was saved before there were fixed teachers.
            if isinstance(config.get(name), dict):
                config[name] = deserialize(config[name])
        config["objectives"] = [deserialize(o) for o in config["objectives"]]
        config["momentum"] = deserialize(config["momentum"])
        return cls(**config)


def _check_roles(roles):
    networks = ("student", "teacher")
    known = (*networks, "gram")
    for group, group_roles in roles.items():
        if not group_roles or not set(group_roles) <= set(known):
            raise ValueError(
                "Argument `roles` must give each view group one or more of "
                f"{known}. Received: roles[{group!r}]={group_roles}"
            )
    for role in networks:
        if not any(role in r for r in roles.values()):
            raise ValueError(
                f"Argument `roles` must have a group for the {role}. "
                f"Received: roles={roles}"
            )


def _check_group_starts(starts, roles):
    unknown = [group for group in starts if group not in roles]
    if unknown:
        raise ValueError(
            f"Argument `group_starts` must name groups of {sorted(roles)}. "
            f"Received: group_starts={starts}"
        )
    for group, start in starts.items():
        if isinstance(start, bool) or not isinstance(start, int) or start < 0:
            raise ValueError(
                "Argument `group_starts` must give each group an optimizer "
                "update, an integer of at least 0. "
                f"Received: group_starts[{group!r}]={start!r}"
            )
    first = [roles[group] for group in roles if not starts.get(group)]
    for role in ("student", "teacher"):
        if not any(role in r for r in first):
            raise ValueError(
                "Argument `group_starts` must leave both networks a group to "
                f"read at update 0; the {role} has none. Leave one out of it. "
                f"Received: group_starts={starts}, roles={roles}"
            )


def _check_is_frozen_tower(teacher):
    if not isinstance(teacher, Tower):
        raise ValueError(
            "Argument `teacher` must be a trained `DinoLM`: its heads and "
            "prototypes are needed beside its encoder. Load one by "
            "`keras.saving.load_model`, or by `DinoLM.from_preset` from a "
            "preset exported with `heads=True`. Received: "
            f"teacher={teacher!r}"
        )
    if teacher.trainable:
        raise ValueError(
            "A `teacher` that is shared must be frozen: pass the `.teacher` "
            "of another student, or a trained `DinoLM` to learn from a copy "
            f"of it. Received: teacher={teacher!r}, which is trainable"
        )


def _check_teacher(teacher, student):
    """Raises unless the student can learn from this tower."""
    missing = [head for head in student.heads if head not in teacher.heads]
    if missing:
        raise ValueError(
            f"The `teacher` has no head {missing}, which the objectives read: "
            f"it was trained with the heads {list(teacher.heads)}. Remove the "
            "objectives that need the others, or tie the heads "
            "(`TokenDistillation(head='sequence')`)."
        )
    if teacher.num_prototypes != student.num_prototypes:
        raise ValueError(
            "Student and `teacher` must have as many prototypes; leave "
            "`num_prototypes=None`. Received: num_prototypes="
            f"{student.num_prototypes}, the teacher has "
            f"{teacher.num_prototypes}"
        )
    encoders = (teacher.encoder, student.encoder)
    sizes = [encoder.vocabulary_size for encoder in encoders]
    # Stock backbones may have unused rows at the end; ours are made for
    # their tokenizer.
    exact = all(isinstance(e.backbone, DinoLMBackbone) for e in encoders)
    if exact and sizes[0] != sizes[1]:
        raise ValueError(
            "Student and `teacher` must share a tokenizer, since they read "
            f"the same token ids. Received: a teacher of {sizes[0]} tokens, "
            f"a student of {sizes[1]}"
        )


def _check_nothing_is_masked(objectives):
    for objective in objectives:
        if isinstance(objective, objectives_module.MaskedLM):
            raise ValueError(
                "`MaskedLM` predicts tokens that the student must not see, "
                "but it reads whole views, as it does by default with a fixed "
                "`teacher`. Remove the objective or pass `mask_student=True`. "
                f"Received: objectives with {objective.name!r}"
            )
