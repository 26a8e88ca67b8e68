"""Projection heads beside a preset, so that pretraining can go on with them."""

import pathlib
import warnings
from typing import Any

import h5py
import keras
import numpy as np

from keras_dinolm import arguments
from keras_dinolm import files
from keras_dinolm.models.distillation.tower import Tower
from keras_dinolm.models.distillation.tower import width_of
from keras_dinolm.models.presets.config_sizes import LONGEST
from keras_dinolm.models.presets.finite import check_finite_array
from keras_dinolm.models.presets.preset_files import find_file
from keras_dinolm.models.presets.preset_files import has_file
from keras_dinolm.models.presets.preset_files import read_object
from keras_dinolm.models.presets.weight_shapes import Shapes
from keras_dinolm.models.presets.weight_shapes import h5_shapes
from keras_dinolm.typing import Path

CONFIG = "heads.json"
WEIGHTS = "heads.weights.h5"

_SIZES = ("num_prototypes", "head_hidden_dim", "bottleneck_dim")
_FIX = "Write it again with `model.export_preset(..., heads=True)`."


def save_heads(tower, folder):
    """Writes the projection heads and prototypes of a network.

    Args:
        tower: `Tower`.
        folder: `pathlib.Path` of the preset.
    """
    config = {
        "heads": list(tower.heads),
        **{name: getattr(tower, name) for name in _SIZES},
    }
    files.write_json(folder / CONFIG, config)
    with h5py.File(folder / WEIGHTS, "w") as file:
        for name, variable in _variables(tower, tower.heads):
            value = keras.ops.convert_to_numpy(variable)
            if value.dtype.kind == "V":  # bfloat16, which HDF5 does not know
                value = value.astype("float32")
            file[name] = value


def head_bytes(tower):
    """How large `save_heads` will write.

    Args:
        tower: `Tower`.

    Returns:
        An int.
    """
    return sum(4 * np.prod(v.shape) for _, v in _variables(tower, tower.heads))


def head_variables(tower):
    """The variables that `save_heads` writes.

    Args:
        tower: `Tower`.

    Returns:
        A list of `keras.Variable`.
    """
    return [variable for _, variable in _variables(tower, tower.heads)]


def read_head_sizes(preset):
    """The arguments of `DinoLM` that the heads of a preset ask for.

    Args:
        preset: string or path of a local preset.

    Returns:
        A dict of `num_prototypes`, `head_hidden_dim` and `bottleneck_dim`.

    Raises:
        FileNotFoundError: if the preset has no heads.
        ValueError: if they are damaged, or their sizes are not those of
            their weights.
    """
    config, _ = _read(preset)
    return {name: config[name] for name in _SIZES}


def has_heads(preset):
    """Whether a local preset was written with its heads."""
    return has_file(pathlib.Path(preset), CONFIG)


def load_tower(encoder, preset):
    """The network that a preset with heads was exported from.

    Args:
        encoder: `TextEncoder` of that preset.
        preset: string or path of a local preset.

    Returns:
        A `Tower` with all heads of the preset.

    Raises:
        FileNotFoundError: if the preset has no heads.
        ValueError: as for `read_head_sizes`.
    """
    config, shapes = _read(preset)
    _check_encoder(preset, config["heads"], shapes, encoder)
    tower = Tower(encoder, **config, name="tower")
    load_heads(tower, preset)
    return tower


def load_heads(tower, preset):
    """Puts the heads of a preset into a network made with their sizes.

    A head that only one of the two has is left as it is, with a warning.

    Args:
        tower: `Tower`.
        preset: string or path of a local preset.

    Raises:
        FileNotFoundError: if the preset has no heads.
        ValueError: as for `read_head_sizes`, or if a weight is NaN.
    """
    config, shapes = _read(preset)
    stored = config["heads"]
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
    _check_encoder(preset, shared, shapes, tower.encoder)
    where = f"The file '{WEIGHTS}' of the preset folder '{preset}'"
    pairs = list(_variables(tower, shared))
    for name, variable in pairs:
        if shapes.get(name) != tuple(variable.shape):
            raise ValueError(
                f"{where} must have an array '{name}' of shape "
                f"{tuple(variable.shape)}. Received: {shapes.get(name)}. {_FIX}"
            )
    with h5py.File(pathlib.Path(preset) / WEIGHTS, "r") as file:
        values = [file[name][()] for name, _ in pairs]
    # All are looked at before the first one is changed.
    for (name, _), value in zip(pairs, values):
        check_finite_array(name, value, where, _FIX)
    for (_, variable), value in zip(pairs, values):
        variable.assign(value)


def _read(preset: Path) -> tuple[dict[str, Any], Shapes]:
    """The config and the shapes of the weights, which agree."""
    folder = pathlib.Path(preset)
    if not has_heads(folder):
        raise FileNotFoundError(
            f"The preset '{preset}' has no heads ('{CONFIG}'). Write it with "
            "`model.export_preset(..., heads=True)`; or start new heads on "
            "its encoder by `DinoLM(Backbone.from_preset(preset))`, as the "
            "docstring of `kd.optimizers.adamw` shows."
        )
    find_file(folder, CONFIG)
    config = read_object(folder, CONFIG, _FIX)
    shapes = h5_shapes(folder, WEIGHTS)

    def refuse(field, what):
        raise ValueError(
            f"The file '{CONFIG}' of the preset folder '{folder}' must have "
            f"{what} as `{field}`. Received: {field}="
            f"{arguments.shorten(config.get(field))}. {_FIX}"
        )

    if set(config) != {"heads", *_SIZES}:
        raise ValueError(
            f"The file '{CONFIG}' of the preset folder '{folder}' must have "
            f"the entries heads, {', '.join(_SIZES)}. Received: "
            f"{arguments.shorten(sorted(config))}. {_FIX}"
        )
    heads = config["heads"]
    if (
        not isinstance(heads, list)
        or not all(isinstance(h, str) and h.isidentifier() for h in heads)
        or len(set(heads)) != len(heads)
    ):
        refuse("heads", "a list of different names")
    for name in _SIZES:
        if type(config[name]) is not int or not 0 < config[name] <= LONGEST:
            refuse(name, f"an integer from 1 to {LONGEST}")
    for head in heads:
        prototypes = shapes.get(f"{head}/prototypes/0", ())
        first = shapes.get(f"{head}/projection/0", ())
        if len(prototypes) != 2 or len(first) != 2:
            refuse("heads", f"heads that '{WEIGHTS}' has")
        for name, size in (
            ("num_prototypes", prototypes[1]),
            ("bottleneck_dim", prototypes[0]),
            ("head_hidden_dim", first[1]),
        ):
            if config[name] != size:
                refuse(name, f"{size} (the size of '{head}' in '{WEIGHTS}')")
        dim, hidden, bottleneck = first[0], first[1], prototypes[0]
        for index, shape in enumerate(
            (
                (dim, hidden),
                (hidden,),
                (hidden, hidden),
                (hidden,),
                (hidden, bottleneck),
                (bottleneck,),
            )
        ):
            found = shapes.get(f"{head}/projection/{index}")
            if found != shape:
                raise ValueError(
                    f"The file '{WEIGHTS}' of the preset folder '{folder}' "
                    f"must have an array '{head}/projection/{index}' of shape "
                    f"{shape}. Received: {found}. {_FIX}"
                )
    return config, shapes


def _check_encoder(preset, heads, shapes, encoder):
    for head in heads:
        dim = shapes[f"{head}/projection/0"][0]
        if dim != width_of(head, encoder):
            raise ValueError(
                f"The head '{head}' in '{WEIGHTS}' of the preset folder "
                f"'{preset}' reads features of size {dim}, and its encoder "
                f"gives {width_of(head, encoder)}. {_FIX}"
            )


def _variables(tower, heads):
    """Yields `(name, variable)`, named as in the file."""
    for head in heads:
        for part, layer in (
            ("projection", tower.projection(head)),
            ("prototypes", tower.prototypes(head)),
        ):
            for index, variable in enumerate(layer.weights):
                yield f"{head}/{part}/{index}", variable
