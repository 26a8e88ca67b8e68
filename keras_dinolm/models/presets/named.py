"""Names of presets: those that come with this package, and keras-hub's."""

import json
import os
import warnings

import keras_hub
from keras_hub.src.utils.preset_utils import register_presets

from keras_dinolm import arguments
from keras_dinolm import shipped
from keras_dinolm.typing import Path


def register(backbone_cls: type) -> None:
    """Tells keras-hub the names, as those of a class of backbones.

    So `keras_hub.models.TextEmbedder.from_preset` and its like find them, and
    `presets` of our classes lists them. Where keras-hub keeps a handle of
    Kaggle for its own presets, ours have a folder.

    Args:
        backbone_cls: class of all backbones in these presets.
    """
    presets = {}
    for name in shipped.names():
        folder = shipped.FOLDER / name
        metadata = json.loads((folder / "metadata.json").read_text("utf-8"))
        presets[name] = {"metadata": metadata, "kaggle_handle": str(folder)}
    register_presets(presets, backbone_cls)


def resolve(preset: Path) -> str:
    """Turns the name of a preset of this package into its folder.

    Args:
        preset: string or path. A string may be a name; a `pathlib.Path` is
            always a folder.

    Returns:
        String: what keras-hub loads as the same preset.

    Raises:
        ValueError: if there is no folder and no preset of that name.
    """
    folder = arguments.path("preset", preset)
    text = os.fspath(preset)
    if text in shipped.names():
        if isinstance(preset, os.PathLike):
            # keras-hub would take it for the name.
            return str(folder.absolute())
        if folder.exists():
            warnings.warn(
                f"'{preset}' is the preset of that name in this package. For "
                f"the folder in '{os.getcwd()}', write './{preset}'.",
                stacklevel=3,
            )
        return str(shipped.FOLDER / text)
    is_name = "://" not in text and os.sep not in text
    if is_name and not folder.exists() and not text.startswith((".", "~")):
        _check_is_known(text)
    return text


def _check_is_known(name):
    if name in keras_hub.models.Backbone.presets:
        return
    raise ValueError(
        f"There is no preset '{name}': no such folder in "
        f"'{os.getcwd()}', and no preset of that name. This package has "
        f"{', '.join(shipped.names()) or 'none'}; keras-hub has those that "
        "`keras_hub.models.Backbone.presets` lists."
    )
