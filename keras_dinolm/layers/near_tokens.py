"""Features of tokens, averaged over the tokens near them."""

from keras import ops

from keras_dinolm.typing import Tensor


def mean_of_near_tokens(tokens: Tensor, is_text: Tensor, window: int) -> Tensor:
    """The mean over each token and those at most `window` away from it.

    Tokens that are no text, `[CLS]` and padding, are left out of all means.

    Args:
        tokens: float tensor `[..., L, D]`.
        is_text: boolean tensor `[..., L]`.
        window: int. Farthest token on either side; 0 is the token alone.

    Returns:
        Float32 tensor `[..., L, D]`, zeros where no text is near.
    """
    keep = ops.cast(is_text, "float32")[..., None]
    # Spare rows may hold anything, also NaN.
    tokens = ops.where(keep > 0, ops.cast(tokens, "float32"), 0.0)
    if not window:
        return tokens
    total, count = tokens, keep
    for distance in range(1, window + 1):
        for shift in (-distance, distance):
            total = total + _shifted(tokens, shift)
            count = count + _shifted(keep, shift)
    return total / ops.maximum(count, 1.0)


def _shifted(x, shift):
    """`x[..., i + shift, :]` at place i, zeros beyond the ends."""
    length = x.shape[-2]
    if abs(shift) >= length:
        return ops.zeros_like(x)
    ends = [(0, 0)] * (len(x.shape) - 2)
    if shift > 0:
        return ops.pad(x[..., shift:, :], [*ends, (0, shift), (0, 0)])
    return ops.pad(x[..., :shift, :], [*ends, (-shift, 0), (0, 0)])
