"""Which backbones of others can be trained, and how to add one."""

from typing import Any

import keras
import keras_hub

# keras-hub's text encoders: tokens see both sides, so a masked token can be
# predicted, and a mean over tokens is a feature of the whole.
_CLASSES = [
    keras_hub.models.BertBackbone,
    keras_hub.models.RobertaBackbone,
    keras_hub.models.XLMRobertaBackbone,
    keras_hub.models.DistilBertBackbone,
    keras_hub.models.AlbertBackbone,
    keras_hub.models.ElectraBackbone,
    keras_hub.models.DebertaV3Backbone,
]

INPUTS = {"token_ids", "padding_mask"}


def register_backbone(backbone_class: type) -> type:
    """Lets backbones of a class be trained, like keras-hub's encoders.

    Use it as a decorator. The class is a `keras_hub.models.Backbone` whose
    tokens see both sides: a functional model of a dict of `"token_ids"`,
    `"padding_mask"` and perhaps `"segment_ids"`. It returns the features of
    tokens `[batch, length, hidden_dim]`, by themselves or in a dict as
    `"sequence_output"`. It has the attributes `hidden_dim` and
    `token_embedding`, a `keras_hub.layers.ReversibleEmbedding`. If it has
    `max_sequence_length`, longer rows are refused.

    Args:
        backbone_class: subclass of `keras_hub.models.Backbone`.

    Returns:
        The class.

    Raises:
        ValueError: if `backbone_class` is not such a subclass. An encoder of
            it checks the rest.

    Example:

    ```python
    import keras
    import keras_hub
    import keras_dinolm as kd

    @kd.models.register_backbone
    @keras.saving.register_keras_serializable(package="mine")
    class MyBert(keras_hub.models.BertBackbone):
        pass
    ```
    """
    if not (
        isinstance(backbone_class, type)
        and issubclass(backbone_class, keras_hub.models.Backbone)
    ):
        raise ValueError(
            "Argument `backbone_class` must be a subclass of "
            "`keras_hub.models.Backbone`, the class itself and not an object "
            "of it. "
            f"Received: backbone_class={backbone_class!r}"
        )
    if backbone_class not in _CLASSES:
        _CLASSES.append(backbone_class)
    return backbone_class


def stock_backbones() -> tuple[Any, ...]:
    """The classes of backbones that can be trained, besides our own.

    Returns:
        Tuple of classes, keras-hub's before those that were registered.
    """
    return tuple(_CLASSES)


def check_stock_backbone(backbone: Any) -> None:
    """Raises unless a `TextEncoder` knows how to read the backbone.

    Args:
        backbone: what is not a `DinoLMBackbone`.

    Raises:
        ValueError: if its class is not registered, or it lacks what
            `register_backbone` lists.
    """
    if not isinstance(backbone, stock_backbones()):
        names = ", ".join(cls.__name__ for cls in stock_backbones())
        raise ValueError(
            "Argument `backbone` must be a `DinoLMBackbone` or a text encoder "
            f"of these classes: {names}. Others (decoders, encoder-decoders, "
            "encoders of images) have no token features that see both sides; "
            "a class of yours that has them is added by "
            "`keras_dinolm.models.register_backbone`. "
            f"Received: backbone={backbone!r} (of type {type(backbone)})"
        )
    inputs = set(backbone.input) if isinstance(backbone.input, dict) else None
    outputs = backbone.output
    if isinstance(outputs, dict):
        outputs = outputs.get("sequence_output")
    lacks = [
        what
        for what, is_there in {
            "an input dict with 'token_ids' and 'padding_mask', and at most "
            f"'segment_ids' (it has {inputs})": inputs
            in (INPUTS, INPUTS | {"segment_ids"}),
            "features of tokens as its output or its 'sequence_output'": len(
                getattr(outputs, "shape", ())
            )
            == 3,
            "`hidden_dim`": hasattr(backbone, "hidden_dim"),
            "`token_embedding`": getattr(backbone, "token_embedding", None)
            is not None,
        }.items()
        if not is_there
    ]
    if lacks:
        raise ValueError(
            f"A `{type(backbone).__name__}` cannot be read, since it lacks "
            f"{'; '.join(lacks)}. See `keras_dinolm.models.register_backbone`. "
            f"Received: backbone={backbone!r}"
        )


def layers_of_stock_backbone(backbone: Any) -> list[Any]:
    """What comes out of the blocks of a stock backbone, the last at the end.

    keras-hub's encoders hold their blocks in `transformer_layers`. ALBERT
    runs the same block several times, so the outputs are read off the graph.

    Args:
        backbone: a backbone that `check_stock_backbone` takes.

    Returns:
        List of symbolic tensors `[batch, length, hidden_dim]`, one for each
        run of a block; empty where the class names no blocks.
    """
    blocks = keras.tree.flatten(getattr(backbone, "transformer_layers", []))
    ours = {id(block) for block in blocks}
    by_depth = sorted(backbone._nodes_by_depth.items(), reverse=True)
    return [
        node.outputs[0]
        for _, nodes in by_depth
        for node in nodes
        if id(node.operation) in ours
    ]
