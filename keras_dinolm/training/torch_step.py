"""The training step under torch: eager, or compiled by `jit_compile`."""

from typing import Any

import keras
import torch

from keras_dinolm.training.torch_gradients import compiled_gradients
from keras_dinolm.training.torch_gradients import eager_gradients

# It takes some 40 s, which pays in longer runs only.
COMPILE_BY_DEFAULT = False


# `fit` hands this to `torch.compile`; what is worth compiling compiles itself.
@torch.compiler.disable
def train_step(model: Any, data: Any) -> dict:
    """One optimizer step, or one micro-batch of it.

    Args:
        model: a model as `keras_dinolm.training.step` describes.
        data: the batch.

    Returns:
        The metrics so far.
    """
    batch, _, _ = keras.utils.unpack_x_y_sample_weight(data)
    compute = compiled_gradients if model.jit_compile else eager_gradients
    losses, aux, gradients = compute(model, batch)
    # A weight that no active objective reads has no gradient; 0 gives it the
    # same treatment as on the other backends.
    gradient_of = {
        id(v): torch.zeros_like(v.value) if gradient is None else gradient
        for v, gradient in zip(
            model.trainable_variables, gradients, strict=True
        )
    }
    with torch.no_grad():
        finite = [
            _move(learner, loss, gradient_of)
            for learner, loss in zip(model.learners(), losses, strict=True)
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
    # The norm that clipping takes, too: much faster than the largest entry.
    norms = torch.stack(torch._foreach_norm(gradients))
    finite = torch.isfinite(loss) & torch.isfinite(norms).all()
    scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    # A loss scale handles overflow itself, and has to move to do so.
    if scales or bool(finite):
        optimizer.apply(gradients, weights)
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
    if not share:  # a product with 0 would keep a NaN
        return
    with torch.no_grad():
        # In place, where Keras would make three arrays of that size.
        for target, source in zip(targets, sources, strict=True):
            source = keras.ops.convert_to_tensor(source)
            target.value.lerp_(source.to(target.value.dtype), share)
