"""DINOv3's repair of token features: keep their similarities."""

import contextlib

import keras
from keras import ops

from keras_dinolm import losses
from keras_dinolm.layers.validation import check_positive
from keras_dinolm.objectives.objective import Objective
from keras_dinolm.objectives.objective import Result
from keras_dinolm.objectives.objective import read_by_both
from keras_dinolm.objectives.objective import rows_at
from keras_dinolm.objectives.token_alignment import align
from keras_dinolm.objectives.token_alignment import flat_slots


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

    It reads the view groups that student and teacher read. View groups with
    the role `"gram"` change that:

    - `("student", "gram")`: the Gram teacher reads this group, and no other
      is compared.
    - `"gram"` without `"student"`: a longer *context*. The Gram teacher reads
      the text around the student's view as well (DINOv3's Gram teacher reads
      a higher resolution), and its features are taken at the tokens that the
      student sees, by `positions`. A token that the context lacks has weight
      0 and is counted in the metric `tokens_without_context`. The group needs
      `count=1`, and usually `span=(1, 1)`, the whole window.

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

    The student reads 64 tokens, the Gram teacher all 256 around them:

    ```python
    tokens = kd.views.SpecialTokens(
        pad_token_id=0, cls_token_id=1, mask_token_id=2
    )
    views = kd.views.TextViews(
        tokens,
        sequence_length=256,
        groups=[
            kd.views.ViewGroup("global", 2, span=(0.2, 0.25)),
            kd.views.ViewGroup("local", 4, span=(0.05, 0.1), roles="student"),
            kd.views.ViewGroup("context", 1, roles="gram"),
        ],
    )
    model = kd.models.DinoLM(
        kd.models.DinoLMBackbone.from_size("nano", 1_000),
        [kd.objectives.InfoNCE(), objective],
        roles=views.roles,
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
        # Of a model whose groups start one by one: not other ones meanwhile.
        same, within, context = (
            (self.same, self.within, self.context)
            if self.built
            else _groups(roles)
        )
        reads = {("student", g) for g in same + within if g in roles}
        if self._given or not reads:
            return reads
        # When the teacher is copied, what it made of a group serves as well.
        return reads | {
            ("teacher", g)
            for g in same + context
            if "teacher" in roles.get(g, ())
        }

    def build_for(self, lesson):
        self.same, self.within, self.context = _groups(lesson.roles)
        if self.context:
            self.extra_metrics = ("tokens_without_context",)
        own = lesson.teacher.encoder
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
        super().build_for(lesson)

    def compute(self, features):
        due = None if self._given else self._due(features.update)
        values, metrics = [], {}
        for group in self.same:
            if group not in features.student:
                continue
            valid = _rows(features.batch[group]["positions"]) >= 0
            anchor = _rows(self._anchor(features, group, due))
            values.append(self._loss(features, group, anchor, valid))
        for context in self.context:
            anchor = self._anchor(features, context, due)
            places = _place_of_context(features.batch, context)
            missing = 0
            for group in self.within:
                if group not in features.student:
                    continue
                positions = features.batch[group]["positions"]
                batch_size, num_views, length = ops.shape(positions)
                slots, found = align(
                    ops.reshape(positions, (batch_size, -1)), places
                )
                there = rows_at(anchor, flat_slots(slots, anchor, 0))
                values.append(
                    self._loss(
                        features,
                        group,
                        ops.reshape(
                            there,
                            (batch_size * num_views, length, anchor.shape[-1]),
                        ),
                        ops.reshape(found, (-1, length)),
                    )
                )
                missing += ops.sum(
                    ops.cast(positions >= 0, "float32")
                ) - ops.sum(ops.cast(found, "float32"))
            metrics["tokens_without_context"] = missing
        statistics = {} if due is None else {"due": due}
        return Result(sum(values) / len(values), metrics, statistics)

    def _loss(self, features, group, anchor, valid):
        return losses.gram(
            _rows(features.student[group]["tokens"]),
            ops.stop_gradient(anchor),
            padding_mask=valid,
            remove_negative=self.remove_negative,
        )

    def after_step(self, statistics, finite, moved):
        if self._given:
            return
        # The teacher moves after this, if it does: what is copied is what
        # this step, and every other micro-batch of its update, has seen.
        taken = ops.logical_and(statistics["due"], finite)
        for mine, theirs in self._pairs():
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

    def _anchor(self, features, group, due):
        """The Gram teacher's tokens `[B, V, L, D]` of a view group.

        It is copied once this step is known to be good; until then, the
        teacher is what the copy will be.
        """
        arrays = features.batch[group]
        inputs = {
            "token_ids": _rows(arrays["token_ids"]),
            "padding_mask": _rows(arrays["padding_mask"]),
        }
        weights = contextlib.nullcontext()
        if due is not None and group not in features.teacher:
            weights = keras.StatelessScope(
                [
                    (mine, ops.where(due, theirs.value, mine.value))
                    for mine, theirs in self._pairs()
                ],
                initialize_variables=False,
            )
        with weights:
            tokens = self.gram_teacher(inputs, training=False)["tokens"]
        shape = ops.shape(arrays["token_ids"])
        tokens = ops.reshape(tokens, (*shape, tokens.shape[-1]))
        if due is not None and group in features.teacher:
            tokens = ops.where(due, features.teacher[group]["tokens"], tokens)
        return tokens

    def _pairs(self):
        return zip(
            self.gram_teacher.weights, self._source().weights, strict=True
        )

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


def _groups(roles):
    """What is compared, and how.

    Returns:
        Three tuples of view groups: those that student and Gram teacher read
        alike; those that the student reads within a context; and the context.
    """
    both = read_by_both(roles)
    marked = [group for group in roles if "gram" in roles[group]]
    same = tuple(g for g in marked if "student" in roles[g])
    context = tuple(g for g in marked if g not in same)
    if not marked:
        same = both
    within = tuple(g for g in both if g not in same) if context else ()
    if len(context) > 1 or not (within if context else same):
        raise ValueError(
            "`GramAnchoring` needs a view group that both networks read, or "
            "one with the roles 'student' and 'gram'; and at most one that "
            "the Gram teacher reads and the student does not, the context of "
            f"groups that both networks read. Received: roles={dict(roles)}"
        )
    return same, within, context


def _place_of_context(batch, group):
    """The positions `[B, L]` of the tokens of a context."""
    positions = batch[group]["positions"]
    if positions.shape[1] != 1:
        raise ValueError(
            f"View group '{group}' is the context of the Gram teacher, of "
            "which there is one to a text. Make it "
            f"`ViewGroup({group!r}, count=1, roles='gram')`. Received: a "
            f"group of {positions.shape[1]} views"
        )
    return positions[:, 0]


def _rows(x):
    """`[B, V, ...]` as `[B * V, ...]`."""
    return ops.reshape(x, (-1, *ops.shape(x)[2:]))
