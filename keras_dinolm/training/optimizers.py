"""AdamW as self-distillation wants it, on Keras' own Adam."""

import re

import keras
from keras import ops

from keras_dinolm.training import schedules

NO_DECAY = (
    r"(^|/)bias$",
    r"(^|/)(gamma|beta|scale)$",
    r"norm",
    r"layer_scale",
    r"register",
    r"(^|/)prototypes(/|$)",
)


@keras.saving.register_keras_serializable(package="keras_dinolm")
class AdamW(keras.optimizers.Adam):
    """AdamW with scheduled, grouped decay and depth-wise learning rates.

    Differs from `keras.optimizers.AdamW` in what self-distillation needs:
    weight decay may be a schedule; biases, norms, LayerScale, registers and
    prototypes are not decayed; earlier layers may learn slower; and schedules
    count optimizer updates, also under gradient accumulation, where Keras'
    own count micro-batches.

    Args:
        learning_rate: float or schedule.
        weight_decay: float or schedule. Decoupled: multiplied by the learning
            rate of the variable.
        no_decay: tuple of regular expressions, searched in `variable.path`.
            What matches is not decayed.
        layer_decay: float in (0, 1]. The learning rate of block i of n is
            multiplied by `layer_decay ** (n - i)`, of the embeddings by
            `layer_decay ** (n + 1)`; heads and the final norm keep the full
            rate.
        beta_1: float.
        beta_2: float.
        epsilon: float. 1e-8, the field's default; Keras' is 1e-7.
        **kwargs: as for `keras.optimizers.Adam`, such as `global_clipnorm` or
            `gradient_accumulation_steps`.

    Example:

    ```python
    import keras_dinolm as kd

    optimizer = kd.optimizers.AdamW(1e-3, global_clipnorm=3.0)
    ```

    Reference:
        [Decoupled Weight Decay Regularization](https://arxiv.org/abs/1711.05101)
    """

    def __init__(
        self,
        learning_rate=1e-3,
        weight_decay=0.04,
        no_decay=NO_DECAY,
        layer_decay=1.0,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        name="adamw",
        **kwargs,
    ):
        if not 0.0 < layer_decay <= 1.0:
            raise ValueError(
                "Argument `layer_decay` must be in (0, 1]: 1 gives every layer "
                f"the same rate. Received: layer_decay={layer_decay}"
            )
        # Keras' own decay takes no schedule, so it stays off and `update_step`
        # decays.
        super().__init__(
            learning_rate=learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            name=name,
            **kwargs,
        )
        self.decay = weight_decay
        self.no_decay = tuple(no_decay)
        self.layer_decay = layer_decay

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        blocks = [_block(v.path) for v in variables]
        depth = 1 + max((b for b in blocks if b is not None), default=-1)
        self._multipliers = [
            self.layer_decay ** (depth - _layer_id(v.path, block, depth))
            for v, block in zip(variables, blocks)
        ]
        self._decayed = [
            not any(re.search(p, v.path) for p in self.no_decay)
            for v in variables
        ]

    def _get_current_learning_rate(self):
        if isinstance(self._learning_rate, schedules.Schedule):
            return self._learning_rate(self.iterations)
        return super()._get_current_learning_rate()

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        rate = ops.cast(learning_rate, variable.dtype)
        if self._multipliers[index] != 1.0:
            rate = rate * self._multipliers[index]
        if self._decayed[index]:
            decay = schedules.value_at(self.decay, self.iterations)
            self.assign_sub(
                variable, variable * (rate * ops.cast(decay, variable.dtype))
            )
        super().update_step(gradient, variable, rate)

    def get_config(self):
        config = super().get_config()
        # Keras' own, unused here.
        config.pop("weight_decay")
        config.update(
            {
                "weight_decay": keras.saving.serialize_keras_object(self.decay),
                "no_decay": list(self.no_decay),
                "layer_decay": self.layer_decay,
            }
        )
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        config["weight_decay"] = keras.saving.deserialize_keras_object(
            config["weight_decay"]
        )
        return super().from_config(config, custom_objects)


def adamw(
    learning_rate=1e-3,
    warmup_steps=0,
    total_steps=None,
    schedule="cosine",
    final_learning_rate=1e-6,
    weight_decay=0.04,
    layer_decay=1.0,
    global_clipnorm=3.0,
    **kwargs,
):
    """AdamW with warm-up, then a cosine or a constant rate.

    Args:
        learning_rate: float. The peak.
        warmup_steps: int. Optimizer updates of linear warm-up.
        total_steps: int. Optimizer updates of the whole run; needed by the
            cosine, which ends there at `final_learning_rate`.
        schedule: `"cosine"` or `"constant"`.
        final_learning_rate: float. Where the cosine ends.
        weight_decay: float or schedule.
        layer_decay: float in (0, 1]. See `AdamW`.
        global_clipnorm: float or `None`. Clips the norm of the whole
            gradient; Keras' `clipnorm` clips each variable alone.
        **kwargs: passed on to `AdamW`.

    Returns:
        An `AdamW`.

    Raises:
        ValueError: if `schedule` is unknown, or the cosine has no end or ends
            within the warm-up.

    Example:

    ```python
    import keras_dinolm as kd

    optimizer = kd.optimizers.adamw(
        1e-3, warmup_steps=500, total_steps=20_000
    )
    ```
    """
    if schedule not in ("cosine", "constant"):
        raise ValueError(
            "Argument `schedule` must be 'cosine' or 'constant'. "
            f"Received: schedule={schedule!r}"
        )
    after = float(learning_rate)
    if schedule == "cosine":
        if total_steps is None or total_steps <= warmup_steps:
            raise ValueError(
                "With schedule='cosine', `total_steps` must be greater than "
                "`warmup_steps`; pass schedule='constant' for a run without a "
                f"planned end. Received: total_steps={total_steps}, "
                f"warmup_steps={warmup_steps}"
            )
        after = schedules.Cosine(
            learning_rate, final_learning_rate, total_steps - warmup_steps
        )
    if warmup_steps or schedule == "cosine":
        after = schedules.Warmup(warmup_steps, after)
    return AdamW(
        after,
        weight_decay=weight_decay,
        layer_decay=layer_decay,
        global_clipnorm=global_clipnorm,
        **kwargs,
    )


def _block(path):
    """The index of the transformer block a variable belongs to, or None."""
    # `block_3` is ours, `transformer_layer_3` keras-hub's.
    found = re.search(r"(?:block|layer)_(\d+)(?:/|_)", path)
    return int(found.group(1)) if found else None


def _layer_id(path, block, depth):
    """-1 for embeddings, i for block i, `depth` for what follows."""
    if block is not None:
        return block
    return -1 if re.search(r"embedding|register", path) else depth
