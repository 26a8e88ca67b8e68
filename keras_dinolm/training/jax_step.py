"""The training step under jax: pure, on explicit state."""

from typing import Any

import jax
import jax.numpy as jnp
import keras

# XLA has no other way here.
COMPILE_BY_DEFAULT = True


def train_step(model: Any, state: tuple, data: Any) -> tuple[dict, tuple]:
    """One optimizer step, or one micro-batch of it.

    Args:
        model: a model as `keras_dinolm.training.step` describes.
        state: tuple of lists of arrays, as Keras' jax trainer passes it:
            trainable, non-trainable, optimizer and metrics variables.
        data: the batch.

    Returns:
        `(logs, state)`: the metrics so far, and the state after the step.
    """
    batch, _, _ = keras.utils.unpack_x_y_sample_weight(data)
    variables = _state_variables(model)
    learners = model.learners()
    # Values by the identity of their variable, through the whole step.
    now = {
        id(variable): value
        for group, values in zip(variables, state, strict=True)
        for variable, value in zip(group, values, strict=True)
    }

    def compute_loss(trainable):
        mapping = [
            *zip(variables[0], trainable),
            *_pairs([*variables[1], *variables[2]], now),
        ]
        with keras.StatelessScope(mapping, collect_losses=True) as scope:
            outputs = model(batch, training=True)
            losses, aux = model.evaluate_objectives(batch, outputs)
            scaled = sum(
                learner.optimizer.scale_loss(loss)
                for learner, loss in zip(learners, losses, strict=True)
            )
        moved = [scope.get_current_value(v) for v in variables[1]]
        return scaled, (losses, aux, moved)

    gradients, (losses, aux, moved) = jax.grad(compute_loss, has_aux=True)(
        list(state[0])
    )
    now.update(zip(map(id, variables[1]), moved))
    gradient_of = dict(zip(map(id, variables[0]), gradients))
    finite = [
        _move(learner, loss, gradient_of, now)
        for learner, loss in zip(learners, losses)
    ]
    every = [v for group in variables for v in group]
    with keras.StatelessScope(_pairs(every, now)) as scope:
        model.after_step(losses, aux, finite)
        logs = model.get_metrics_result()
    state = tuple(
        [scope.get_current_value(v) for v in group] for group in variables
    )
    return logs, state


def _move(learner, loss, gradient_of, now):
    """Applies the gradients of one learner, if they are finite.

    Args:
        learner: see `keras_dinolm.training.step`.
        loss: scalar.
        gradient_of: dict of `id(variable)` to gradient.
        now: dict of `id(variable)` to value, which is updated.

    Returns:
        Boolean scalar, whether loss and gradients are finite.
    """
    optimizer = learner.optimizer
    weights, slots = learner.trainable_variables, optimizer.variables
    gradients = [gradient_of[id(v)] for v in weights]
    # Clipping by the global norm takes the same sum; compiled, there is one.
    square_norm = sum(
        jnp.sum(jnp.square(g.astype("float32"))) for g in gradients
    )
    finite = jnp.isfinite(loss) & jnp.isfinite(square_norm)
    before = [now[id(v)] for v in weights], [now[id(v)] for v in slots]

    def move():
        moved = optimizer.stateless_apply(before[1], gradients, before[0])
        return tuple(map(list, moved))

    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        # A loss scale handles overflow itself, and has to move to do so.
        after = move()
    else:
        # A branch, since selecting would read and write all state once more.
        after = jax.lax.cond(finite, move, lambda: before)
    for group, values in zip((weights, slots), after):
        now.update(zip(map(id, group), values, strict=True))
    return finite


def _state_variables(model):
    """The variables whose values are the state, in its order."""
    return [
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    ]


def _pairs(variables, now):
    return [(v, now[id(v)]) for v in variables]


def read_variable(
    model: Any, variable: keras.Variable, state: tuple, *_: Any
) -> Any:
    """The present value of a variable, which `fit` keeps outside the model.

    Args:
        model: a model as `keras_dinolm.training.step` describes.
        variable: one of its non-trainable variables.
        state: the state that Keras' jax trainer passes.
        *_: the rest of what the training function is called with.

    Returns:
        An array.
    """
    for known, value in zip(model.non_trainable_variables, state[1]):
        if known is variable:
            return value
    raise ValueError(f"{variable.path} is not a variable of the model.")


def move_average(targets: list, sources: list, share: Any) -> None:
    """Moves averages towards what they are averages of.

    Args:
        targets: list of variables.
        sources: list of tensors or variables of the same shapes.
        share: scalar tensor in [0, 1]. With 0 nothing moves, whatever the
            sources hold.
    """
    moves = share > 0
    for target, source in zip(targets, sources, strict=True):
        change = keras.ops.cast(source, target.dtype) - target.value
        change = keras.ops.cast(share, target.dtype) * change
        # A product with 0 would keep a NaN.
        target.assign_add(keras.ops.where(moves, change, 0.0))
