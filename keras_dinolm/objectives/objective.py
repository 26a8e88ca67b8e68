"""The base of all objectives, and what they are given to read."""

import dataclasses
import re
import typing

import keras
from keras import ops


@dataclasses.dataclass(frozen=True)
class Features:
    """What both networks made of one batch of views.

    Attributes:
        batch: dict of group name to the group's arrays, as `TextViews` makes
            them.
        student: dict of group name to `{"tokens": [B, V, L, D],
            "sequence": [B, V, D]}`; `"tokens"` where an active objective
            `reads_tokens`.
        teacher: the same for the teacher, without gradient; and `"layers"`,
            a list of the last layers' tokens `[B, V, L, D]`, if an active
            objective asks for them by `num_teacher_layers`.
        update: scalar tensor, the number of optimizer updates done.
        student_logits: callable `(head, features) -> logits`, through the
            student's projection head and prototypes of that name.
        teacher_logits: the same through the teacher's.
        student_factors: callable `(head, features) -> (projected,
            prototypes)`, whose product are the student's logits, for losses
            that never hold them whole.
        teacher_factors: the same of the teacher's logits.

    Where a view group has not started yet (`DinoLM(group_starts=...)`),
    `student` and `teacher` lack it.
    """

    batch: dict
    student: dict
    teacher: dict
    update: object
    student_logits: object
    teacher_logits: object
    student_factors: object = None
    teacher_factors: object = None

    def at(self, value):
        """A number, or the value of a schedule at this optimizer update."""
        if callable(value):
            return ops.cast(value(self.update), "float32")
        return value

    def teacher_rows(self, targets, head, features):
        """What `targets` assign: the teacher's logits or projections."""
        if getattr(targets, "reads_projections", False):
            return self.teacher_factors(head, features)[0]
        return self.teacher_logits(head, features)

    def masked_tokens(self, group):
        """The masked tokens of a group as flat indices.

        Returns:
            `(indices, valid, weight)`, each `[M]`: places in the flattened
            `[B * V * L]` tokens; 1 for used slots and 0 for spare ones; and
            a weight by which each masked view counts the same, however many
            of its tokens are masked.
        """
        arrays = self.batch[group]
        slots = ops.reshape(arrays["masked_indices"], (-1,))
        valid = ops.cast(slots >= 0, "float32")
        indices = ops.maximum(slots, 0)
        masked = ops.cast(arrays["masked"], "float32")
        length = masked.shape[-1]
        if length is None:
            length = ops.shape(masked)[-1]
        counts = ops.reshape(ops.sum(masked, axis=-1), (-1,))
        per_view = ops.take(counts, indices // length)
        return indices, valid, valid / ops.maximum(per_view, 1.0)

    def masked_rows(self, objective, groups, read):
        """What an objective reads of the masked tokens of several groups.

        Args:
            objective: string. Who asks, for the error.
            groups: names of view groups. Those without masks, and those that
                the student does not read now, are left out.
            read: callable `(group, indices) -> (rows, ...)`, of the flat
                indices `[M]` of a group's masked tokens.

        Returns:
            `(rows, valid, weight)`: a list of what `read` returned, `valid`
            and `weight` as for `masked_tokens`, each joined over the groups.

        Raises:
            ValueError: if no group has masks.
        """
        parts = []
        for group in groups:
            if group not in self.student:
                continue
            if "masked_indices" in self.batch[group]:
                indices, valid, weight = self.masked_tokens(group)
                parts.append((*read(group, indices), valid, weight))
        if not parts:
            raise ValueError(
                f"`{objective}` found no masked view: no group of "
                f"{list(groups)} has masks. Give one of them a "
                "`mask_probability` above 0, or remove the objective."
            )
        *rows, valid, weight = (ops.concatenate(part) for part in zip(*parts))
        return rows, valid, weight


class Result(typing.NamedTuple):
    """What an objective computes from one batch.

    Attributes:
        loss: float32 scalar, not yet weighted.
        metrics: dict of scalars to log, keyed as in `extra_metrics`. In the
            logs, the name of the objective comes first.
        statistics: dict of arrays for `after_step`, once the gradients are
            known to be finite.
    """

    loss: object
    metrics: dict = {}
    statistics: dict = {}


class Objective(keras.layers.Layer):
    """A loss with a weight, a time when it acts, and metrics of its own.

    A new objective states what it reads in `reads` and computes a scalar in
    `compute`. Layers and variables that it creates in `build_for` train and
    are saved with the model.

    Args:
        weight: float or schedule of the optimizer update. With a plain 0 the
            objective is left out and costs nothing.
        start: int. First optimizer update at which it acts. Before it, and
            from `stop` on, the objective costs nothing, and neither do the
            forward passes that only it reads. Crossing the boundary compiles
            the training step anew, once.
        stop: int or `None`. First optimizer update at which it acts no more.
        **kwargs: as for `keras.layers.Layer`; `name` is also the name of its
            metric.

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
    ```
    """

    # Names of the projection heads that it reads, each made once per model.
    heads = ()
    # Names of the metrics that it logs beside its loss.
    extra_metrics = ()
    # How many of the teacher's last layers it reads, beside the output.
    num_teacher_layers = 0
    # Of which views it reads the features of tokens: "all", those that are
    # "masked", or "none". Where none are read, blocks that a text's feature
    # does not need do not run.
    reads_tokens = "all"

    def __init__(self, weight=1.0, start=0, stop=None, **kwargs):
        # Keras would number the names of a second model, and with them the
        # metrics in its logs.
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__)
        kwargs.setdefault("name", words.lower())
        super().__init__(**kwargs)
        if not callable(weight) and weight < 0:
            raise ValueError(
                "Argument `weight` must be a schedule or a number of at least "
                f"0. Received: weight={weight}"
            )
        if start < 0 or (stop is not None and stop <= start):
            raise ValueError(
                "Arguments `start` and `stop` are optimizer updates with "
                f"0 <= start < stop. Received: start={start}, stop={stop}"
            )
        if self.reads_tokens not in ("all", "masked", "none"):
            raise ValueError(
                f"`{type(self).__name__}.reads_tokens` must be 'all', "
                f"'masked' or 'none'. Received: {self.reads_tokens!r}"
            )
        self.weight = weight
        self.start = start
        self.stop = stop

    def acts_at(self, update):
        """Whether the objective takes part at this optimizer update."""
        if not callable(self.weight) and self.weight == 0:
            return False
        return self.start <= update and (
            self.stop is None or update < self.stop
        )

    def reads(self, roles):
        """The forward passes that it needs.

        Args:
            roles: dict of view group to its roles.

        Returns:
            A set of `(network, group)`, network `"student"` or `"teacher"`.
        """
        raise NotImplementedError

    def metric_names(self) -> list[str]:
        """The names in the logs: its own, and those of its metrics."""
        return [self.name, *(f"{self.name}_{m}" for m in self.extra_metrics)]

    def claim(self) -> None:
        """Marks the objective and its targets as those of one model.

        Raises:
            ValueError: if they belong to another model already. Training it
                would move the state of the first.
        """
        for layer in [self, *self._flatten_layers(include_self=False)]:
            if getattr(layer, "_is_claimed", False):
                raise ValueError(
                    f"The {type(layer).__name__} {layer.name!r} belongs to "
                    "another model or objective already, whose training moves "
                    "its state. Make a new one for each."
                )
            layer._is_claimed = True

    def build_for(self, lesson: typing.Any) -> None:
        """Creates the objective's state, given the lesson it is part of.

        Args:
            lesson: `keras_dinolm.models.Lesson` with its networks `student`
                and `teacher`, `roles`, `num_prototypes` and `bottleneck_dim`.
        """
        self.built = True

    def compute(self, features):
        """The loss of one batch.

        Args:
            features: `Features`.

        Returns:
            `Result`.
        """
        raise NotImplementedError

    def after_step(self, statistics, finite, moved):
        """Updates the objective's state.

        Args:
            statistics: as `compute` returned them.
            finite: boolean scalar tensor, whether this step's gradients are.
            moved: boolean scalar tensor, whether the optimizer made an update
                (no at the inner steps of gradient accumulation).
        """

    def get_config(self):
        return {
            **super().get_config(),
            "weight": keras.saving.serialize_keras_object(self.weight),
            "start": self.start,
            "stop": self.stop,
        }

    @classmethod
    def from_config(cls, config):
        config = {
            key: keras.saving.deserialize_keras_object(value)
            if isinstance(value, dict) and "class_name" in value
            else value
            for key, value in config.items()
        }
        return cls(**config)


def read_by_both(roles):
    """The view groups that student and teacher read."""
    return tuple(g for g in roles if {"student", "teacher"} <= set(roles[g]))


def rows_at(tokens, indices):
    """The rows of `[..., D]` at flat indices `[M]`, as `[M, D]`."""
    return ops.take(
        ops.reshape(tokens, (-1, tokens.shape[-1])), indices, axis=0
    )
