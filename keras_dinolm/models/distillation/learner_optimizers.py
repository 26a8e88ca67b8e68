"""Which optimizer each learner gets, and what it has to agree with."""

from typing import Any

import keras

from keras_dinolm.models.distillation.learner import Learner
from keras_dinolm.models.distillation.learner import inner_optimizer


def one_for_each(
    learners: list[Learner],
    optimizer: Any,
    dtype_policy: keras.DTypePolicy,
    options: dict,
) -> dict[str, keras.optimizers.Optimizer]:
    """The optimizer of each learner.

    Args:
        learners: list of `Learner`.
        optimizer: as for `Distillation.compile`.
        dtype_policy: that of the model. In float16 the loss is scaled.
        options: dict, the other arguments of `compile`.

    Returns:
        Dict of learner to optimizer.

    Raises:
        ValueError: if a learner has none, or two share one.
    """
    names = [learner.name for learner in learners]
    if len(names) == 1:
        if isinstance(optimizer, dict) and list(optimizer) == names:
            optimizer = optimizer[names[0]]
        return {names[0]: keras.optimizers.get(optimizer)}
    if isinstance(optimizer, str):
        optimizer = dict.fromkeys(names, optimizer)
    known = isinstance(optimizer, dict) and set(optimizer) == set(names)
    made = {
        name: keras.optimizers.get(optimizer[name]) for name in names if known
    }
    if not known or len(set(map(id, made.values()))) < len(names):
        raise ValueError(
            "Argument `optimizer` must be a dict with an optimizer for each "
            f"of the students {names}, none of them twice. Received: "
            f"optimizer={optimizer!r}"
        )
    if (
        options.get("auto_scale_loss", True)
        and dtype_policy.name == "mixed_float16"
    ):
        scaled = keras.optimizers.LossScaleOptimizer
        made = {
            name: one if isinstance(one, scaled) else scaled(one)
            for name, one in made.items()
        }
    return made


def check_accumulation(learners: list[Learner], dataset: Any) -> None:
    """Raises unless views and optimizers count the same updates.

    Args:
        learners: list of `Learner`, compiled.
        dataset: what `fit` is given. The datasets of `keras_dinolm.data` know
            the `views` that make their batches.

    Raises:
        ValueError: if the views follow a schedule by other updates than an
            optimizer makes.
    """
    views = getattr(dataset, "views", None)
    if not getattr(views, "follows_schedule", False):
        return
    for learner in learners:
        # One that scales the loss leaves the accumulation to this one.
        optimizer = inner_optimizer(learner.optimizer)
        steps = optimizer.gradient_accumulation_steps or 1
        if views.gradient_accumulation_steps != steps:
            raise ValueError(
                "The schedules of the views count optimizer updates, of which "
                f"the optimizer of {learner.name!r} makes one in {steps} "
                "batches. Give `TextViews(gradient_accumulation_steps=...)` "
                "the same number as the optimizer. Received: views with "
                "gradient_accumulation_steps="
                f"{views.gradient_accumulation_steps}"
            )
