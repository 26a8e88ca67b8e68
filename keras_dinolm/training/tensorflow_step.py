"""The training step under tensorflow: eager, graph or XLA."""

from typing import Any

import keras
import tensorflow as tf

# XLA halves the time of a step on a CPU, where Keras leaves it off.
COMPILE_BY_DEFAULT = True


def train_step(model: Any, data: Any) -> dict:
    """One optimizer step, or one micro-batch of it.

    Args:
        model: a model as `keras_dinolm.training.step` describes.
        data: the batch.

    Returns:
        The metrics so far.
    """
    batch, _, _ = keras.utils.unpack_x_y_sample_weight(data)
    learners = model.learners()
    with tf.GradientTape() as tape:
        outputs = model(batch, training=True)
        losses, aux = model.evaluate_objectives(batch, outputs)
        scaled = sum(
            learner.optimizer.scale_loss(loss)
            for learner, loss in zip(learners, losses, strict=True)
        )

    variables = model.trainable_variables
    # A weight that no active objective reads gets 0, as on jax; embeddings
    # get dense gradients, so that AdamW treats each row alike everywhere.
    gradients = tape.gradient(
        scaled,
        [v.value for v in variables],
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    gradient_of = {
        id(v): tf.convert_to_tensor(g) for v, g in zip(variables, gradients)
    }
    finite = [
        _move(learner, loss, gradient_of)
        for learner, loss in zip(learners, losses)
    ]
    model.after_step(losses, aux, finite)
    return model.get_metrics_result()


def _move(learner, loss, gradient_of):
    """Applies the gradients of one learner, if they are finite.

    Args:
        learner: see `keras_dinolm.training.step`.
        loss: scalar.
        gradient_of: dict of `id(variable)` to gradient.

    Returns:
        Boolean scalar, whether loss and gradients are finite.
    """
    weights, optimizer = learner.trainable_variables, learner.optimizer
    gradients = [gradient_of[id(v)] for v in weights]
    finite = tf.reduce_all(
        tf.stack(
            [
                tf.math.is_finite(loss),
                *(tf.reduce_all(tf.math.is_finite(g)) for g in gradients),
            ]
        )
    )

    def apply():
        optimizer.apply(gradients, weights)
        return True

    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        # A loss scale handles overflow itself, and has to move to do so.
        apply()
    else:
        tf.cond(finite, apply, lambda: False)
    return finite


def read_variable(model: Any, variable: keras.Variable, *_: Any) -> Any:
    """The present value of a variable.

    Args:
        model: a model as `keras_dinolm.training.step` describes.
        variable: one of its variables.
        *_: what the training function is called with.

    Returns:
        An array.
    """
    return keras.ops.convert_to_numpy(variable)


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
