"""AdamW as self-distillation wants it, on Keras' own Adam."""

import math
import re

import keras
from keras import ops

from keras_dinolm.schedules import schedules

NO_DECAY = (
    r"(^|/)bias$",
    r"(^|/)(gamma|beta|scale)$",
    r"norm",
    r"layer_scale",
    r"register",
    r"(^|/)prototypes(/|$)",
)

# In a `DinoLM`: the projection heads, each with its prototypes; the parts of
# each objective; the prototypes alone; and the encoder, which is what is left.
HEADS = r"^student/(\w+)_(?:head|prototypes)/"
OBJECTIVES = r"^objectives/(\w+)/"
PROTOTYPES = r"^student/\w+_prototypes/"
ENCODER = r"^(?!student/|objectives/)"


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
        multipliers: dict of regular expressions, searched in
            `variable.path`, to floats or schedules, which multiply the
            learning rate, and so the decay, of what matches. Where the value
            is 0 a variable does not move at all, while the moments of its
            gradients are kept up to date: the "last-layer freeze" of DINOv2
            and DINOv3.
        module_clipnorm: float or `None`. Clips each module's gradient by its
            own norm, so that a large gradient in one head does not stop the
            encoder. DINOv2 and DINOv3 clip the backbone and each head with
            its prototypes by 3 in this way, DINO each variable alone (Keras'
            `clipnorm`). Not together with Keras' own ways of clipping.
        modules: tuple of regular expressions with a group, searched in
            `variable.path`. Variables for which the group captures the same
            text are a module; all that match none are one, too. The default
            finds the heads of a `DinoLM`, each with its prototypes, and the
            parts of each objective; the encoder is what is left.
        beta_1: float.
        beta_2: float.
        epsilon: float. 1e-8, the field's default; Keras' is 1e-7.
        **kwargs: as for `keras.optimizers.Adam`, such as `global_clipnorm` or
            `gradient_accumulation_steps`.

    Example:

    ```python
    import keras_dinolm as kd

    optimizer = kd.optimizers.AdamW(
        1e-3,
        module_clipnorm=3.0,
        multipliers={"prototypes": kd.schedules.Delayed(1_000)},
    )
    ```

    References:
        - [Decoupled Weight Decay Regularization](https://arxiv.org/abs/1711.05101)
        - [DINOv2](https://arxiv.org/abs/2304.07193)
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
        multipliers=None,
        module_clipnorm=None,
        modules=(HEADS, OBJECTIVES),
        name="adamw",
        **kwargs,
    ):
        if not 0.0 < layer_decay <= 1.0:
            raise ValueError(
                "Argument `layer_decay` must be in (0, 1]: 1 gives every layer "
                f"the same rate. Received: layer_decay={layer_decay}"
            )
        _check_clipping(module_clipnorm, kwargs)
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
        self.multipliers = dict(multipliers or {})
        self.module_clipnorm = module_clipnorm
        self.modules = tuple(modules)

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        blocks = [_block(v.path) for v in variables]
        depth = 1 + max((b for b in blocks if b is not None), default=-1)
        self._factors = [
            self.layer_decay ** (depth - _layer_id(v.path, block, depth))
            for v, block in zip(variables, blocks)
        ]
        self._scheduled = [
            [m for p, m in self.multipliers.items() if re.search(p, v.path)]
            for v in variables
        ]
        self._module_of = [_module(v.path, self.modules) for v in variables]
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
        if self._factors[index] != 1.0:
            rate = rate * self._factors[index]
        for multiplier in self._scheduled[index]:
            factor = schedules.value_at(multiplier, self.iterations)
            rate = rate * ops.cast(factor, variable.dtype)
        if self._decayed[index]:
            decay = schedules.value_at(self.decay, self.iterations)
            self.assign_sub(
                variable, variable * (rate * ops.cast(decay, variable.dtype))
            )
        super().update_step(gradient, variable, rate)

    def _clip_gradients(self, grads):
        if self.module_clipnorm is None:
            return super()._clip_gradients(grads)
        if len(grads) != len(self._module_of):
            raise ValueError(
                "`module_clipnorm` needs the gradients of all variables that "
                "the optimizer was built with; give 0 where there is none. "
                f"Received: {len(grads)} gradients for "
                f"{len(self._module_of)} variables"
            )
        squares = {}
        for gradient, module in zip(grads, self._module_of):
            square = ops.sum(ops.square(ops.cast(gradient, "float32")))
            squares[module] = squares.get(module, 0.0) + square
        limit = self.module_clipnorm
        shares = {
            module: limit / ops.maximum(ops.sqrt(square), limit)
            for module, square in squares.items()
        }
        return [
            gradient * ops.cast(shares[module], gradient.dtype)
            for gradient, module in zip(grads, self._module_of)
        ]

    def get_config(self):
        config = super().get_config()
        # Keras' own, unused here.
        config.pop("weight_decay")
        config.update(
            {
                "weight_decay": keras.saving.serialize_keras_object(self.decay),
                "no_decay": list(self.no_decay),
                "layer_decay": self.layer_decay,
                "multipliers": {
                    pattern: keras.saving.serialize_keras_object(value)
                    for pattern, value in self.multipliers.items()
                },
                "module_clipnorm": self.module_clipnorm,
                "modules": list(self.modules),
            }
        )
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        config["weight_decay"] = keras.saving.deserialize_keras_object(
            config["weight_decay"]
        )
        config["multipliers"] = {
            pattern: keras.saving.deserialize_keras_object(value)
            for pattern, value in (config.get("multipliers") or {}).items()
        }
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
    frozen_prototype_steps=0,
    frozen_encoder_steps=0,
    **kwargs,
):
    """AdamW with warm-up, then a cosine or a constant rate.

    For new heads on a trained encoder, which their first gradients would
    ruin: a low rate, `frozen_encoder_steps` for the heads to settle (what
    follows for the encoder begins with a warm-up of its own, as long as
    `warmup_steps`), and a `layer_decay` below 1.

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
            gradient; Keras' `clipnorm` clips each variable alone. Left out
            with `module_clipnorm`, see `AdamW`.
        frozen_prototype_steps: int. Optimizer updates for which prototypes
            keep their first values, as DINO's do for an epoch.
        frozen_encoder_steps: int. Optimizer updates for which only heads and
            objectives learn.
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

    A trained encoder of keras-hub under new heads: the heads settle first,
    then the encoder learns at a low rate, the lower layers more slowly, while
    `GramAnchoring` holds the similarities of its tokens where they were.

    ```python
    import keras_hub

    # Or `keras_hub.models.Backbone.from_preset(...)`.
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=100, num_layers=2, num_heads=2, hidden_dim=16,
        intermediate_dim=32,
    )
    model = kd.models.DinoLM(
        backbone,
        [
            kd.objectives.SequenceDistillation(),
            kd.objectives.TokenDistillation(),
            kd.objectives.GramAnchoring(backbone, weight=2.0),
        ],
        num_prototypes=256,
        momentum=0.999,
    )
    model.compile(
        kd.optimizers.adamw(
            5e-5,
            warmup_steps=100,
            total_steps=2_000,
            layer_decay=0.9,
            module_clipnorm=3.0,
            frozen_encoder_steps=100,
        )
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
    multipliers = dict(kwargs.pop("multipliers", None) or {})
    if frozen_prototype_steps:
        share = schedules.Delayed(frozen_prototype_steps)
        multipliers[PROTOTYPES] = share
    if frozen_encoder_steps:
        share = schedules.Warmup(warmup_steps, 1.0)
        multipliers[ENCODER] = schedules.Delayed(frozen_encoder_steps, share)
    if kwargs.get("module_clipnorm") is not None:
        global_clipnorm = None
    return AdamW(
        after,
        weight_decay=weight_decay,
        layer_decay=layer_decay,
        global_clipnorm=global_clipnorm,
        multipliers=multipliers,
        **kwargs,
    )


def scale_learning_rate(learning_rate, batch_size, rule="sqrt"):
    """The learning rate for a batch size, from a published one.

    DINO scales its rate (5e-4) linearly from 256 texts a batch; DINOv2 (4e-3)
    and DINOv3 by the square root from 1,024, which suits AdamW.

    Args:
        learning_rate: float. That of the reference batch.
        batch_size: int. Documents in a batch, all devices and accumulated
            micro-batches together.
        rule: `"linear"`, in proportion to the batch from 256, or `"sqrt"`, to
            its square root from 1,024.

    Returns:
        A float.

    Raises:
        ValueError: for another rule, or a batch of no document.

    Example:

    ```python
    import keras_dinolm as kd

    rate = kd.optimizers.scale_learning_rate(4e-3, batch_size=64)  # 1e-3
    optimizer = kd.optimizers.adamw(rate, schedule="constant")
    ```

    References:
        - [DINO](https://arxiv.org/abs/2104.14294)
        - [DINOv2](https://arxiv.org/abs/2304.07193)
    """
    if batch_size < 1:
        raise ValueError(
            "Argument `batch_size` must be at least 1: the documents of one "
            f"optimizer update. Received: batch_size={batch_size}"
        )
    if rule == "linear":
        return learning_rate * batch_size / 256
    if rule == "sqrt":
        return learning_rate * math.sqrt(batch_size / 1024)
    raise ValueError(
        "Argument `rule` must be 'linear' (from a batch of 256) or 'sqrt' "
        f"(from 1,024). Received: rule={rule!r}"
    )


def _check_clipping(module_clipnorm, others):
    if module_clipnorm is None:
        return
    if not module_clipnorm > 0:
        raise ValueError(
            "Argument `module_clipnorm` must be positive, or `None` for no "
            f"clipping. Received: module_clipnorm={module_clipnorm}"
        )
    for name in ("clipnorm", "global_clipnorm", "clipvalue"):
        if others.get(name) is not None:
            raise ValueError(
                f"Gradients are clipped in one way: leave `{name}=None`, or "
                f"`module_clipnorm`. Received: {name}={others[name]}, "
                f"module_clipnorm={module_clipnorm}"
            )


def _module(path, patterns):
    """The name of the module a variable belongs to; "" for what is left."""
    for pattern in patterns:
        found = re.search(pattern, path)
        if found:
            return found.group(1)
    return ""


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
