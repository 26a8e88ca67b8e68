"""Several fixed teachers of one student."""

import keras
from keras import ops

from keras_dinolm import training
from keras_dinolm.models.distillation.multi_student_distillation import (
    check_names,
)
from keras_dinolm.models.distillation.multi_student_distillation import (
    part_config,
)
from keras_dinolm.models.distillation.multi_student_distillation import (
    part_from_config,
)
from keras_dinolm.models.presets.export_preset import export_preset
from keras_dinolm.training.phased_model import PhasedModel
from keras_dinolm.training.phased_model import check_compile


@keras.saving.register_keras_serializable(package="keras_dinolm")
class MultiTeacherDistillation(PhasedModel):
    """Trains one encoder as the student of several fixed teachers.

    Teachers of different corpora or objectives know different things, and
    have prototypes of their own, of any number. So the student has heads of
    its own for each, and objectives, targets and centers: it is a list of
    `DinoLM`s that share one encoder. The encoder reads each view once; the
    loss is the weighted mean over the teachers of each one's loss.

    In the logs, what belongs to a teacher begins with the name of its
    `DinoLM`. An objective that reads no teacher, such as `InfoNCE`, belongs
    into one of them, and is weighted as the rest of it.

    Args:
        models: list of `DinoLM`, each with a fixed teacher, a name, and the
            same `TextEncoder` object as its backbone.
        teacher_weights: list of floats, how much each counts in the mean.
            `None` weighs all the same.
        **kwargs: as for `keras.Model`.

    Raises:
        ValueError: if models have the same name, different encoders, a
            teacher that is not fixed, or not the same `mask_student`; or for
            weights that are negative, all 0, or not as many.

    Example:

    ```python
    import keras_dinolm as kd

    def backbone(width):
        return kd.models.DinoLMBackbone(
            1_000, num_layers=1, num_heads=2, hidden_dim=width,
            intermediate_dim=2 * width,
        )

    objectives = [kd.objectives.SequenceDistillation()]
    docs = kd.models.DinoLM(backbone(32), objectives, num_prototypes=64)
    news = kd.models.DinoLM(backbone(48), objectives, num_prototypes=96)

    encoder = kd.models.TextEncoder(backbone(16))
    model = kd.models.MultiTeacherDistillation([
        kd.models.DinoLM(
            encoder, [kd.objectives.SequenceDistillation()], teacher=teacher,
            name=name,
        )
        for name, teacher in (("docs", docs), ("news", news))
    ])
    model.compile(kd.optimizers.adamw(1e-3, schedule="constant"))
    ```

    References:
        - [DINOv3, distillation through heads](https://arxiv.org/abs/2508.10104)
        - [AM-RADIO, several teachers](https://arxiv.org/abs/2312.06709)
    """

    def __init__(self, models, teacher_weights=None, **kwargs):
        super().__init__(**kwargs)
        check_names("models", models)
        encoder = models[0].student.encoder
        for model in models:
            if not model.teacher_is_fixed:
                raise ValueError(
                    "Each of several teachers must be fixed, but that of "
                    f"{model.name!r} is a moving average of the student. "
                    "Build it with `teacher=trained`."
                )
            if model.student.encoder is not encoder:
                raise ValueError(
                    "Argument `models` must share the student's encoder: make "
                    "`encoder = TextEncoder(backbone)` once and build each "
                    "`DinoLM` on it. Received: another encoder in "
                    f"{model.name!r} than in {models[0].name!r}"
                )
        masked = [bool(model.mask_student) for model in models]
        if len(set(masked)) > 1:
            raise ValueError(
                "The student reads each view once, masked or whole: give all "
                "`models` the same `mask_student`. Received: "
                f"mask_student={masked}"
            )
        if teacher_weights is None:
            teacher_weights = [1.0] * len(models)
        if (
            len(teacher_weights) != len(models)
            or min(teacher_weights) < 0
            or not sum(teacher_weights) > 0
        ):
            raise ValueError(
                "Argument `teacher_weights` must be a number of at least 0 "
                f"for each of the {len(models)} models, not all 0. Received: "
                f"teacher_weights={teacher_weights}"
            )
        self.models = list(models)
        self.teacher_weights = list(map(float, teacher_weights))
        total = sum(self.teacher_weights)
        self._shares = [weight / total for weight in self.teacher_weights]
        self.built = True

    def parts(self):
        return self.models

    def guards(self):
        # All of them skip the same steps.
        limit = min(model.max_skipped_steps for model in self.models)
        return [training.SkippedStepGuard(limit)]

    @property
    def encoder(self):
        """The student's `TextEncoder`."""
        return self.models[0].student.encoder

    # === What is computed ===

    def call(self, views, training=None):
        """Features of all views, as `DinoLM.call` gives them.

        Args:
            views: dict of view group to its arrays, as `TextViews` gives it.
            training: boolean.

        Returns:
            `{"student": {group: features}, "teachers": {name: {group:
            features}}}`.
        """
        groups, teachers = {}, {}
        for model in self.models:
            model.check_views(views)
            groups |= dict.fromkeys(model.groups_read_by("student"))
            teachers[model.name] = {
                group: model.read_as_teacher(views[group])
                for group in model.groups_read_by("teacher")
            }
        first = self.models[0]
        student = {
            group: first.student(
                views[group], masked=first.mask_student, training=training
            )
            for group in groups
        }
        return {"student": student, "teachers": teachers}

    def evaluate_objectives(self, views, outputs):
        """The mean loss, and everything that `after_step` wants to see.

        Args:
            views: the batch.
            outputs: what `call` made of it.

        Returns:
            `(loss, aux)`: a scalar, and a dict of arrays.
        """
        total, aux = 0.0, {}
        for model, share in zip(self.models, self._shares):
            loss, found = model.evaluate_objectives(
                views, self._outputs_of(model, outputs)
            )
            total = total + share * loss
            aux[model.name] = {**found, "loss": ops.stop_gradient(loss)}
        return total, aux

    def _outputs_of(self, model, outputs):
        teacher = outputs["teachers"][model.name]
        return {"student": outputs["student"], "teacher": teacher}

    def after_step(self, loss, aux, finite):
        """Moves everything but the weights: once the gradients are known.

        Args:
            loss: scalar.
            aux: as `evaluate_objectives` returned it.
            finite: boolean scalar tensor. `False` moves nothing.
        """
        for model in self.models:
            found = aux[model.name]
            model.after_step(found["loss"], found, finite)
        self._loss_tracker.update_state(
            ops.where(finite, loss, 0.0),
            sample_weight=ops.cast(finite, "float32"),
        )

    def compute_loss(
        self,
        x=None,
        y=None,
        y_pred=None,
        sample_weight=None,
        training=True,
    ):
        """The loss alone, for `evaluate`; it also updates the metrics."""
        total = 0.0
        for model, share in zip(self.models, self._shares):
            outputs = self._outputs_of(model, y_pred)
            loss = model.compute_loss(x, y_pred=outputs)
            model.track_loss(loss)
            total = total + share * loss
        return total

    @property
    def metrics(self):
        # Keras leaves out those of models within a model.
        own = [self._loss_tracker] if self.compiled else []
        return own + [m for model in self.models for m in model.metrics]

    def get_metrics_result(self):
        logs = {"loss": self._loss_tracker.result()}
        for model in self.models:
            own = {"loss", *(tracker.name for tracker in model.trackers)}
            for name, value in model.get_metrics_result().items():
                # The rest is about the student, and the same for all.
                logs[f"{model.name}_{name}" if name in own else name] = value
        return logs

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
        self.optimizer.build(self.trainable_variables)
        for model in self.models:
            # Its counter drives their schedules.
            model.compile(
                self.optimizer, **{**kwargs, "auto_scale_loss": False}
            )

    # === Saving ===

    def export_preset(self, directory, tokenizer, sequence_length=None):
        """Writes the student's encoder and the tokenizer as a preset.

        Args:
            directory: string or path. The folder to write.
            tokenizer: the tokenizer that the teachers were trained with.
            sequence_length: int. As for `DinoLM.export_preset`.
        """
        export_preset(self.encoder, tokenizer, directory, sequence_length)

    def get_config(self):
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "models": [part_config(m, "backbone") for m in self.models],
            "teacher_weights": self.teacher_weights,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        encoder = keras.saving.deserialize_keras_object(config.pop("encoder"))
        config["models"] = [
            part_from_config(model, "backbone", encoder)
            for model in config["models"]
        ]
        return cls(**config)
