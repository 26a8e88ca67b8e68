"""A learner: a student's encoder, its lessons, and its own optimizer."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_dinolm.models.distillation.feature_statistics import (
    FeatureStatistics,
)
from keras_dinolm.models.distillation.lesson import Lesson
from keras_dinolm.models.distillation.named_layers import NamedLayers
from keras_dinolm.models.distillation.step_mean import StepMean
from keras_dinolm.models.distillation.tower import Tower
from keras_dinolm.models.distillation.weight_files import RECORD
from keras_dinolm.models.distillation.weight_files import describe_optimizer
from keras_dinolm.training.schedule_guard import ScheduleGuard
from keras_dinolm.typing import Tensor


def inner_optimizer(
    optimizer: keras.optimizers.Optimizer,
) -> keras.optimizers.Optimizer:
    """The optimizer that updates weights, without one that scales the loss."""
    return getattr(optimizer, "inner_optimizer", optimizer)


class Learner(keras.layers.Layer):
    """What one optimizer moves, and all that moves with it.

    The loss of a learner is the weighted mean of the losses of its lessons.
    `Distillation` makes its learners; nobody else needs to.

    Args:
        lessons: list of `Lesson`, built, all with the same student.
        name: string.
    """

    def __init__(self, lessons: list[Lesson], name: str) -> None:
        super().__init__(name=name)
        total = sum(lesson.weight for lesson in lessons)
        self._shares = {
            lesson.name: lesson.weight / total for lesson in lessons
        }
        self.lessons = NamedLayers(
            {lesson.name: lesson for lesson in lessons}, "lessons"
        )
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
        self.loss = StepMean(name="loss")
        self.feature_statistics = FeatureStatistics(
            lessons[0].encoder.pooled_dim
        )
        self.skipped_steps = keras.metrics.Sum(name="skipped_steps")
        self._find_optimizer: Callable | None = None
        self.built = True

    @property
    def optimizer(self) -> keras.optimizers.Optimizer:
        """The optimizer of this learner's variables."""
        if self._find_optimizer is None:
            raise ValueError("Call `model.compile(optimizer)` before training.")
        return self._find_optimizer()

    def set_optimizer(self, optimizer: keras.optimizers.Optimizer) -> None:
        # A function, or Keras would count its variables as the learner's.
        self._find_optimizer = lambda: optimizer
        # Inside a compiled step it would be too late to create its state.
        if not optimizer.built:
            optimizer.build(self.trainable_variables)

    def schedules(self) -> list[tuple[str, Any, dict[str, float]]]:
        """What moves with the optimizer updates.

        Returns:
            List of `(argument, schedule, limits)`, limits as for
            `keras_dinolm.arguments.number`.
        """
        optimizer = inner_optimizer(self.optimizer)
        found = [
            ("learning_rate", optimizer._learning_rate, {"low": 0.0}),
            ("weight_decay", getattr(optimizer, "decay", None), {"low": 0.0}),
        ]
        multipliers = getattr(optimizer, "multipliers", {})
        for pattern, value in multipliers.items():
            found.append((f"multipliers[{pattern!r}]", value, {"low": 0.0}))
        for lesson in self.lessons.values():
            limits = {"low": 0.0, "high": 1.0}
            found.append(("momentum", lesson.momentum, limits))
            for objective in lesson.objectives.values():
                for name, (value, limits) in objective.schedules().items():
                    found.append((f"{objective.name}.{name}", value, limits))
        return [entry for entry in found if callable(entry[1])]

    def guard(self) -> ScheduleGuard:
        """A callback that looks at the schedules before each epoch."""
        optimizer = inner_optimizer(self.optimizer)
        return ScheduleGuard(
            self.schedules(),
            lambda: int(ops.convert_to_numpy(self.updates)),
            optimizer.gradient_accumulation_steps or 1,
        )

    # === Saving ===

    def save_own_variables(self, store: dict) -> None:
        """Saves the counter, and what the slots of the optimizer are."""
        super().save_own_variables(store)
        if self._find_optimizer is not None:
            # Keras saves the slots by position.
            store[RECORD] = describe_optimizer(self.optimizer)

    def load_own_variables(self, store: dict) -> None:
        """Loads the counter; `load_weights` compares the optimizers."""
        if "0" not in store:
            raise ValueError(
                f"The file has no counter of updates of {self.name!r}."
            )
        self.updates.assign(store["0"])

    def learned(self) -> Tower:
        """The network that training is for: a teacher that moves, if any."""
        lessons = self.lessons.values()
        moving = [lesson for lesson in lessons if not lesson.teacher_is_fixed]
        return (moving or lessons)[0].learned()

    # === What is computed ===

    def evaluate_objectives(
        self, evaluate: dict, watched: dict, padding_mask: Tensor
    ) -> tuple[Tensor, dict]:
        """The loss, and everything that `after_step` wants to see.

        Args:
            evaluate: dict of the name of each lesson that has something to
                compute to a callable without arguments, which returns what
                `Lesson.evaluate_objectives` does.
            watched: features of one view group, for the statistics.
            padding_mask: boolean tensor `[B, V, L]` of that group.

        Returns:
            `(loss, aux)`: a float32 scalar, and a dict of arrays.
        """
        total = ops.cast(sum(self.losses, start=0.0), "float32")
        lessons = {}
        for name, compute in evaluate.items():
            loss, lessons[name] = compute()
            share = self._shares[name]
            # Without a product by 1, a single lesson rounds as it did alone.
            total = total + (loss if share == 1 else share * loss)
        return total, {
            "lessons": lessons,
            "features": FeatureStatistics.sums(watched, padding_mask),
        }

    # === What moves after a step ===

    def after_step(self, loss: Tensor, aux: dict, finite: Tensor) -> None:
        """Moves everything but the weights, once the gradients are known.

        Args:
            loss: scalar.
            aux: as `evaluate_objectives` returned it.
            finite: boolean scalar tensor. `False` moves nothing.
        """
        done = ops.cast(self.optimizer.iterations, self.updates.dtype)
        moved = ops.logical_and(finite, done > self.updates)
        for name, lesson in self.lessons.items():
            # A teacher follows its student while its lesson pauses, too.
            found = aux["lessons"].get(name, {"statistics": {}})
            lesson.after_step(found, finite, moved, self.updates)
        self.updates.assign(done)
        # A loss scale that settles overflows gradients of a loss that is well.
        self.track(loss, aux, ops.isfinite(loss))
        self.skipped_steps.update_state(1.0 - ops.cast(finite, "float32"))

    def track(self, loss: Tensor, aux: dict, finite: Tensor) -> None:
        """Adds a batch to the metrics.

        Args:
            loss: scalar.
            aux: as `evaluate_objectives` returned it.
            finite: boolean scalar. `False` leaves the batch out.
        """
        sums = aux["features"]
        are_finite = ops.isfinite(ops.sum(sums["second_moment"]))
        self.loss.update_state(loss, finite)
        for name, found in aux["lessons"].items():
            self.lessons[name].track(found, finite)
        self.feature_statistics.update_state(
            sums, ops.logical_and(finite, are_finite)
        )
