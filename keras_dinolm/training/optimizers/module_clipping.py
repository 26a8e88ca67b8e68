"""Clipping the gradient of each module by its own norm."""

from collections.abc import Sequence

from keras import ops

from keras_dinolm.typing import Tensor


def clip_modules(
    gradients: Sequence[Tensor], modules: Sequence[str], limit: float
) -> list[Tensor]:
    """Scales the gradients of each module down to a norm.

    Args:
        gradients: tensors, one for each variable.
        modules: str, the name of each variable's module.
        limit: float. The largest norm of a module's gradient.

    Returns:
        List of tensors.

    Raises:
        ValueError: if gradients are missing.
    """
    if len(gradients) != len(modules):
        raise ValueError(
            "`module_clipnorm` needs the gradients of all variables that the "
            "optimizer was built with; give 0 where there is none. "
            f"Received: {len(gradients)} gradients for {len(modules)} variables"
        )
    squares = {}
    for gradient, module in zip(gradients, modules):
        square = ops.sum(ops.square(ops.cast(gradient, "float32")))
        squares[module] = squares.get(module, 0.0) + square
    shares = {
        module: limit / ops.maximum(ops.sqrt(square), limit)
        for module, square in squares.items()
    }
    return [
        gradient * ops.cast(shares[module], gradient.dtype)
        for gradient, module in zip(gradients, modules)
    ]
