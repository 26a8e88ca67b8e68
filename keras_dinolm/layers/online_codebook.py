"""Targets from prototypes that are averages instead of learned."""

from typing import Any

import keras
from keras import initializers
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_dinolm")
class OnlineCodebook(keras.layers.Layer):
    """Targets by the nearest of K codes, which online k-means moves.

    A code is the moving average of the teacher's features that were nearest
    to it. So no gradient shapes the targets, and none can make them trivial:
    the student's own prototypes learn to name the code. The layer reads the
    teacher's projections (unit vectors), not its logits.

    With `a` the features assigned to a code in an update, its count and place
    move by

        count = momentum * count + (1 - momentum) * len(a)
        code  = code + (1 - momentum) * len(a) / count * (mean(a) - code)

    which is the quotient of the moving averages of sum and count. Codes move
    once per optimizer update, by all of its micro-batches. A code whose count
    falls below `revive_below` times the mean count is dead: it is put on a
    feature of the present batch, with the mean count, so that it has time to
    prove itself. Dead codes take features evenly spaced over the batch, from
    a place that the number of updates sets. There is no randomness, so a resume
    gives the same bits. At the start all counts are 0, and the first update
    puts the codes among the features.

    Args:
        num_codes: int, at least 2. K, the model's `num_prototypes`.
        momentum: float in [0, 1). Momentum of the moving averages. It should
            be higher if an update brings few features to a code; DinoSR
            takes 0.9.
        hard: boolean. Whether a target is the nearest code alone. If not, it is
            the softmax of `-distance^2 / 2` over the temperature, which for
            codes of unit length is that of the cosine.
        revive_below: float in [0, 1). Share of the mean count below which a
            code is dead; 0 revives none.
        **kwargs: as for `keras.layers.Layer`.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    targets = kd.layers.OnlineCodebook(num_codes=4)
    features = kd.layers.l2_normalize(np.random.normal(size=(8, 3)))
    probs = targets(features, temperature=0.1)  # one-hot, (8, 4)
    ```

    References:
        - [DinoSR](https://arxiv.org/abs/2305.10005)
        - [VQ-VAE](https://arxiv.org/abs/1711.00937) (the moving averages)
        - [Jukebox](https://arxiv.org/abs/2005.00341) (revival)
    """

    # Objectives ask what the rows are.
    reads_projections = True

    def __init__(
        self,
        num_codes: int,
        momentum: float = 0.99,
        hard: bool = True,
        revive_below: float = 0.01,
        **kwargs: Any,
    ) -> None:
        # Features and codes stay float32 under any policy.
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.num_codes = arguments.count(
            "num_codes",
            num_codes,
            2,
            meaning="with a single code every target is the same",
        )
        self.momentum = arguments.number("momentum", momentum, 0, below=1)
        self.hard = arguments.flag("hard", hard)
        self.revive_below = arguments.number(
            "revive_below", revive_below, 0, below=1
        )

    def build(self, rows_shape: tuple[int | None, ...]) -> None:
        dim: Any = rows_shape[-1]
        state = {
            "dtype": "float32",
            "trainable": False,
            "autocast": False,
            "aggregation": "mean",
        }
        self.codes = self.add_weight(
            shape=(self.num_codes, dim),
            initializer=initializers.RandomNormal(stddev=dim**-0.5),
            name="codes",
            **state,
        )
        state["initializer"] = "zeros"
        self.usage = self.add_weight(
            shape=(self.num_codes,), name="usage", **state
        )
        # Sums over the micro-batches of one optimizer update.
        self.total = self.add_weight(
            shape=(self.num_codes, dim), name="total", **state
        )
        self.count = self.add_weight(
            shape=(self.num_codes,), name="count", **state
        )
        state.update(dtype="int32", aggregation="only_first_replica")
        self.updates = self.add_weight(shape=(), name="updates", **state)

    def call(
        self,
        rows: Tensor,
        temperature: float | Tensor,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        """Targets `[N, num_codes]` of features `[N, dim]`.

        Args:
            rows: float tensor `[N, dim]`.
            temperature: float or scalar tensor; of no effect when `hard`.
            sample_weight: optional tensor `[N]` of 0 and 1; rows of weight 0
                come out as zeros.

        Returns:
            Float32 tensor `[N, num_codes]`, without gradient.
        """
        rows = _values(rows)
        scores = self._scores(rows)
        if self.hard:
            probs = ops.one_hot(
                ops.argmax(scores, axis=-1), self.num_codes, dtype="float32"
            )
            # The nearest code of NaN would be a code like any other.
            total = ops.sum(rows, axis=-1, keepdims=True)
            probs = ops.where(ops.isfinite(total), probs, float("nan"))
        else:
            probs = ops.softmax(scores / temperature, axis=-1)
        if sample_weight is not None:
            probs = ops.where(
                ops.cast(sample_weight, "bool")[:, None], probs, 0.0
            )
        return ops.stop_gradient(probs)

    def statistics(
        self, rows: Tensor, sample_weight: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Sums over this micro-batch, for `after_step`.

        Args:
            rows: as for `call`.
            sample_weight: as for `call`.

        Returns:
            A dict of tensors.
        """
        rows = _values(rows)
        if sample_weight is None:
            weight = ops.ones_like(rows[:, 0])
        else:
            weight = ops.cast(sample_weight, "float32")
            rows = ops.where(weight[:, None] > 0, rows, 0.0)
        nearest = ops.argmax(self._scores(rows), axis=-1)
        return {
            "total": ops.segment_sum(rows, nearest, self.num_codes),
            "count": ops.segment_sum(weight, nearest, self.num_codes),
            "rows": rows,
            "weight": weight,
        }

    def after_step(
        self, statistics: dict[str, Tensor], finite: Tensor, moved: Tensor
    ) -> None:
        """Adds a micro-batch; moves the codes if the optimizer moved.

        Args:
            statistics: what `statistics` returned for the micro-batch.
            finite: scalar bool tensor. Whether its gradients were finite.
            moved: scalar bool tensor. Whether the optimizer made an update.
        """
        # jax takes no variable as an argument of `where`, hence `.value`.
        codes, usage, total, count, updates = (
            v.value
            for v in (
                self.codes,
                self.usage,
                self.total,
                self.count,
                self.updates,
            )
        )
        total = ops.where(finite, total + statistics["total"], total)
        count = ops.where(finite, count + statistics["count"], count)

        arrived = (1.0 - self.momentum) * count
        moved_usage = self.momentum * usage + arrived
        # Where nothing arrived this is 0 / 1, so the code stays, to the bit.
        share = arrived / ops.where(count > 0, moved_usage, 1.0)
        mean = total / ops.maximum(count, 1.0)[:, None]
        moved_codes = codes + share[:, None] * (mean - codes)
        moved_codes, moved_usage = self._revive(
            moved_codes,
            moved_usage,
            updates,
            statistics["rows"],
            statistics["weight"] > 0,
        )
        self.codes.assign(ops.where(moved, moved_codes, codes))
        self.usage.assign(ops.where(moved, moved_usage, usage))
        self.total.assign(ops.where(moved, 0.0, total))
        self.count.assign(ops.where(moved, 0.0, count))
        self.updates.assign(updates + ops.cast(moved, "int32"))

    def _scores(self, rows):
        """`-distance^2 / 2` to each code, without the length of the row."""
        codes = self.codes.value
        length = 0.5 * ops.sum(ops.square(codes), axis=-1)
        return ops.matmul(rows, ops.transpose(codes)) - length

    def _revive(self, codes, usage, updates, rows, valid):
        """Puts dead codes on features of the batch, each on another row.

        With more dead codes than features, the rest waits for the next update.
        """
        if self.revive_below == 0:
            return codes, usage
        average = ops.mean(usage)
        dead = usage < self.revive_below * average
        rank = ops.cumsum(ops.cast(dead, "int32")) - 1
        num_dead = ops.sum(ops.cast(dead, "int32"))
        num_valid = ops.sum(ops.cast(valid, "int32"))
        spacing = ops.maximum(num_valid // ops.maximum(num_dead, 1), 1)
        place = (updates + rank * spacing) % ops.maximum(num_valid, 1)
        # Valid rows come first. All keys differ, so no sort has to be stable.
        size = rows.shape[0] or ops.shape(rows)[0]
        index = ops.arange(size, dtype="int32")
        order = ops.argsort(ops.where(valid, index, index + size))
        chosen = ops.take(rows, ops.take(order, place), axis=0)
        revived = ops.logical_and(dead, rank < num_valid)
        codes = ops.where(revived[:, None], chosen, codes)
        return codes, ops.where(revived, average, usage)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_codes": self.num_codes,
            "momentum": self.momentum,
            "hard": self.hard,
            "revive_below": self.revive_below,
        }


def _values(rows):
    return ops.cast(ops.stop_gradient(rows), "float32")
