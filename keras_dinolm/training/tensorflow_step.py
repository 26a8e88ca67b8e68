"""The training step under tensorflow: eager, graph or XLA."""

import keras
import tensorflow as tf


def train_step(model, data):
    """One optimizer step, or one micro-batch of it.

    Args:
        model: a model as `keras_dinolm.training.step` describes.
        data: the batch.

    Returns:
        The metrics so far.
    """
    x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
    with tf.GradientTape() as tape:
        outputs = model(x, training=True)
        loss, aux = model.evaluate_objectives(x, outputs)
        scaled = model.optimizer.scale_loss(loss)

    variables = model.trainable_variables
    # A weight that no active objective reads gets 0, as on jax; embeddings
    # get dense gradients, so that AdamW treats each row alike everywhere.
    gradients = [
        tf.convert_to_tensor(g)
        for g in tape.gradient(
            scaled,
            [v.value for v in variables],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
    ]
    finite = tf.reduce_all(
        tf.stack(
            [
                tf.math.is_finite(loss),
                *(tf.reduce_all(tf.math.is_finite(g)) for g in gradients),
            ]
        )
    )

    def apply():
        model.optimizer.apply(gradients, variables)
        return True

    if isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer):
        # A loss scale handles overflow itself, and has to move to do so.
        apply()
    else:
        tf.cond(finite, apply, lambda: False)
    model.after_step(loss, aux, finite)
    return model.get_metrics_result()


def train_each(model, parts, prepare, data):
    """One step of each of several models, on what is prepared once.

    Args:
        model: the model that holds them, whose optimizer and metrics are
            theirs.
        parts: list of models as `keras_dinolm.training.step` describes.
        prepare: callable `(x) -> x`, run without gradient.
        data: the batch.

    Returns:
        The metrics so far of `model`.
    """
    x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
    x = prepare(x)
    for part in parts:
        train_step(part, x)
    return model.get_metrics_result()


def read_variable(model, variable, *_):
    """The present value of a variable."""
    return keras.ops.convert_to_numpy(variable)
