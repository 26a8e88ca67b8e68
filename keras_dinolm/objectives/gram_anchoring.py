"""DINOv3's repair of token features: keep their similarities."""

import keras
from keras import ops

from keras_dinolm import losses
from keras_dinolm.layers.validation import check_positive
from keras_dinolm.objectives.objective import Objective
from keras_dinolm.objectives.objective import Result
from keras_dinolm.objectives.objective import read_by_both


@keras.saving.register_keras_serializable(package="keras_dinolm")
class GramAnchoring(Objective):
    """Holds the similarities between tokens where a past model had them.

    In long training the sequence loss wins over the token losses, and tokens
    come to resemble their text. This compares all cosines between the
    student's tokens of a view with those of a third, frozen network, the Gram
    teacher, on the same view whole; features may go on to change as long as
    their geometry stays. `[CLS]` and padding take no part.

    The Gram teacher is a given encoder, or a copy of the teacher as it is at
    optimizer update `start`, copied again every `refresh_every` updates, at
    most `max_refreshes` times. It is saved with the model. Before `start`
    nothing is computed.

    Args:
        teacher: `TextEncoder` or backbone that reads the same token ids, of
            any width; it is copied. `None` takes the model's own teacher.
        refresh_every: int or `None`. Optimizer updates between two copies of
            the model's teacher; `None` keeps the first.
        max_refreshes: int. How often it is copied again.
        remove_negative: boolean. Whether to take negative cosines for 0.
        **kwargs: as for `Objective`: `weight`, `start`, `stop`, `name`.
            DINOv3 takes a weight of 2.

    Example:

    ```python
    import keras_dinolm as kd

    objective = kd.objectives.GramAnchoring(
        weight=2.0, start=10_000, refresh_every=5_000
    )
    ```

    Reference:
        [DINOv3](https://arxiv.org/abs/2508.10104)
    """

    def __init__(
        self,
        teacher=None,
        refresh_every=None,
        max_refreshes=3,
        remove_negative=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if refresh_every is not None:
            check_positive("refresh_every", refresh_every)
            check_positive("max_refreshes", max_refreshes)
            if teacher is not None:
                raise ValueError(
                    "A given `teacher` stays as it is: leave "
                    "`refresh_every=None`, or `teacher=None` for copies of "
                    "the model's own teacher. Received: "
                    f"refresh_every={refresh_every}"
                )
        # A function, lest Keras count the network as ours: it is copied.
        self._given = None if teacher is None else lambda: teacher
        self.refresh_every = refresh_every
        self.max_refreshes = max_refreshes
        self.remove_negative = remove_negative
        self.gram_teacher = None

    def reads(self, roles):
        networks = {"student"} if self._given else {"student", "teacher"}
        return {(n, g) for g in read_by_both(roles) for n in networks}

    def build_for(self, model):
        self.groups = read_by_both(model.roles)
        if not self.groups:
            raise ValueError(
                "`GramAnchoring` needs a view group that both networks read. "
                f"Received: roles={dict(model.roles)}"
            )
        own = model.teacher.encoder
        encoder = own
        if self._given:
            encoder = self._given()
            if not isinstance(encoder, type(own)):
                encoder = type(own)(encoder)
            if encoder.vocabulary_size != own.vocabulary_size:
                raise ValueError(
                    "Argument `teacher` of `GramAnchoring` must read the same "
                    "token ids as the model, so come from the same tokenizer. "
                    f"Received: a vocabulary of {encoder.vocabulary_size} "
                    f"tokens, the model's has {own.vocabulary_size}"
                )
        else:
            self._source = lambda: own
            self.copies = self.add_weight(
                shape=(),
                dtype="int32",
                initializer="zeros",
                trainable=False,
                autocast=False,
                aggregation="only_first_replica",
                name="copies",
            )
        self.gram_teacher = encoder.clone(name="gram_teacher")
        self.gram_teacher.trainable = False
        super().build_for(model)

    def compute(self, features):
        due = None if self._given else self._due(features.update)
        values = []
        for group in self.groups:
            if group not in features.student:
                continue
            views = features.views[group]
            anchor = self._anchor(views)
            if due is not None:
                # Copied once this step is known to be good; until then the
                # teacher is what the copy will be.
                teacher = _rows(features.teacher[group]["tokens"])
                anchor = ops.where(due, teacher, anchor)
            values.append(
                losses.gram(
                    _rows(features.student[group]["tokens"]),
                    ops.stop_gradient(anchor),
                    padding_mask=_rows(views["positions"]) >= 0,
                    remove_negative=self.remove_negative,
                )
            )
        statistics = {} if due is None else {"due": due}
        return Result(sum(values) / len(values), statistics=statistics)

    def after_step(self, statistics, finite, moved):
        if self._given:
            return
        # The teacher moves after this, if it does: what is copied is what
        # this step, and every other micro-batch of its update, has seen.
        taken = ops.logical_and(statistics["due"], finite)
        for mine, theirs in zip(
            self.gram_teacher.weights, self._source().weights, strict=True
        ):
            mine.assign(ops.where(taken, theirs.value, mine.value))
        self.copies.assign(self.copies.value + ops.cast(taken, "int32"))

    def _due(self, update):
        """Whether the teacher is to be copied at this optimizer update."""
        copies = self.copies.value
        due = copies == 0
        if self.refresh_every is not None:
            time = self.start + copies * self.refresh_every
            again = ops.logical_and(
                copies <= self.max_refreshes,
                ops.cast(update, "int32") >= time,
            )
            due = ops.logical_or(due, again)
        return due

    def _anchor(self, views):
        inputs = {
            "token_ids": _rows(views["token_ids"]),
            "padding_mask": _rows(views["padding_mask"]),
        }
        return self.gram_teacher(inputs, training=False)["tokens"]

    def get_config(self):
        teacher = None
        if self._given:
            teacher = self._given() if not self.built else self.gram_teacher
        return {
            **super().get_config(),
            "teacher": keras.saving.serialize_keras_object(teacher),
            "refresh_every": self.refresh_every,
            "max_refreshes": self.max_refreshes,
            "remove_negative": self.remove_negative,
        }


def _rows(x):
    """`[B, V, ...]` as `[B * V, ...]`."""
    return ops.reshape(x, (-1, *ops.shape(x)[2:]))
