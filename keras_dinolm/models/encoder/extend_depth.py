"""A trained backbone with more blocks on top."""

from typing import Any

from keras_dinolm import arguments
from keras_dinolm.models.encoder.backbone import MOST_LAYERS
from keras_dinolm.models.encoder.backbone import DinoLMBackbone

ALWAYS = {"dropout", "drop_path_rate", "position_jitter", "remat", "name"}
# What determines the weights and the computation of blocks, and which of
# their features are pooled.
OF_BLOCKS = {
    "num_heads",
    "intermediate_dim",
    "activation",
    "num_registers",
    "pooled_layers",
}


def extend_depth(
    backbone: DinoLMBackbone,
    num_layers: int,
    layer_scale: float = 0.0,
    **overrides: Any,
) -> DinoLMBackbone:
    """Makes a deeper backbone that starts with the features of a shallow one.

    A step of a shallow encoder costs a fraction of a step of a deep one, and
    the shallow encoder learns much of what the deep one learns first. Without
    any block (`num_layers=0`) it is a bag of embeddings. So training may
    begin with a shallow encoder and continue with a deep one.

    New blocks come after the old ones. Their residual branches start at a
    gain of `layer_scale`: at 0 the features stay as they are, and the new
    blocks fade in as they learn.

    Args:
        backbone: `DinoLMBackbone`.
        num_layers: int, more than the backbone has. Blocks of the new one.
        layer_scale: float. Gain of the new branches at the start.
        **overrides: other arguments of the constructor that leave the
            features as they are: `dropout`, `drop_path_rate`,
            `position_jitter`, `remat`, `name`; of a backbone without blocks
            also `num_heads`, `intermediate_dim`, `activation`,
            `num_registers` and `pooled_layers`.

    Returns:
        A new `DinoLMBackbone` with the weights of the old one, and more.

    Raises:
        ValueError: if there are no more layers than before, or an override
            would change the features.

    Example:

    ```python
    import keras_dinolm as kd

    bag = kd.models.DinoLMBackbone.from_size(
        "nano", vocabulary_size=1_000, num_layers=0, num_registers=0
    )
    # ... train it, then
    deep = kd.models.extend_depth(bag, num_layers=2, num_registers=4)
    ```

    References:
        - [Net2Net](https://arxiv.org/abs/1511.05641)
        - [Efficient Training of BERT by Progressively
          Stacking](https://proceedings.mlr.press/v97/gong19a.html)
        - [ReZero](https://arxiv.org/abs/2003.04887)
    """
    arguments.instance(
        "backbone", backbone, DinoLMBackbone, "a `DinoLMBackbone`"
    )
    num_layers = arguments.integer("num_layers", num_layers, 1, MOST_LAYERS)
    if num_layers <= backbone.num_layers:
        raise ValueError(
            "Argument `num_layers` must be more than the backbone has, "
            f"{backbone.num_layers}. Received: num_layers={num_layers}"
        )
    if layer_scale is None or (
        backbone.num_layers and backbone.layer_scale is None
    ):
        raise ValueError(
            "New blocks fade in by their `layer_scale`, so it must be a "
            "number, for the backbone too if it has blocks. Received: "
            f"layer_scale={layer_scale}, of the backbone "
            f"{backbone.layer_scale}"
        )
    layer_scale = arguments.number("layer_scale", layer_scale)
    free = ALWAYS if backbone.num_layers else ALWAYS | OF_BLOCKS
    if backbone.pooling == "attention":
        free = free - {"num_heads"}  # the pooler has as many
    if backbone.pooled_join == "concatenate":
        free = free - {"pooled_layers"}  # the feature is as wide as these
    if set(overrides) - free:
        raise ValueError(
            f"Overrides must be among {', '.join(sorted(free))}, which leave "
            f"the features of the backbone as they are. Received: {overrides}"
        )
    config = {
        **backbone.get_config(),
        # The copy of a frozen teacher is trainable, as all copies are.
        "trainable": True,
        "num_layers": num_layers,
        "layer_scale": layer_scale,
        **overrides,
    }
    deeper = type(backbone).from_config(config)
    for layer in backbone.layers:
        # Registers that no block has read have learned nothing.
        if backbone.num_layers or layer is not backbone.registers:
            deeper.get_layer(layer.name).set_weights(layer.get_weights())
    return deeper
