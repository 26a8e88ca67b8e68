"""The training step under jax: pure, on explicit state."""

import jax
import jax.numpy as jnp
import keras


def train_step(model, state, data):
    """One optimizer step, or one micro-batch of it.

    Args:
        model: a model as `keras_dinolm.training.step` describes.
        state: tuple of lists of arrays, as Keras' jax trainer passes it:
            trainable, non-trainable, optimizer and metrics variables.
        data: the batch.

    Returns:
        `(logs, state)`: the metrics so far, and the state after the step.
    """
    trainable, non_trainable, optimizer, metrics = state
    x, _, _ = keras.utils.unpack_x_y_sample_weight(data)

    def loss_function(trainable, non_trainable):
        mapping = [
            *zip(model.trainable_variables, trainable),
            *zip(model.non_trainable_variables, non_trainable),
            *zip(model.optimizer.variables, optimizer),
        ]
        with keras.StatelessScope(mapping, collect_losses=True) as scope:
            outputs = model(x, training=True)
            loss, aux = model.evaluate_objectives(x, outputs)
            scaled = model.optimizer.scale_loss(loss)
        non_trainable = [
            scope.get_current_value(v) for v in model.non_trainable_variables
        ]
        return scaled, (loss, aux, non_trainable)

    gradients, (loss, aux, non_trainable) = jax.grad(
        loss_function, has_aux=True
    )(trainable, non_trainable)
    # Clipping by the global norm takes the same sum; compiled, there is one.
    square_norm = sum(
        jnp.sum(jnp.square(g.astype("float32"))) for g in gradients
    )
    finite = jnp.isfinite(loss) & jnp.isfinite(square_norm)

    def move():
        moved = model.optimizer.stateless_apply(optimizer, gradients, trainable)
        return tuple(map(list, moved))

    if isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer):
        # A loss scale handles overflow itself, and has to move to do so.
        moved, optimizer_moved = move()
    else:
        # A branch, since selecting would read and write all state once more.
        moved, optimizer_moved = jax.lax.cond(
            finite, move, lambda: (list(trainable), list(optimizer))
        )

    variables = _state_variables(model)
    values = [moved, non_trainable, optimizer_moved, metrics]
    mapping = [
        pair
        for group, new in zip(variables, values)
        for pair in zip(group, new, strict=True)
    ]
    with keras.StatelessScope(mapping) as scope:
        model.after_step(loss, aux, finite)
        logs = model.get_metrics_result()
    state = tuple(
        [scope.get_current_value(v) for v in group] for group in variables
    )
    return logs, state


def train_each(model, parts, prepare, state, data):
    """One step of each of several models, on what is prepared once.

    Args:
        model: the model that holds them, whose optimizer and metrics are
            theirs.
        parts: list of models as `keras_dinolm.training.step` describes.
        prepare: callable `(x) -> x`, run without gradient.
        state: the state of `model`, as in `train_step`.
        data: the batch.

    Returns:
        `(logs, state)`: the metrics so far of `model`, and its state.
    """
    x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
    variables = _state_variables(model)
    # By identity: the parts may share variables, such as a teacher's.
    now = {
        id(variable): value
        for group, values in zip(variables, state)
        for variable, value in zip(group, values, strict=True)
    }
    with keras.StatelessScope(_pairs(variables[:2], now)):
        x = prepare(x)
    for part in parts:
        own = _state_variables(part)
        before = tuple([now[id(v)] for v in group] for group in own)
        _, after = train_step(part, before, x)
        for group, values in zip(own, after):
            now.update(zip(map(id, group), values, strict=True))
    with keras.StatelessScope(_pairs(variables, now)):
        logs = model.get_metrics_result()
    return logs, tuple([now[id(v)] for v in group] for group in variables)


def _state_variables(model):
    """The variables whose values are the state, in its order."""
    return [
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    ]


def _pairs(groups, now):
    return [(v, now[id(v)]) for group in groups for v in group]


def read_variable(model, variable, state, *_):
    """The present value of a variable, which `fit` keeps outside the model."""
    for known, value in zip(model.non_trainable_variables, state[1]):
        if known is variable:
            return value
    raise ValueError(f"{variable.path} is not a variable of the model.")
