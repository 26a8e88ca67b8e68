"""Projection heads beside a preset, so that pretraining can go on with them."""

import json
import pathlib
import warnings

import h5py
import keras

from keras_dinolm.models.distillation.tower import Tower

CONFIG = "heads.json"
WEIGHTS = "heads.weights.h5"


def save_heads(tower, folder):
    """Writes the projection heads and prototypes of a network.

    Args:
        tower: `Tower`.
        folder: `pathlib.Path` of the preset.
    """
    config = {
        "heads": list(tower.heads),
        "num_prototypes": tower.num_prototypes,
        "head_hidden_dim": tower.head_hidden_dim,
        "bottleneck_dim": tower.bottleneck_dim,
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=2))
    with h5py.File(folder / WEIGHTS, "w") as file:
        for name, variable in _variables(tower, tower.heads):
            file[name] = keras.ops.convert_to_numpy(variable)


def read_head_sizes(preset):
    """The arguments of `DinoLM` that the heads of a preset ask for.

    Args:
        preset: string or path of a local preset.

    Returns:
        A dict of `num_prototypes`, `head_hidden_dim` and `bottleneck_dim`.

    Raises:
        FileNotFoundError: if the preset has no heads.
    """
    config = _read_config(preset)
    return {name: size for name, size in config.items() if name != "heads"}


def has_heads(preset):
    """Whether a local preset was written with its heads."""
    return (pathlib.Path(preset) / CONFIG).is_file()


def load_tower(encoder, preset):
    """The network that a preset with heads was exported from.

    Args:
        encoder: `TextEncoder` of that preset.
        preset: string or path of a local preset.

    Returns:
        A `Tower` with all heads of the preset.

    Raises:
        FileNotFoundError: if the preset has no heads.
    """
    tower = Tower(encoder, **_read_config(preset), name="tower")
    load_heads(tower, preset)
    return tower


def load_heads(tower, preset):
    """Puts the heads of a preset into a network made with their sizes.

    A head that only one of the two has is left as it is, with a warning.

    Args:
        tower: `Tower`.
        preset: string or path of a local preset.
    """
    stored = _read_config(preset)["heads"]
    for heads, what in (
        (set(tower.heads) - set(stored), "starts from random weights"),
        (set(stored) - set(tower.heads), "is read by no objective"),
    ):
        if heads:
            warnings.warn(
                f"Of the heads in {preset} and those of the model, "
                f"{sorted(heads)} {what}.",
                stacklevel=3,
            )
    shared = [head for head in tower.heads if head in stored]
    with h5py.File(pathlib.Path(preset) / WEIGHTS, "r") as file:
        for name, variable in _variables(tower, shared):
            variable.assign(file[name][()])


def _read_config(preset):
    path = pathlib.Path(preset) / CONFIG
    if not path.is_file():
        raise FileNotFoundError(
            f"The preset '{preset}' has no heads ('{CONFIG}'). Write it with "
            "`model.export_preset(..., heads=True)`; or start new heads on "
            "its encoder by `DinoLM(Backbone.from_preset(preset))`, as the "
            "docstring of `kd.optimizers.adamw` shows."
        )
    return json.loads(path.read_text(encoding="utf-8"))


def _variables(tower, heads):
    """Yields `(name, variable)`, named as in the file."""
    for head in heads:
        for part, layer in (
            ("projection", tower.projection(head)),
            ("prototypes", tower.prototypes(head)),
        ):
            for index, variable in enumerate(layer.weights):
                yield f"{head}/{part}/{index}", variable
