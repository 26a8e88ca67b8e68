"""The shapes of all arrays in a weight file, read before any array is."""

import json
import math
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import h5py

from keras_dinolm import arguments
from keras_dinolm.models.presets.preset_files import FIX
from keras_dinolm.models.presets.preset_files import SHARDED_WEIGHTS
from keras_dinolm.models.presets.preset_files import WEIGHTS
from keras_dinolm.models.presets.preset_files import find_file
from keras_dinolm.models.presets.preset_files import has_file
from keras_dinolm.models.presets.preset_files import read_object

Shapes = dict[str, tuple[int, ...]]

SAFETENSORS = "model.safetensors"
SAFETENSORS_INDEX = "model.safetensors.index.json"

_MOST_ARRAYS = 20_000
_DEEPEST = 64
# From this size on, a file of which more than half is holes is no weight
# file: weights are no zeros, and holes cost nothing to make.
_LARGE = 64 << 20
_MOST_HEADER_BYTES = 16 << 20
_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "F64"), 8),
}


def keras_shapes(folder: pathlib.Path) -> Shapes:
    """The shapes in the weights of a Keras preset, in one file or several.

    Args:
        folder: `pathlib.Path` of the preset.

    Returns:
        Dict of the path of an array to its shape.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is broken, or no file of plain arrays.
    """
    names = [WEIGHTS]
    if not has_file(folder, WEIGHTS) and has_file(folder, SHARDED_WEIGHTS):
        names = shards(folder, SHARDED_WEIGHTS, ".weights.h5")
    shapes: Shapes = {}
    for name in names:
        shapes.update(h5_shapes(folder, name))
    return shapes


def shards(folder: pathlib.Path, index: str, suffix: str) -> list[str]:
    """The files that an index of weights names.

    Args:
        folder: `pathlib.Path` of the preset.
        index: string. The name of the index.
        suffix: string. How the names must end.

    Returns:
        Sorted list of names.

    Raises:
        ValueError: if there is no `weight_map` of names in the folder.
    """
    names = set()
    mapping = read_object(folder, index).get("weight_map")
    if isinstance(mapping, dict):
        for value in mapping.values():
            for name in value if isinstance(value, list) else [value]:
                if not isinstance(name, str):
                    mapping = None
                    break
                names.add(name)
    if not mapping or not isinstance(mapping, dict):
        raise ValueError(
            f"The file '{index}' of the preset folder '{folder}' must have "
            "an entry `weight_map` of weights and names of files. "
            f"Received: weight_map={arguments.shorten(mapping)}. {FIX}"
        )
    for name in names:
        if not name.endswith(suffix) or "/" in name:
            raise ValueError(
                f"The file '{index}' of the preset folder '{folder}' names "
                f"{arguments.shorten(name)}, and its files must be in the "
                f"folder and end in '{suffix}'. It is not opened. {FIX}"
            )
    return sorted(names)


def h5_shapes(folder: pathlib.Path, name: str) -> Shapes:
    """The shapes in one HDF5 file, which must hold plain arrays only.

    HDF5 can do much more: arrays in other files, links, compression, arrays
    that are declared and not there. None of it is in a weight file of Keras,
    and all of it can read, or allocate, what the file does not hold.

    Args:
        folder: `pathlib.Path` of the preset.
        name: string. The file.

    Returns:
        Dict of the path of an array to its shape.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is broken, or holds anything else.
    """
    path = find_file(folder, name)
    try:
        with h5py.File(path, "r") as file:
            found = dict(_arrays(file))
    except _RefusedError as error:
        raise ValueError(
            f"The weights '{name}' of the preset folder '{folder}' are not "
            f"loaded: {error}. {FIX}"
        ) from None
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise ValueError(
            f"The weights '{name}' of the preset folder '{folder}' cannot be "
            f"read: the file is cut short or not HDF5 ({error}). {FIX}"
        ) from None
    stored = sum(size for _, size in found.values())
    _check_size(folder, name, path, stored)
    return {key: shape for key, (shape, _) in found.items()}


def safetensors_shapes(folder: pathlib.Path) -> Shapes:
    """The shapes in the weights of a folder in the layout of Hugging Face.

    Args:
        folder: `pathlib.Path` of the preset.

    Returns:
        Dict of the name of a tensor to its shape.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is broken.
    """
    names = [SAFETENSORS]
    if has_file(folder, SAFETENSORS_INDEX):
        names = shards(folder, SAFETENSORS_INDEX, ".safetensors")
    shapes: Shapes = {}
    for name in names:
        path = find_file(folder, name)
        try:
            shapes.update(_header(path))
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"The weights '{name}' of the preset folder '{folder}' cannot "
                "be read: the file is cut short or not safetensors "
                f"({arguments.shorten(str(error), 200)}). {FIX}"
            ) from None
    return shapes


class _RefusedError(Exception):
    pass


def _arrays(file: Any) -> Iterator[tuple[str, tuple[tuple[int, ...], int]]]:
    """Yields `(path, (shape, bytes))` of each array."""
    seen: set[int] = set()
    groups = [("", file, 0)]
    count = 0
    while groups:
        prefix, group, depth = groups.pop()
        if depth > _DEEPEST:
            raise _RefusedError(f"'{prefix[:80]}...' is nested too deeply")
        for key in group:
            path = f"{prefix}{key}"
            count += 1
            if count > _MOST_ARRAYS:
                raise _RefusedError(f"it has more than {_MOST_ARRAYS} entries")
            link = group.get(key, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise _RefusedError(
                    f"'{path}' is a link ({type(link).__name__})"
                )
            item = group[key]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                raise _RefusedError(f"'{path}' is there under two names")
            seen.add(address)
            if isinstance(item, h5py.Group):
                groups.append((f"{path}/", item, depth + 1))
            elif isinstance(item, h5py.Dataset):
                yield path, _plain(path, item)
            else:
                raise _RefusedError(f"'{path}' is no array")


def _plain(path, array):
    # Raw two bytes are bfloat16, as Keras writes it.
    kind, width = array.dtype.kind, array.dtype.itemsize
    if array.dtype.names or not (
        kind in "fiub" or (kind == "V" and width == 2)
    ):
        raise _RefusedError(f"'{path}' holds no numbers, but {array.dtype}")
    if array.shape is None or 0 in array.shape:
        raise _RefusedError(f"'{path}' of shape {array.shape} is empty")
    properties = array.id.get_create_plist()
    if array.is_virtual or properties.get_external_count():
        raise _RefusedError(f"'{path}' keeps its numbers in another file")
    size = math.prod(array.shape) * width
    if properties.get_nfilters() or array.id.get_storage_size() < size:
        raise _RefusedError(
            f"'{path}' of shape {array.shape} is declared, and its numbers "
            "are compressed or not there"
        )
    return array.shape, size


def _check_size(folder, name, path, stored):
    status = os.stat(path)
    blocks = getattr(status, "st_blocks", status.st_size)  # none on Windows
    reason = None
    if stored > status.st_size:
        reason = "its arrays are larger than the file"
    elif status.st_size > _LARGE and blocks * 512 < status.st_size // 2:
        reason = "most of it was never written (holes in the file)"
    if reason:
        raise ValueError(
            f"The weights '{name}' of the preset folder '{folder}' are not "
            f"loaded: {reason}. {FIX}"
        )


def _header(path):
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, _MOST_HEADER_BYTES):
            raise ValueError(f"a header of {length} bytes in {size}")
        text = file.read(length)
    if text.count(b"{") > _MOST_ARRAYS or text.count(b"[") > 3 * _MOST_ARRAYS:
        raise ValueError(f"a header of more than {_MOST_ARRAYS} tensors")
    header = json.loads(text)
    if not isinstance(header, dict):
        raise ValueError("the header is no object of tensors")
    total = 0
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        shape = entry.get("shape") if isinstance(entry, dict) else None
        if not isinstance(shape, list) or not all(
            type(dim) is int and dim > 0 for dim in shape
        ):
            raise ValueError(f"{name!r} has the shape {shape!r}")
        width = _BYTES.get(str(entry.get("dtype")))
        if width is None:
            raise ValueError(f"{name!r} is of type {entry.get('dtype')!r}")
        total += math.prod(shape) * width
        yield name, tuple(shape)
    if total > size - 8 - length:
        raise ValueError("its tensors are larger than the file")
