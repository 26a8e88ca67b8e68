"""LoRA: a trained encoder that learns by small matrices alone."""

import contextlib

import keras
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.models.encoder.weight_changes import changes_of
from keras_dinolm.typing import Tensor

# Queries and values, as in the paper. Our encoder computes them together with
# the keys; keras-hub's encoders have names of their own.
LAYERS = ("query", "value", "query_dense", "value_dense", "query_key_value")


def enable_lora(encoder: keras.layers.Layer, rank: int) -> None:
    """Freezes an encoder and gives its attention low-rank updates to learn.

    A kernel W becomes W + AB, where A has `rank` columns and B starts at 0:
    at first the encoder computes what it did before. Nothing else in it
    learns.

    Args:
        encoder: `TextEncoder`.
        rank: int. The rank of AB.

    Raises:
        ValueError: if `rank` is no positive integer, if the encoder has
            updates already, or no layer that can get them.

    Example:

    ```python
    import keras_dinolm as kd
    from keras_dinolm.models.encoder.lora import enable_lora

    encoder = kd.models.TextEncoder(
        kd.models.DinoLMBackbone.from_size("nano", 100)
    )
    enable_lora(encoder, 4)
    len(encoder.trainable_weights)  # 4: A and B of two blocks
    ```

    Reference:
        [LoRA](https://arxiv.org/abs/2106.09685)
    """
    rank = arguments.count("rank", rank)
    if _adapted(encoder):
        raise ValueError(
            "The encoder has low-rank updates already. `encoder.clone()` is a "
            "copy with these added to its weights; it can get new ones."
        )
    layers = [
        layer
        for layer in encoder._flatten_layers()
        if layer.name in LAYERS and hasattr(layer, "enable_lora")
    ]
    if not layers:
        raise ValueError(
            "The encoder has no layer that can get low-rank updates: they are "
            f"known by their names, {', '.join(LAYERS)}. Train it without "
            "LoRA."
        )
    with changes_of(encoder.backbone).short():
        for variable in encoder.weights:
            variable.trainable = False
        for layer in layers:
            # The factors get the path of the kernel, because optimizers read
            # the depth of a layer off its path.
            with contextlib.ExitStack() as scopes:
                for name in layer.path.split("/")[:-1]:
                    scopes.enter_context(keras.name_scope(name))
                layer.enable_lora(rank)


def merged_values(network: keras.layers.Layer) -> list[Tensor]:
    """The weights of a network as they are without LoRA, its updates added.

    Args:
        network: layer.

    Returns:
        A list of tensors, in the order of the weights of the same network
        before LoRA. Without LoRA, the values of its weights.

    Raises:
        ValueError: if a kernel with an update is quantized.
    """
    adapted = _adapted(network)
    for layer in adapted:
        if not keras.backend.is_float_dtype(layer._kernel.dtype):
            raise ValueError(
                f"The kernel of `{layer.path}` is quantized to "
                f"{layer._kernel.dtype}, and a low-rank update cannot be added "
                "to integers. Merge first (`encoder.clone()`), then quantize "
                "the copy."
            )
    kernels = {id(layer._kernel): layer for layer in adapted}
    updates = {id(v) for layer in adapted for v in _factors(layer)}
    return [
        kernels[id(v)].kernel if id(v) in kernels else v.value
        for v in network.weights
        if id(v) not in updates
    ]


def revive(network: keras.layers.Layer) -> None:
    """Restarts updates that a file has merged into their kernels.

    Keras saves the sum and loads both factors as 0. With both at 0, neither
    would ever get a gradient.

    Args:
        network: layer.
    """
    for layer in _adapted(network):
        a, b = (ops.convert_to_numpy(v) for v in _factors(layer))
        if not a.any() and not b.any():
            initializer = keras.initializers.get("he_uniform")
            layer.lora_kernel_a.assign(initializer(a.shape))


def _adapted(network):
    return [
        layer
        for layer in network._flatten_layers()
        if getattr(layer, "lora_enabled", False)
    ]


def _factors(layer):
    return layer.lora_kernel_a, layer.lora_kernel_b
