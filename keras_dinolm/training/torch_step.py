"""The training step under torch: eager, or compiled by `jit_compile`."""

import keras
import torch


def train_step(model, data):
    """One optimizer step, or one micro-batch of it.

    Args:
        model: a model as `keras_dinolm.training.step` describes.
        data: the batch.

    Returns:
        The metrics so far.
    """
    x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
    outputs = model(x, training=True)
    loss, aux = model.evaluate_objectives(x, outputs)
    _move(model, loss, aux)
    return model.get_metrics_result()


@torch.compiler.disable
def _move(model, loss, aux):
    """Gradients and all updates: a loop over variables, not worth tracing."""
    variables = model.trainable_variables
    # Not `model.zero_grad()`: torch does not know all of Keras' variables.
    for variable in variables:
        variable.value.grad = None
    model.optimizer.scale_loss(loss).backward()
    # A weight that no active objective reads has no gradient; 0 gives it the
    # same treatment as on the other backends.
    gradients = [
        torch.zeros_like(v.value) if v.value.grad is None else v.value.grad
        for v in variables
    ]
    with torch.no_grad():
        norms = torch._foreach_norm(gradients, float("inf"))
        finite = torch.isfinite(loss) & torch.isfinite(torch.stack(norms)).all()
        scales = isinstance(
            model.optimizer, keras.optimizers.LossScaleOptimizer
        )
        # A loss scale handles overflow itself, and has to move to do so.
        if scales or bool(finite):
            model.optimizer.apply(gradients, variables)
        model.after_step(loss, aux, finite)


def read_variable(model, variable, *_):
    """The present value of a variable."""
    return keras.ops.convert_to_numpy(variable)
