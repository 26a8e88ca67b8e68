"""DINOv3's repair of token features: keep their similarities."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from keras_dinolm import arguments
from keras_dinolm import losses
from keras_dinolm.objectives.features import Features
from keras_dinolm.objectives.features import rows_at
from keras_dinolm.objectives.gram_groups import find_gram_groups
from keras_dinolm.objectives.gram_groups import join_views
from keras_dinolm.objectives.gram_groups import positions_of_context
from keras_dinolm.objectives.objective import Objective
from keras_dinolm.objectives.objective import Result
from keras_dinolm.objectives.own_teacher import check_own_teacher
from keras_dinolm.objectives.own_teacher import own_copy
from keras_dinolm.objectives.own_teacher import own_tokens
from keras_dinolm.objectives.token_alignment import align
from keras_dinolm.objectives.token_alignment import flat_slots
from keras_dinolm.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_dinolm")
class GramAnchoring(Objective):
    """Holds the similarities between tokens where a past model had them.

    In long training the sequence loss wins over the token losses, and tokens
    come to resemble their text. This compares all cosines between the
    student's tokens of a view with those of a third, frozen network, the Gram
    teacher, which reads the same view whole. Features may still change, as
    long as their geometry stays. `[CLS]` and padding take no part.

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
        max_refreshes: int or `None`, with `refresh_every`. How often the
            teacher is copied again; `None` takes 3.
        remove_negative: boolean. Whether to count negative cosines as 0.
        **kwargs: as for `Objective`: `weight`, `start`, `stop`, `name`.
            DINOv3 takes a weight of 2.

    Raises:
        ValueError: for `refresh_every` with a given `teacher`,
            `max_refreshes` without `refresh_every`, either below 1, a teacher
            of another vocabulary, or roles of which nothing can be compared.

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
        teacher: Any = None,
        refresh_every: int | None = None,
        max_refreshes: int | None = None,
        remove_negative: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_own_teacher(teacher)
        if refresh_every is None and max_refreshes is not None:
            raise ValueError(
                "Argument `max_refreshes` counts the copies that "
                "`refresh_every` asks for: pass it, too, or leave "
                "`max_refreshes=None`. Received: "
                f"max_refreshes={max_refreshes}, refresh_every=None"
            )
        if refresh_every is not None:
            max_refreshes = 3 if max_refreshes is None else max_refreshes
            refresh_every = arguments.count("refresh_every", refresh_every)
            max_refreshes = arguments.count("max_refreshes", max_refreshes)
            if teacher is not None:
                raise ValueError(
                    "A given `teacher` stays as it is: leave "
                    "`refresh_every=None`, or `teacher=None` for copies of "
                    "the model's own teacher. Received: "
                    f"refresh_every={refresh_every}"
                )
        # A function, so that Keras does not count the network as ours: it is
        # copied.
        self._given = None if teacher is None else lambda: teacher
        self.refresh_every = refresh_every
        self.max_refreshes = max_refreshes
        self.remove_negative = arguments.flag(
            "remove_negative", remove_negative
        )
        self.gram_teacher: Any = None

    def reads(self, roles: dict[str, tuple[str, ...]]) -> set[tuple[str, str]]:
        # Once built, the groups stay the same, also while some of them have
        # not started.
        groups = self.groups if self.built else find_gram_groups(roles)
        reads = {
            ("student", g) for g in groups.same + groups.within if g in roles
        }
        if self._given or not reads:
            return reads
        # When the teacher is copied, its features of a group are those of the
        # copy, and need no second reading.
        return reads | {
            ("teacher", g)
            for g in groups.same + groups.context
            if "teacher" in roles.get(g, ())
        }

    def build_for(self, lesson: Any) -> None:
        self.groups = find_gram_groups(lesson.roles)
        if self.groups.context:
            self.extra_metrics = ("tokens_without_context",)
        encoder = self._given() if self._given else lesson.teacher.encoder
        if not self._given and not hasattr(encoder, "clone"):
            raise ValueError(
                "`GramAnchoring` copies the teacher, of which a "
                "`CachedTeacher` has no network: pass an encoder as its "
                "`teacher`. Received: teacher=None"
            )
        if not self._given:
            self._source = lambda: encoder
            self.copies = self.add_weight(
                shape=(),
                dtype="int32",
                initializer="zeros",
                trainable=False,
                autocast=False,
                aggregation="only_first_replica",
                name="copies",
            )
        self.gram_teacher = own_copy(
            encoder, lesson, "GramAnchoring", "gram_teacher"
        )
        super().build_for(lesson)

    def compute(self, features: Features) -> Result:
        due = None if self._given else self._due(features.update)
        values, metrics = [], {}
        for group in self.groups.same:
            if group not in features.student:
                continue
            valid = join_views(features.batch[group]["positions"]) >= 0
            anchor = join_views(self._anchor(features, group, due))
            values.append(self._loss(features, group, anchor, valid))
        for context in self.groups.context:
            anchor = self._anchor(features, context, due)
            places = positions_of_context(features.batch, context)
            missing = 0
            for group in self.groups.within:
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

    def _loss(
        self, features: Features, group: str, anchor: Tensor, valid: Tensor
    ) -> Tensor:
        return losses.gram(
            join_views(features.student[group]["tokens"]),
            ops.stop_gradient(anchor),
            padding_mask=valid,
            remove_negative=self.remove_negative,
        )

    def after_step(
        self, statistics: dict[str, Tensor], finite: Tensor, moved: Tensor
    ) -> None:
        if self._given:
            return
        # The teacher moves after this, if at all, so the copy is the teacher
        # that this step, and every micro-batch of its update, has seen.
        taken = ops.logical_and(statistics["due"], finite)
        for mine, theirs in self._pairs():
            mine.assign(ops.where(taken, theirs.value, mine.value))
        self.copies.assign(self.copies.value + ops.cast(taken, "int32"))

    def _due(self, update: Tensor) -> Tensor:
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

    def _anchor(
        self, features: Features, group: str, due: Tensor | None
    ) -> Tensor:
        """The Gram teacher's tokens `[B, V, L, D]` of a view group.

        It is copied only after this step is known to be good. Until then, the
        weights or features of the teacher are used in its place.
        """
        read = features.teacher.get(group, {}).get("tokens")
        weights = contextlib.nullcontext()
        if due is not None and read is None:
            weights = keras.StatelessScope(
                [
                    (mine, ops.where(due, theirs.value, mine.value))
                    for mine, theirs in self._pairs()
                ],
                initialize_variables=False,
            )
        with weights:
            tokens = own_tokens(self.gram_teacher, features.batch[group])
        if due is not None and read is not None:
            tokens = ops.where(due, read, tokens)
        return tokens

    def _pairs(self) -> Iterator[tuple]:
        return zip(
            self.gram_teacher.weights, self._source().weights, strict=True
        )

    def get_config(self) -> dict:
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
