"""Which classes and functions the configurations of a preset may name."""

import inspect
import pathlib
import re
from typing import Any

import keras
import keras_hub

from keras_dinolm import arguments
from keras_dinolm.models.encoder.stock_backbones import stock_backbones
from keras_dinolm.models.presets.preset_files import FIX

_OBJECT = {"module", "class_name", "config", "registered_name"}
# Written by keras-hub at first, and read by nobody now.
_OLD = {"assets", "weights"}
_POLICY = re.compile(r"\w*DTypePolicy(Map)?")
# Layers of a policy map are named by patterns. A pattern could run for hours.
_LAYER_PATH = re.compile(r"[\w/\-]{1,500}")
_PLAIN_MODULES = ("initializers", "regularizers", "constraints")


def backbone_class(
    folder: pathlib.Path, name: str, value: Any, where: str = ""
) -> type:
    """The class of the backbone that a configuration describes.

    Args:
        folder: `pathlib.Path` of the preset.
        name: string. The file.
        value: what the file says.
        where: string. Where in the file, for the message.

    Returns:
        `DinoLMBackbone` or one of `stock_backbones()`.

    Raises:
        ValueError: if it is anything else.
    """
    ours = keras.saving.get_registered_object("keras_dinolm>DinoLMBackbone")
    classes = (ours, *stock_backbones())
    return _registered(
        folder,
        name,
        value,
        where,
        lambda found: found in classes,
        "a backbone that `TextEncoder` reads: "
        + ", ".join(cls.__name__ for cls in classes)
        + ", or one of yours that `register_backbone` has added",
    )


def check_part(
    folder: pathlib.Path,
    name: str,
    value: Any,
    kind: str,
    where: str = "",
) -> None:
    """Raises unless a configuration describes a part of a keras-hub model.

    Args:
        folder: `pathlib.Path` of the preset.
        name: string. The file.
        value: what the file says.
        kind: string, `"Tokenizer"`, `"Preprocessor"` or `"Task"`.
        where: string. Where in the file, for the message.

    Raises:
        ValueError: if it is anything else, or holds what may not be there.
    """
    base = getattr(keras_hub.models, kind)
    _registered(
        folder,
        name,
        value,
        where,
        lambda found: inspect.isclass(found) and issubclass(found, base),
        f"a `keras_hub.models.{kind}` whose class is imported and registered "
        "with Keras",
    )
    parts = {
        "Task": {"preprocessor": "Preprocessor"},
        "Preprocessor": {"tokenizer": "Tokenizer"},
    }.get(kind, {})
    config = value["config"]
    for key, part in parts.items():
        if config.get(key) is not None:
            check_part(folder, name, config[key], part, f"{where}{key}.")
    check_values(
        folder,
        name,
        {k: v for k, v in config.items() if k not in (*parts, "backbone")},
        where,
    )


def check_values(
    folder: pathlib.Path, name: str, value: Any, where: str = ""
) -> None:
    """Raises if a value in a configuration would make what it may not.

    Numbers, strings, lists, precision policies, initializers and registered
    functions are fine. Layers and code are not.

    Args:
        folder: `pathlib.Path` of the preset.
        name: string. The file.
        value: a value of the file.
        where: string. Where in the file, for the message.

    Raises:
        ValueError: if there is anything else.
    """
    if isinstance(value, list):
        for index, item in enumerate(value):
            check_values(folder, name, item, f"{where}{index}.")
    if not isinstance(value, dict):
        return
    if not ({"class_name", "module", "registered_name"} & set(value)):
        for key, item in value.items():
            check_values(folder, name, item, f"{where}{key}.")
        return
    if not _may_be_made(value):
        raise ValueError(
            f"The file '{name}' of the preset folder '{folder}' asks in "
            f"`{where.rstrip('.') or 'it'}` for an object that no preset has: "
            f"{arguments.shorten(value)}. It is not made. {FIX}"
        )
    config = value.get("config")
    if value["class_name"] == "DTypePolicyMap" and isinstance(config, dict):
        for key in config.get("policy_map") or ():
            if not _LAYER_PATH.fullmatch(key):
                raise ValueError(
                    f"The file '{name}' of the preset folder '{folder}' gives "
                    "a precision to what is no path of a layer: "
                    f"{arguments.shorten(key)}. {FIX}"
                )
    check_values(folder, name, config, f"{where}config.")


def _registered(folder, name, value, where, accepts, what):
    problem = None
    if not isinstance(value, dict) or not isinstance(value.get("config"), dict):
        problem = "must hold an object with a `config`"
    elif set(value) - _OBJECT - _OLD:
        extra = sorted(set(value) - _OBJECT - _OLD)
        problem = f"has entries that no preset has, {extra}, and"
    if problem:
        raise ValueError(
            f"The file '{name}' of the preset folder '{folder}' {problem} "
            f"in `{where.rstrip('.') or name}`. Received: "
            f"{arguments.shorten(value)}. {FIX}"
        )
    registered = value.get("registered_name")
    found = None
    if isinstance(registered, str):
        found = keras.saving.get_registered_object(registered)
    same = found is not None and value.get("class_name") == found.__name__
    if not same or not accepts(found):
        raise ValueError(
            f"The file '{name}' of the preset folder '{folder}' must name "
            f"{what}. It is not loaded. Received: "
            f"{where}registered_name={arguments.shorten(registered)}, "
            f"class_name={arguments.shorten(value.get('class_name'))}. {FIX}"
        )
    return found


def _may_be_made(value):
    name, module = value.get("class_name"), value.get("module")
    registered, config = value.get("registered_name"), value.get("config")
    if set(value) - _OBJECT or not isinstance(name, str):
        return False
    if name == "function":
        found = keras.saving.get_registered_object(registered or config)
        if found is not None:
            return inspect.isfunction(found)
        return (
            registered in (None, config)
            and module in (None, "builtins", "keras.activations")
            and isinstance(config, str)
            and hasattr(keras.activations, config)
        )
    if registered is not None or not isinstance(module, str):
        return False
    if _POLICY.fullmatch(name):
        return module in ("keras", "keras.dtype_policies")
    return (
        module in [f"keras.{plain}" for plain in _PLAIN_MODULES]
        and inspect.isclass(getattr(getattr(keras, module[6:]), name, None))
        and isinstance(config, dict)
    )
