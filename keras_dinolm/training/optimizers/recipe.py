"""AdamW with the schedules and the clipping that the field uses."""

from typing import Any

from keras_dinolm import arguments
from keras_dinolm.schedules import Cosine
from keras_dinolm.schedules import Delayed
from keras_dinolm.schedules import Schedule
from keras_dinolm.schedules import Warmup
from keras_dinolm.training.optimizers.checks import checked_multipliers
from keras_dinolm.training.optimizers.optimizer import AdamW
from keras_dinolm.training.optimizers.parameter_groups import ENCODER
from keras_dinolm.training.optimizers.parameter_groups import PROTOTYPES

_GLOBAL_CLIPNORM = 3.0
_FINAL_LEARNING_RATE = 1e-6


def adamw(
    learning_rate: float = 1e-3,
    warmup_steps: int = 0,
    total_steps: int | None = None,
    schedule: str = "cosine",
    final_learning_rate: float | None = None,
    weight_decay: float | Schedule = 0.04,
    layer_decay: float = 1.0,
    global_clipnorm: float | None = _GLOBAL_CLIPNORM,
    frozen_prototype_steps: int = 0,
    frozen_encoder_steps: int = 0,
    **kwargs: Any,
) -> AdamW:
    """AdamW with warm-up, then a cosine or a constant rate.

    New heads on a trained encoder would ruin it by their first gradients. For
    them, use a low rate, `frozen_encoder_steps` until the heads have settled
    (the encoder then begins with a warm-up of its own, as long as
    `warmup_steps`), and a `layer_decay` below 1.

    Args:
        learning_rate: float. The peak. Defaults to `1e-3`.
        warmup_steps: int. Optimizer updates of linear warm-up. Defaults to
            `0`.
        total_steps: int. Optimizer updates of the whole run. The cosine needs
            it, a constant rate does not take it.
        schedule: `"cosine"` or `"constant"`.
        final_learning_rate: float. Where the cosine ends after
            `total_steps`. Defaults to `1e-6`.
        weight_decay: float or schedule. Defaults to `0.04`.
        layer_decay: float in (0, 1]. See `AdamW`.
        global_clipnorm: float or `None`. Clips the norm of the whole
            gradient; Keras' `clipnorm` clips each variable alone. Defaults to
            `3.0`, and to `None` with `module_clipnorm`, see `AdamW`.
        frozen_prototype_steps: int. Optimizer updates for which prototypes
            keep their first values, as DINO's do for an epoch.
        frozen_encoder_steps: int. Optimizer updates for which only heads and
            objectives learn.
        **kwargs: passed on to `AdamW`.

    Returns:
        An `AdamW`.

    Raises:
        ValueError: if an argument is out of its range, if the cosine has no
            end or ends within the warm-up, or if a constant rate is given
            one.

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
    warmup_steps = _steps("warmup_steps", warmup_steps)
    learning_rate = arguments.number(
        "learning_rate",
        learning_rate,
        0,
        meaning="`AdamW` also takes a schedule",
    )
    rate = _rate(
        learning_rate,
        warmup_steps,
        total_steps,
        schedule,
        final_learning_rate,
    )
    multipliers = checked_multipliers(kwargs.pop("multipliers", None))
    if _steps("frozen_prototype_steps", frozen_prototype_steps):
        multipliers[PROTOTYPES] = Delayed(frozen_prototype_steps)
    if _steps("frozen_encoder_steps", frozen_encoder_steps):
        then = Warmup(warmup_steps, 1.0)
        multipliers[ENCODER] = Delayed(frozen_encoder_steps, then)
    if (
        kwargs.get("module_clipnorm") is not None
        and global_clipnorm == _GLOBAL_CLIPNORM
    ):
        global_clipnorm = None
    return AdamW(
        rate,
        weight_decay=weight_decay,
        layer_decay=layer_decay,
        global_clipnorm=global_clipnorm,
        multipliers=multipliers,
        **kwargs,
    )


def _rate(peak, warmup_steps, total_steps, schedule, final):
    """The learning rate as a number or schedule."""
    arguments.choice("schedule", schedule, ("cosine", "constant"))
    if schedule == "constant":
        for name, value in (
            ("total_steps", total_steps),
            ("final_learning_rate", final),
        ):
            if value is not None:
                raise ValueError(
                    f"With schedule='constant', `{name}` does nothing; leave "
                    "it out, or pass schedule='cosine'. "
                    f"Received: {name}={value}"
                )
        return Warmup(warmup_steps, peak) if warmup_steps else peak
    if total_steps is not None:
        total_steps = _steps("total_steps", total_steps)
    if total_steps is None or total_steps <= warmup_steps:
        raise ValueError(
            "With schedule='cosine', `total_steps` must be greater than "
            "`warmup_steps`; pass schedule='constant' for a run without a "
            f"planned end. Received: total_steps={total_steps}, "
            f"warmup_steps={warmup_steps}"
        )
    if final is None:
        final = _FINAL_LEARNING_RATE
    final = arguments.number("final_learning_rate", final, 0)
    decay_steps = total_steps - warmup_steps
    return Warmup(warmup_steps, Cosine(peak, final, decay_steps))


def _steps(name, value):
    return arguments.count(
        name, value, 0, meaning="a number of optimizer updates"
    )
