"""AdamW with what self-distillation needs."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.schedules import Schedule
from keras_dinolm.schedules import value_at
from keras_dinolm.schedules.values import checked_value
from keras_dinolm.training.optimizers.checks import checked_clipping
from keras_dinolm.training.optimizers.checks import checked_multipliers
from keras_dinolm.training.optimizers.checks import checked_patterns
from keras_dinolm.training.optimizers.module_clipping import clip_modules
from keras_dinolm.training.optimizers.parameter_groups import HEADS
from keras_dinolm.training.optimizers.parameter_groups import NO_DECAY
from keras_dinolm.training.optimizers.parameter_groups import OBJECTIVES
from keras_dinolm.training.optimizers.parameter_groups import layer_factors
from keras_dinolm.training.optimizers.parameter_groups import matches
from keras_dinolm.training.optimizers.parameter_groups import module_of

# A backend without a compiler around the step has kernels of its own.
if keras.backend.backend() == "torch":
    from keras_dinolm.training.optimizers import torch_update
else:
    torch_update = None

_KERAS_CLIPPING = ("clipnorm", "global_clipnorm", "clipvalue")


@keras.saving.register_keras_serializable(package="keras_dinolm")
class AdamW(keras.optimizers.Adam):
    """AdamW with scheduled, grouped decay and depth-wise learning rates.

    It differs from `keras.optimizers.AdamW` in what self-distillation needs:
    weight decay may be a schedule; biases, norms, LayerScale, registers,
    prototypes and the log-weights of `WeightedMeanPooling` are not decayed;
    earlier layers may learn more slowly; and schedules count optimizer
    updates, also under gradient accumulation, where Keras' own schedules
    count micro-batches.

    Options are given to groups of variables by regular expressions that are
    searched in `variable.path`, such as
    `"backbone/block_3/attention/query/kernel"`.

    Args:
        learning_rate: float or schedule. Defaults to `1e-3`.
        weight_decay: float or schedule. Decoupled: multiplied by the learning
            rate of the variable. Defaults to `0.04`.
        no_decay: regular expressions. Variables that match one are not
            decayed. The default names biases, norms, LayerScale, registers,
            prototypes and the log-weights of `WeightedMeanPooling`.
        layer_decay: float in (0, 1]. The learning rate of block i of n is
            multiplied by `layer_decay ** (n - i)`, of the embeddings by
            `layer_decay ** (n + 1)`; heads and the final norm keep the full
            rate. Defaults to `1.0`.
        beta_1: float in [0, 1). Defaults to `0.9`.
        beta_2: float in [0, 1). Defaults to `0.999`.
        epsilon: float. Defaults to `1e-8`, the field's value; Keras' is 1e-7.
        multipliers: dict of regular expression to float or schedule, which
            multiplies the learning rate, and so the decay, of what matches.
            Where the value is 0 a variable does not move at all, while the
            moments of its gradients are kept up to date: the "last-layer
            freeze" of DINOv2 and DINOv3. Each expression must match a
            variable.
        module_clipnorm: float or `None`. Clips each module's gradient by its
            own norm, so that a large gradient in one head does not stop the
            encoder. DINOv2 and DINOv3 clip the backbone and each head with
            its prototypes by 3 in this way, DINO clips each variable alone
            (Keras' `clipnorm`). It excludes Keras' own ways of clipping.
        modules: regular expressions, each with a group. Variables for which
            the group captures the same text are a module; all that match none
            are one, too. The default finds the heads of a `DinoLM`, each with
            its prototypes, and the parts of each objective; the encoder is
            what is left.
        name: str. Defaults to `"adamw"`.
        **kwargs: as for `keras.optimizers.Adam`, such as `global_clipnorm` or
            `gradient_accumulation_steps`.

    Raises:
        ValueError: if an argument is out of its range, or gradients are to be
            clipped in two ways. When the optimizer is built, if an expression
            of `multipliers` matches no variable.

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
        learning_rate: float | Schedule = 1e-3,
        weight_decay: float | Schedule = 0.04,
        no_decay: Sequence[str] = NO_DECAY,
        layer_decay: float = 1.0,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        multipliers: Mapping[str, float | Schedule] | None = None,
        module_clipnorm: float | None = None,
        modules: Sequence[str] = (HEADS, OBJECTIVES),
        name: str = "adamw",
        **kwargs: Any,
    ):
        layer_decay = arguments.number(
            "layer_decay",
            layer_decay,
            above=0,
            high=1,
            meaning="1 gives every layer the same rate",
        )
        clipping = checked_clipping(
            module_clipnorm=module_clipnorm,
            **{name: kwargs.pop(name, None) for name in _KERAS_CLIPPING},
        )
        module_clipnorm = clipping.pop("module_clipnorm")
        steps = kwargs.get("gradient_accumulation_steps")
        if steps is not None:
            arguments.count("gradient_accumulation_steps", steps, 2)
        # Keras' own decay takes no schedule, so it stays off and `update_step`
        # decays.
        super().__init__(
            learning_rate=checked_value("learning_rate", learning_rate, low=0),
            beta_1=arguments.number("beta_1", beta_1, 0, below=1),
            beta_2=arguments.number("beta_2", beta_2, 0, below=1),
            epsilon=arguments.number("epsilon", epsilon, 0),
            name=arguments.string("name", name),
            **clipping,
            **kwargs,
        )
        self.decay = checked_value("weight_decay", weight_decay, low=0)
        self.no_decay = checked_patterns("no_decay", no_decay)
        self.layer_decay = layer_decay
        self.multipliers = checked_multipliers(multipliers)
        self.module_clipnorm = module_clipnorm
        self.modules = checked_patterns("modules", modules, 1)

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Finds the groups that each variable is in.

        Args:
            variables: list of `keras.Variable`. Everything that learns.

        Raises:
            ValueError: if an expression of `multipliers` matches none.
        """
        if self.built:
            return
        super().build(variables)
        paths = [variable.path for variable in variables]
        self._check_multipliers(paths)
        self._factors = layer_factors(paths, self.layer_decay)
        self._scheduled = [
            [self.multipliers[m] for m in matches(path, self.multipliers)]
            for path in paths
        ]
        self._module_of = [module_of(path, self.modules) for path in paths]
        self._decayed = [not matches(path, self.no_decay) for path in paths]

    def _check_multipliers(self, paths):
        used = {m for path in paths for m in matches(path, self.multipliers)}
        for pattern in self.multipliers:
            if pattern not in used:
                shown = ", ".join(repr(path) for path in paths[:5])
                raise ValueError(
                    f"The expression {pattern!r} of `multipliers` matches the "
                    "path of no variable, so it does nothing: correct it, or "
                    "leave it out (`adamw` adds one for "
                    "`frozen_prototype_steps`, and one for "
                    f"`frozen_encoder_steps`). Received: {len(paths)} "
                    f"variables, {shown}, ..."
                )

    def _get_current_learning_rate(self):
        if isinstance(self._learning_rate, Schedule):
            return self._learning_rate(self.iterations)
        return super()._get_current_learning_rate()

    def _rate_and_decay(self, index, learning_rate):
        """Learning rate and decay of a variable at this update."""
        rate = learning_rate
        if self._factors[index] != 1.0:
            rate = rate * self._factors[index]
        for multiplier in self._scheduled[index]:
            factor = value_at(multiplier, self.iterations)
            rate = rate * ops.cast(factor, rate.dtype)
        if not self._decayed[index]:
            return rate, None
        return rate, ops.cast(value_at(self.decay, self.iterations), rate.dtype)

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        rate, decay = self._rate_and_decay(
            index, ops.cast(learning_rate, variable.dtype)
        )
        if decay is not None:
            self.assign_sub(variable, variable * (rate * decay))
        super().update_step(gradient, variable, rate)

    # Moments decay at each update, also of embeddings whose tokens were in no
    # text of the batch. So an update of the rows that were read, alone, would
    # be another optimizer.
    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        indices = [self._get_variable_index(v) for v in trainable_variables]
        alike = {v.dtype for v in trainable_variables} == {"float32"}
        if torch_update is None or self.amsgrad or not alike:
            super()._backend_update_step(
                grads, trainable_variables, learning_rate
            )
            return
        groups = {}
        for place, index in enumerate(indices):
            kind = (
                self._factors[index],
                self._decayed[index],
                *map(id, self._scheduled[index]),
            )
            groups.setdefault(kind, []).append(place)
        for places in groups.values():
            rate, decay = self._rate_and_decay(
                indices[places[0]], ops.cast(learning_rate, "float32")
            )
            torch_update.adamw_update(
                [trainable_variables[place].value for place in places],
                [ops.cast(grads[place], "float32") for place in places],
                [self._momentums[indices[p]].value for p in places],
                [self._velocities[indices[p]].value for p in places],
                int(self.iterations),
                float(rate),
                0.0 if decay is None else float(decay),
                self.beta_1,
                self.beta_2,
                self.epsilon,
            )

    def _clip_gradients(self, grads):
        if self.module_clipnorm is not None:
            return clip_modules(grads, self._module_of, self.module_clipnorm)
        if torch_update is not None and self.global_clipnorm is not None:
            return torch_update.clip_by_global_norm(grads, self.global_clipnorm)
        return super()._clip_gradients(grads)

    def get_config(self) -> dict:
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
    def from_config(
        cls, config: dict, custom_objects: dict | None = None
    ) -> "AdamW":
        config = dict(config)
        config["weight_decay"] = keras.saving.deserialize_keras_object(
            arguments.field(config, "weight_decay", cls)
        )
        if isinstance(config.get("multipliers"), Mapping):
            config["multipliers"] = {
                pattern: keras.saving.deserialize_keras_object(value)
                for pattern, value in config["multipliers"].items()
            }
        return super().from_config(config, custom_objects)
