"""The base of all objectives."""

import dataclasses
import re
from typing import Any

import keras

from keras_dinolm import arguments
from keras_dinolm.objectives.features import Features
from keras_dinolm.schedules import Schedule
from keras_dinolm.schedules.values import checked_value
from keras_dinolm.typing import Tensor


@dataclasses.dataclass(frozen=True)
class Result:
    """What an objective computes from one batch.

    Attributes:
        loss: float32 scalar, not yet weighted.
        metrics: dict of scalars to log, one for each of the objective's
            `extra_metrics`. In the logs, the objective's name comes first.
        statistics: dict of arrays for `after_step`, which gets them once the
            gradients are known to be finite or not.
    """

    loss: Tensor
    metrics: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    statistics: dict[str, Tensor] = dataclasses.field(default_factory=dict)


class Objective(keras.layers.Layer):
    """A loss with a weight, a time when it acts, and metrics of its own.

    A new objective states what it reads in `reads` and computes a scalar in
    `compute`; that is enough. Four attributes of the class say more about it:

    - `reads_tokens`: of which views it reads the features of tokens: `"all"`
      (the default), those that are `"masked"`, or `"none"`. Where nobody
      reads tokens, what only they need is not computed.
    - `heads`: names of the projection heads that it reads, usually
      `("sequence",)` or `("token",)`. The head `"sequence"` reads the
      feature of a text, any other one those of tokens; mostly these are of
      one size. Objectives that name the same head share it.
      `features.student_logits` and `features.teacher_logits` go through them.
    - `extra_metrics`: names of the metrics that it logs beside its loss, the
      keys of `Result.metrics`.
    - `num_teacher_layers`: how many of the teacher's last layers it reads
      beside the output.

    One with layers or variables creates them in `build_for`; they train, and
    are saved with the model. What is no weight of the loss, such as a running
    mean, moves in `after_step`. One with arguments returns them from
    `get_config`, as any Keras layer.

    An objective belongs to one model.

    Args:
        weight: float or schedule of the optimizer update. With a plain 0 the
            objective is left out and costs nothing.
        start: int. First optimizer update at which it acts. Before it, and
            from `stop` on, the objective costs nothing, and neither do the
            forward passes that only it reads. Crossing the boundary compiles
            the training step again, once.
        stop: int or `None`. First optimizer update at which it acts no more.
        **kwargs: as for `keras.layers.Layer`. In the logs, `name` is its loss
            and `<name>_<metric>` each of its metrics; two objectives of one
            class need different names.

    Raises:
        ValueError: for a negative `weight`, or unless `0 <= start < stop`.

    Example:

    The student's global views should agree with the teacher's mean view:

    ```python
    import keras
    import keras_dinolm as kd

    @keras.saving.register_keras_serializable(package="mine")
    class MeanView(kd.objectives.Objective):
        reads_tokens = "none"

        def reads(self, roles):
            return {("student", "global"), ("teacher", "global")}

        def compute(self, features):
            student = features.student["global"]["sequence"]
            teacher = features.teacher["global"]["sequence"]
            target = keras.ops.mean(teacher, axis=1, keepdims=True)
            error = keras.ops.mean(keras.ops.square(student - target))
            return kd.objectives.Result(error)

    model = kd.models.DinoLM(
        kd.models.DinoLMBackbone.from_size("nano", 100),
        [MeanView(weight=0.1), kd.objectives.InfoNCE()],
        num_prototypes=64,
    )
    ```

    The same through a layer of its own, with an argument, a metric, and a
    count of the updates that it has acted in:

    ```python
    @keras.saving.register_keras_serializable(package="mine")
    class PredictedMeanView(MeanView):
        extra_metrics = ("updates",)

        def __init__(self, activation="relu", **kwargs):
            super().__init__(**kwargs)
            self.activation = activation

        def build_for(self, lesson):
            width = lesson.student.encoder.pooled_dim
            self.predictor = keras.layers.Dense(width, self.activation)
            self.predictor.build((None, None, width))
            self.updates = self.add_weight(
                initializer="zeros", trainable=False, name="updates"
            )
            super().build_for(lesson)

        def compute(self, features):
            student = features.student["global"]["sequence"]
            teacher = features.teacher["global"]["sequence"]
            target = keras.ops.mean(teacher, axis=1, keepdims=True)
            error = self.predictor(student) - target
            loss = keras.ops.mean(keras.ops.square(error))
            metrics = {"updates": self.updates.value}
            return kd.objectives.Result(loss, metrics)

        def after_step(self, statistics, finite, moved):
            self.updates.assign_add(keras.ops.cast(moved, "float32"))

        def get_config(self):
            return {**super().get_config(), "activation": self.activation}

    model = kd.models.DinoLM(
        kd.models.DinoLMBackbone.from_size("nano", 100),
        [PredictedMeanView("gelu")],
        num_prototypes=64,
    )
    ```
    """

    heads: tuple[str, ...] = ()
    extra_metrics: tuple[str, ...] = ()
    num_teacher_layers = 0
    reads_tokens = "all"

    def __init__(
        self,
        weight: float | Schedule = 1.0,
        start: int = 0,
        stop: int | None = None,
        **kwargs: Any,
    ) -> None:
        # Keras would number the names of a second model, and with them the
        # metrics in its logs.
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__)
        kwargs.setdefault("name", words.lower())
        super().__init__(**kwargs)
        weight = checked_value("weight", weight, low=0)
        start = arguments.count("start", start, 0)
        if stop is not None:
            stop = arguments.count("stop", stop, 0)
        if stop is not None and stop <= start:
            raise ValueError(
                "Arguments `start` and `stop` are optimizer updates with "
                f"0 <= start < stop. Received: start={start}, stop={stop}"
            )
        if self.reads_tokens not in ("all", "masked", "none"):
            raise ValueError(
                f"`{type(self).__name__}.reads_tokens` must be 'all', "
                f"'masked' or 'none'. Received: {self.reads_tokens!r}"
            )
        for attribute in ("heads", "extra_metrics"):
            if isinstance(getattr(self, attribute), str):
                raise ValueError(
                    f"`{type(self).__name__}.{attribute}` must be a tuple of "
                    f"strings. Received: {getattr(self, attribute)!r}"
                )
        self.weight = weight
        self.start = start
        self.stop = stop

    def schedules(self) -> dict[str, tuple[Schedule, dict[str, float]]]:
        """The arguments that are schedules, and the ranges of their values.

        Returns:
            `{argument: (schedule, limits)}`, limits as for
            `keras_dinolm.arguments.number`.
        """
        found = {
            "weight": (self.weight, {"low": 0.0}),
            "teacher_temperature": (
                getattr(self, "teacher_temperature", None),
                {"above": 0.0},
            ),
        }
        return {
            name: (value, limits)
            for name, (value, limits) in found.items()
            if callable(value)
        }

    def acts_at(self, update: int) -> bool:
        """Whether the objective takes part at an optimizer update.

        Args:
            update: int, the number of updates done.

        Returns:
            A boolean.
        """
        if not callable(self.weight) and self.weight == 0:
            return False
        return self.start <= update and (
            self.stop is None or update < self.stop
        )

    def reads(self, roles: dict[str, tuple[str, ...]]) -> set[tuple[str, str]]:
        """States the forward passes that the objective needs.

        An objective waits until all view groups that it reads have started.

        Args:
            roles: dict of view group to its roles, of the groups that have
                started.

        Returns:
            A set of `(network, group)`, network `"student"` or `"teacher"`.
        """
        raise NotImplementedError(
            f"`{type(self).__name__}` must say what it reads: define "
            "`reads(self, roles)`, which returns a set such as "
            '`{("student", "global"), ("teacher", "global")}`.'
        )

    def metric_names(self) -> list[str]:
        """Lists its names in the logs: of its loss, and of its metrics.

        Returns:
            A list of strings.
        """
        return [self.name, *(f"{self.name}_{m}" for m in self.extra_metrics)]

    def check_is_free(self) -> None:
        """Raises if the objective or its targets belong to another model.

        Raises:
            ValueError: naming what belongs to another model, whose training
                would move its state.
        """
        for layer in self._flatten_layers():
            if getattr(layer, "_is_claimed", False):
                raise ValueError(
                    f"The {type(layer).__name__} {layer.name!r} belongs to "
                    "another model or objective already, whose training moves "
                    "its state. Make a new one for each."
                )

    def claim(self) -> None:
        """Marks the objective and its targets as those of one model."""
        for layer in self._flatten_layers():
            layer._is_claimed = True

    def build_for(self, lesson: Any) -> None:
        """Creates the objective's state, given the lesson it is part of.

        Subclasses end by calling the method of this class.

        Args:
            lesson: `keras_dinolm.models.Lesson`. Its networks `student` and
                `teacher` have an `encoder` with a `hidden_dim`, the size of a
                token's features, and a `pooled_dim`, that of a text's; it
                also has `roles`, `num_prototypes` and `bottleneck_dim`.
        """
        self.built = True

    def compute(self, features: Features) -> Result:
        """Computes the loss of one batch.

        It runs inside the compiled training step, so only on `keras.ops`.

        Args:
            features: `Features`, what the networks made of the batch.

        Returns:
            `Result`.
        """
        raise NotImplementedError(
            f"`{type(self).__name__}` must compute a loss: define "
            "`compute(self, features)`, which returns a "
            "`keras_dinolm.objectives.Result`."
        )

    def after_step(
        self, statistics: dict[str, Tensor], finite: Tensor, moved: Tensor
    ) -> None:
        """Updates the objective's own state, once the gradients are known.

        Args:
            statistics: dict, those of the `Result` of this step.
            finite: boolean scalar tensor, whether this step's gradients are.
                If not, nothing should move.
            moved: boolean scalar tensor, whether the optimizer made an update
                (no at the inner steps of gradient accumulation).
        """

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "weight": keras.saving.serialize_keras_object(self.weight),
            "start": self.start,
            "stop": self.stop,
        }

    @classmethod
    def from_config(cls, config: dict) -> "Objective":
        config = {
            key: keras.saving.deserialize_keras_object(value)
            if isinstance(value, dict) and "class_name" in value
            else value
            for key, value in config.items()
        }
        return cls(**config)
