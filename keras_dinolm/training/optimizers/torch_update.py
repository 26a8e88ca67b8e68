"""Clipping and AdamW under torch, by the kernels that torch has for them.

Keras' own formulas make an array of the size of the weights for each
operation. Of a step that does little else, they take most of the time.
"""

from collections.abc import Sequence

import torch
from torch.optim.adamw import adamw

# Where torch has a fused kernel; elsewhere it runs over lists of tensors.
_FUSED = ("cpu", "cuda")


def clip_by_global_norm(
    gradients: Sequence[torch.Tensor], limit: float
) -> list[torch.Tensor]:
    """Scales gradients down to a norm, all by the same factor.

    Args:
        gradients: tensors.
        limit: float. The largest norm of all gradients together.

    Returns:
        List of tensors.
    """
    norm = float(torch.stack(torch._foreach_norm(gradients)).norm())
    if norm <= limit:
        return list(gradients)
    return list(torch._foreach_mul(gradients, limit / norm))


def adamw_update(
    variables: Sequence[torch.Tensor],
    gradients: Sequence[torch.Tensor],
    momentums: Sequence[torch.Tensor],
    velocities: Sequence[torch.Tensor],
    update: int,
    learning_rate: float,
    weight_decay: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    """Updates variables of one learning rate and decay, in place.

    Args:
        variables: float32 tensors.
        gradients: float32 tensors.
        momentums: float32 tensors.
        velocities: float32 tensors.
        update: int. Updates done before.
        learning_rate: float.
        weight_decay: float, multiplied by the learning rate.
        beta_1: float.
        beta_2: float.
        epsilon: float. As Keras has it: added to the root of a velocity
            whose bias is not corrected yet.
    """
    device = variables[0].device
    is_fused = device.type in _FUSED
    # torch adds 1 to it.
    count = torch.tensor(float(update), device=device if is_fused else "cpu")
    adamw(
        list(variables),
        # A kernel reads all memory in one order.
        [gradient.contiguous() for gradient in gradients],
        list(momentums),
        list(velocities),
        [],
        [count.clone() for _ in variables],
        foreach=not is_fused,
        fused=is_fused,
        amsgrad=False,
        beta1=beta_1,
        beta2=beta_2,
        lr=learning_rate,
        weight_decay=weight_decay,
        eps=epsilon / (1.0 - beta_2 ** (update + 1)) ** 0.5,
        maximize=False,
    )
