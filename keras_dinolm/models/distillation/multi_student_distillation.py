"""Several students of one fixed teacher, which reads each batch once."""

import keras

from keras_dinolm import training
from keras_dinolm.models.distillation.dino_lm import TEACHER_FEATURES
from keras_dinolm.training.phased_model import PhasedModel
from keras_dinolm.training.phased_model import check_compile


@keras.saving.register_keras_serializable(package="keras_dinolm")
class MultiStudentDistillation(PhasedModel):
    """Trains several students of one fixed teacher in one run.

    A large teacher costs more to run than its students cost to train. Here
    its encoder reads each batch once, for all of them; what its heads make of
    that is small and left to each.

    Each student is a whole `DinoLM` with objectives, optimizer, schedules,
    metrics and skipped steps of its own, and learns what it would learn alone
    on the same batches. In the logs, its metrics begin with its name; `loss`
    is the sum of the students' losses. Export each student by its own
    `export_preset`.

    Args:
        students: list of `DinoLM`, each with a fixed teacher and a name. The
            first copies the teacher; give its `teacher` to the others, so
            that there is but one.
        **kwargs: as for `keras.Model`.

    Raises:
        ValueError: if two students have the same name or different teachers,
            or if a teacher is not fixed. A teacher that is the moving average
            of its student belongs to that student alone.

    Example:

    ```python
    import keras_dinolm as kd

    def backbone(width):
        return kd.models.DinoLMBackbone(
            1_000, num_layers=1, num_heads=2, hidden_dim=width,
            intermediate_dim=2 * width,
        )

    objectives = kd.objectives.SequenceDistillation, kd.objectives.KoLeo
    teacher = kd.models.DinoLM(backbone(64), [o() for o in objectives])
    wide = kd.models.DinoLM(
        backbone(32), [o() for o in objectives], teacher=teacher, name="wide"
    )
    slim = kd.models.DinoLM(
        backbone(16), [o() for o in objectives], teacher=wide.teacher,
        name="slim",
    )
    model = kd.models.MultiStudentDistillation([wide, slim])
    model.compile([kd.optimizers.AdamW(1e-3), kd.optimizers.AdamW(2e-3)])
    ```

    Reference:
        [DINOv3, multi-student distillation](https://arxiv.org/abs/2508.10104)
    """

    def __init__(self, students, **kwargs):
        super().__init__(**kwargs)
        check_names("students", students)
        for student in students:
            if not student.teacher_is_fixed:
                raise ValueError(
                    "The teacher of several students must be fixed, but that "
                    f"of {student.name!r} is the moving average of "
                    f"{student.name!r} itself, from which others cannot "
                    "learn in step. Train it first, then pass it as "
                    "`teacher=` to each student."
                )
            if student.teacher is not students[0].teacher:
                raise ValueError(
                    "Argument `students` must share one teacher, but "
                    f"{student.name!r} has another copy than "
                    f"{students[0].name!r}. Build the first with "
                    "`teacher=trained` and the others with "
                    "`teacher=first.teacher`."
                )
        self.students = list(students)
        self.built = True

    def parts(self):
        return self.students

    def guards(self):
        return [
            training.SkippedStepGuard(
                student.max_skipped_steps, f"{student.name}_skipped_steps"
            )
            for student in self.students
        ]

    # === What is computed ===

    def call(self, views, training=None):
        """Features of all views, as `DinoLM.call` gives them.

        Args:
            views: dict of view group to its arrays, as `TextViews` gives it.
            training: boolean.

        Returns:
            `{"students": {name: {group: features}}, "teacher": {group:
            features}}`.
        """
        views = self._with_teacher_features(views)
        students = {
            student.name: student(views, training=training)["student"]
            for student in self.students
        }
        return {"students": students, "teacher": views[TEACHER_FEATURES]}

    def _with_teacher_features(self, views):
        """The batch, and what the teacher makes of it for all students."""
        groups = {}
        for student in self.students:
            student.check_views(views)
            groups |= dict.fromkeys(student.groups_read_by("teacher"))
        num_layers = max(s.num_teacher_layers for s in self.students)
        reader = self.students[0]
        features = {
            group: reader.read_as_teacher(views[group], num_layers)
            for group in groups
        }
        return {**views, TEACHER_FEATURES: features}

    def compute_loss(
        self,
        x=None,
        y=None,
        y_pred=None,
        sample_weight=None,
        training=True,
    ):
        """The sum of the losses, for `evaluate`; it updates the metrics."""
        total = 0.0
        views = {**x, TEACHER_FEATURES: y_pred["teacher"]}
        for student in self.students:
            features = y_pred["students"][student.name]
            outputs = {"student": features, "teacher": {}}
            loss = student.compute_loss(views, y_pred=outputs)
            student.track_loss(loss)
            total = total + loss
        return total

    @property
    def metrics(self):
        # Keras leaves out those of models within a model.
        own = [self._loss_tracker] if self.compiled else []
        return own + [m for s in self.students for m in s.metrics]

    def get_metrics_result(self):
        logs = {
            f"{student.name}_{name}": value
            for student in self.students
            for name, value in student.get_metrics_result().items()
        }
        total = sum(logs[f"{student.name}_loss"] for student in self.students)
        return {"loss": total, **logs}

    # === Training ===

    def train_step(self, *args):
        return training.train_each(
            self, self.students, self._with_teacher_features, *args
        )

    def compile(self, optimizer="adamw", **kwargs):
        """As `keras.Model.compile`, with an optimizer for each student.

        Args:
            optimizer: list of optimizers, one for each student in order; or a
                string, of which each student gets one.
            **kwargs: as for `keras.Model.compile`.
        """
        check_compile(self, kwargs)
        if isinstance(optimizer, str):
            optimizer = [optimizer] * len(self.students)
        optimizers = (
            list(map(keras.optimizers.get, optimizer))
            if isinstance(optimizer, list | tuple)
            else []
        )
        if len(set(map(id, optimizers))) != len(self.students):
            names = [student.name for student in self.students]
            raise ValueError(
                "Argument `optimizer` must be a list of an optimizer for each "
                f"of the students {names}, none of them twice. Received: "
                f"optimizer={optimizer!r}"
            )
        for student, one in zip(self.students, optimizers):
            student.compile(one, **kwargs)
        group = training.OptimizerGroup(self.students)
        super().compile(group, **{**kwargs, "auto_scale_loss": False})

    # === Saving ===

    def get_compile_config(self):
        if not self.compiled:
            return None
        configs = [s.get_compile_config() for s in self.students]
        return {**configs[0], "optimizer": [c["optimizer"] for c in configs]}

    def get_config(self):
        return {
            **super().get_config(),
            "teacher": keras.saving.serialize_keras_object(
                self.students[0].teacher
            ),
            "students": [part_config(s, "teacher") for s in self.students],
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        teacher = keras.saving.deserialize_keras_object(config.pop("teacher"))
        config["students"] = [
            part_from_config(student, "teacher", teacher)
            for student in config["students"]
        ]
        return cls(**config)


def check_names(argument, models):
    """Raises unless there are models, each with a name of its own."""
    names = [model.name for model in models]
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f"Argument `{argument}` must hold at least one `DinoLM`, each with "
            "a name of its own for the logs; pass `name=` to each. "
            f"Received models named: {names}"
        )


def part_config(model, shared):
    """The configuration of a part, without the network that all share."""
    config = keras.saving.serialize_keras_object(model)
    config.pop("compile_config", None)
    return {**config, "config": {**config["config"], shared: None}}


def part_from_config(config, shared, network):
    """The part, on the shared network."""
    config = {**config, "config": {**config["config"], shared: network}}
    return keras.saving.deserialize_keras_object(config)
