"""Precision policies that survive a preset, also those of quantized layers.

keras-hub loads a preset in the default precision, fails on "mixed_bfloat16",
and writes quantized layers without the policy that they were made from, which
it even removes from the layers. So the policy is written and read here.
"""

import contextlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import keras

from keras_dinolm import files
from keras_dinolm.models.presets.preset_files import CONFIG
from keras_dinolm.models.presets.preset_files import TASK_CONFIG
from keras_dinolm.models.presets.preset_files import read_object


def policy_config(backbone: keras.Model) -> dict[str, Any]:
    """The precision of a backbone and its layers, as a preset holds it.

    Args:
        backbone: backbone of a `TextEncoder`.

    Returns:
        Dict, a serialized `keras.DTypePolicy` or `DTypePolicyMap`.
    """
    policy = backbone.dtype_policy
    policies = keras.dtype_policies
    default = policy
    layers = {}
    if isinstance(policy, policies.DTypePolicyMap):
        default = policy.default_policy
        layers = {path: policy[path] for path in policy}
    for path, layer in _quantized(backbone):
        layers[path] = _of_layer(layer)
    if not layers and default.name == "float32":
        return policies.serialize(default)
    # keras-hub takes a map as it is, and any other policy for a wish.
    return {
        "module": "keras.dtype_policies",
        "class_name": "DTypePolicyMap",
        "config": {
            "default_policy": default.name,
            "policy_map": {
                path: policies.serialize(value)
                for path, value in layers.items()
            },
        },
        "registered_name": None,
    }


@contextlib.contextmanager
def policies_kept(backbone: keras.Model) -> Iterator[None]:
    """Gives quantized layers their policies back that `get_config` spoils.

    Args:
        backbone: backbone of a `TextEncoder`.
    """
    kept = [
        (layer, keras.dtype_policies.serialize(_of_layer(layer)))
        for _, layer in _quantized(backbone)
    ]
    try:
        yield
    finally:
        for layer, config in kept:
            layer.dtype_policy = keras.dtype_policies.deserialize(config)


def quantized_config(backbone: keras.Model, config: Any) -> dict[str, Any]:
    """The config of a backbone, with the policies of quantized layers.

    Args:
        backbone: backbone of a `TextEncoder`.
        config: callable, keras-hub's `get_config` of it.

    Returns:
        Dict.
    """
    with policies_kept(backbone):
        result = config()
    if next(_quantized(backbone), None) is not None:
        result["dtype"] = policy_config(backbone)
    return result


def settle_policies(backbone: keras.Model) -> None:
    """Gives each layer its own policy, where all share a map.

    A quantized layer that is made from a map works, but Keras cannot save it.

    Args:
        backbone: backbone of a `TextEncoder`.
    """
    for layer in backbone._flatten_layers(include_self=False):
        if isinstance(layer.dtype_policy, keras.dtype_policies.DTypePolicyMap):
            # The setter would change the map.
            layer._dtype_policy = _of_layer(layer)


def write_policy(folder: pathlib.Path, **values: Any) -> None:
    """Puts values into the configs of the backbone that keras-hub has written.

    Args:
        folder: `pathlib.Path` of the preset.
        **values: `dtype`, what `policy_config` returned, and perhaps others.
    """
    for name in (CONFIG, TASK_CONFIG):
        if not (folder / name).exists():
            continue
        value = json.loads((folder / name).read_text(encoding="utf-8"))
        backbone = value if name == CONFIG else value["config"]["backbone"]
        backbone["config"].update(values)
        files.write_json(folder / name, value)


def read_policy(folder: pathlib.Path | None, dtype: Any = None) -> Any:
    """What to pass to keras-hub as `dtype`.

    Args:
        folder: `pathlib.Path` of the preset, or `None` if it is no folder.
        dtype: what the user asks for: string, `keras.DTypePolicy`, or `None`
            for what the preset was written with. Quantized layers stay so.

    Returns:
        A string, policy or dict, or `None` for the default.
    """
    if folder is None:
        return dtype
    config = read_object(folder, CONFIG).get("config")
    saved = config.get("dtype") if isinstance(config, dict) else None
    if not isinstance(saved, dict):
        return saved if dtype is None else dtype
    inner = saved.get("config") or {}
    if saved.get("class_name") != "DTypePolicyMap":
        return inner.get("name") if dtype is None else dtype
    if isinstance(dtype, keras.dtype_policies.DTypePolicyMap):
        return dtype
    layers = inner.get("policy_map") or {}
    default = inner.get("default_policy")
    if dtype is not None:
        default = keras.dtype_policies.get(dtype).name
    if not layers:
        return default
    policies = {}
    for path, value in layers.items():
        layer = dict(value, config=dict(value["config"]))
        if dtype is not None or layer["config"].get("source_name", 0) is None:
            layer["config"]["source_name"] = default
        policies[path] = layer
    return keras.dtype_policies.deserialize(
        {**saved, "config": {"default_policy": default, "policy_map": policies}}
    )


def _quantized(backbone):
    """Yields `(path, layer)`, by the path in a backbone that stands alone."""
    for top in backbone.layers:
        # Layers that were never called, such as inputs, have no path.
        prefix = (top.path or "").removesuffix(top.name)
        for layer in top._flatten_layers():
            if layer.quantization_mode is not None:
                yield layer.path.removeprefix(prefix), layer


def _of_layer(layer):
    policy = layer.dtype_policy
    if isinstance(policy, keras.dtype_policies.DTypePolicyMap):
        # Layers that were never called, such as inputs, have no path.
        return policy[layer.path] if layer.path else policy.default_policy
    return policy
