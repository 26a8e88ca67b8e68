"""The training step under torch: eager, or compiled by `jit_compile`."""

import keras
import torch

from keras_dinolm.training.torch_gradients import compiled_gradients
from keras_dinolm.training.torch_gradients import eager_gradients


# `fit` hands this to `torch.compile`; what is worth compiling compiles itself.
@torch.compiler.disable
def train_step(model, data):
    """One optimizer step, or one micro-batch of it.

    Args:
        model: a model as `keras_dinolm.training.step` describes.
        data: the batch.

    Returns:
        The metrics so far.
    """
    x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
    compute = compiled_gradients if model.jit_compile else eager_gradients
    loss, aux, gradients = compute(model, x)
    variables = model.trainable_variables
    # A weight that no active objective reads has no gradient; 0 gives it the
    # same treatment as on the other backends.
    gradients = [
        torch.zeros_like(variable.value) if gradient is None else gradient
        for variable, gradient in zip(variables, gradients, strict=True)
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
    return model.get_metrics_result()


@torch.compiler.disable
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
    with torch.no_grad():
        x = prepare(x)
    for part in parts:
        train_step(part, x)
    return model.get_metrics_result()


def read_variable(model, variable, *_):
    """The present value of a variable."""
    return keras.ops.convert_to_numpy(variable)
