"""Writing a preset folder: at once, with room for it, over nothing else."""

import contextlib
import contextvars
import functools
import json
import os
import pathlib
import re
import shutil
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_dinolm import files
from keras_dinolm.models.presets.finite import check_finite
from keras_dinolm.models.presets.precision import policies_kept
from keras_dinolm.models.presets.precision import policy_config
from keras_dinolm.models.presets.precision import write_policy
from keras_dinolm.models.presets.preset_files import CONFIG
from keras_dinolm.models.presets.preset_files import SHARDED_WEIGHTS
from keras_dinolm.models.presets.preset_files import TOKENIZER_ASSETS
from keras_dinolm.models.presets.preset_files import TOKENIZER_CONFIG
from keras_dinolm.models.presets.preset_files import WEIGHTS
from keras_dinolm.typing import Path

_NAMES = re.compile(
    r"(config|task|tokenizer|preprocessor|metadata|heads)\.json"
    r"|model(_\d{5})?\.weights\.h5|model\.weights\.json"
    r"|(task|heads)\.weights\.h5"
)
_ASSET_FOLDERS = {"assets", "assets/tokenizer"}
_ASSETS = re.compile(
    r"assets/tokenizer/(vocabulary\.(txt|json|spm)|merges\.txt)"
)
# Configurations, vocabulary and what HDF5 adds to each array.
_BYTES_BESIDE = 4 << 20
_BYTES_AN_ARRAY = 4096

DIVERGED = (
    "Training has diverged, or what was loaded was damaged: go back to the "
    "last good checkpoint, with a lower learning rate."
)

# The folder that an outer `save_to_preset` writes, and the one it is for.
_WRITING: contextvars.ContextVar = contextvars.ContextVar("preset")


def refuse(folder: pathlib.Path, assets: Iterable[str] = ()) -> str | None:
    """Why a folder must not be replaced by a preset.

    Args:
        folder: `pathlib.Path` of a folder that is not empty.
        assets: strings. Names of a tokenizer's files, besides those of
            keras-hub's own tokenizers.

    Returns:
        A string, or `None` if it holds a preset and nothing else.
    """
    others = []
    more_assets = {f"{TOKENIZER_ASSETS}/{name}" for name in assets}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        plain = path.is_file() and not path.is_symlink()
        if name in _ASSET_FOLDERS and path.is_dir() and not path.is_symlink():
            continue
        known = _NAMES.fullmatch(name) or _ASSETS.fullmatch(name)
        if not plain or not (known or name in more_assets):
            others.append(name)
        if len(others) > 5:
            break
    if others:
        listed = ", ".join(f"'{name}'" for name in others[:5])
        more = ", ..." if len(others) > 5 else ""
        return f"a preset has no {listed}{more}"
    for name in (CONFIG, TOKENIZER_CONFIG):
        path = folder / name
        if path.exists() and not _is_of_preset(path):
            return f"its '{name}' is not that of a preset"
    if not any((folder / name).exists() for name in (CONFIG, TOKENIZER_CONFIG)):
        return f"it is no preset: it has no '{CONFIG}'"
    return None


@contextlib.contextmanager
def preset_folder(
    directory: Path,
    size: int = 0,
    keep: bool = False,
    assets: Iterable[str] = (),
) -> Iterator[pathlib.Path]:
    """Replaces a preset folder at once, or not at all.

    Args:
        directory: string or path. Must not exist, be empty, or hold a preset
            and nothing else.
        size: int. Bytes of the weights to come.
        keep: bool. Whether files of an earlier preset stay that are not
            written now, as keras-hub has it for parts of a preset.
        assets: strings. Names of the tokenizer's files.

    Yields:
        `pathlib.Path` of the folder to fill. In the block of an outer one,
        that of the outer one.

    Raises:
        FileExistsError: if something else is there.
        OSError: if the disk has no room.
    """
    outer = _WRITING.get(None)
    if outer is not None and pathlib.Path(directory) == outer:
        yield outer
        return
    refuses = functools.partial(refuse, assets=tuple(assets))
    with files.replace_folder(directory, refuses, size + _BYTES_BESIDE) as new:
        _reserve(new, size)
        token = _WRITING.set(new)
        try:
            yield new
        finally:
            _WRITING.reset(token)
        if keep:
            _keep(pathlib.Path(os.path.realpath(directory)), new)


def save_part(directory: Path, save: Any) -> None:
    """`save_to_preset` of a tokenizer or preprocessor of ours.

    Args:
        directory: string or path.
        save: callable, keras-hub's `save_to_preset` of the object.
    """
    with preset_folder(directory, keep=True) as folder:
        save(str(folder))


def save_model(
    model: keras.Model,
    directory: Path,
    save: Any,
    max_shard_size: float | None,
    keep: bool = False,
) -> None:
    """`save_to_preset` of a backbone or task.

    Args:
        model: a backbone, or a task with an attribute `backbone`.
        directory: string or path.
        save: callable, keras-hub's `save_to_preset` of the model.
        max_shard_size: as for keras-hub.
        keep: bool. Whether other files of an earlier preset stay.

    Raises:
        ValueError: if a weight is NaN or infinite.
    """
    backbone = getattr(model, "backbone", model)
    outer = _WRITING.get(None)
    if outer is not None and pathlib.Path(directory) == outer:
        save(str(directory), max_shard_size=max_shard_size)
        return
    check_finite(model.weights, f"The `{type(model).__name__}`", DIVERGED)
    policy = policy_config(backbone)
    with preset_folder(directory, weight_bytes(model), keep) as folder:
        with policies_kept(backbone):
            save(str(folder), max_shard_size=max_shard_size)
        write_policy(folder, dtype=policy)


def weight_bytes(model: keras.Model) -> int:
    """How large the weights of a model are in a file, rather too many.

    Args:
        model: Keras model.

    Returns:
        An int.
    """
    return int(
        sum(
            np.prod(v.shape) * max(np.dtype(_width(v.dtype)).itemsize, 1)
            + _BYTES_AN_ARRAY
            for v in model.weights
        )
    )


def _width(dtype):
    return "int16" if dtype == "bfloat16" else _known(dtype)


def _known(dtype):
    try:
        return np.dtype(dtype)
    except TypeError:  # int4, float8
        return "int16"


def _is_of_preset(path):
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        return isinstance(value["config"], dict) and isinstance(
            value["registered_name"], str
        )
    except (ValueError, KeyError, TypeError, OSError, RecursionError):
        # A damaged preset cannot be told from something else.
        return False


def _reserve(folder, size):
    """Fails on a quota or a limit of files, before HDF5 meets it.

    HDF5 ends the process when it cannot write. The free space does not show
    quotas of users, or limits of the size of a file.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    path = folder / "reserved"
    try:
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, size + _BYTES_BESIDE)
    finally:
        path.unlink(missing_ok=True)


def _keep(old, new):
    """Moves copies of the files of an earlier preset in, where none is."""
    if not old.is_dir():
        return
    weights = {WEIGHTS, SHARDED_WEIGHTS}
    renewed = any((new / name).exists() for name in weights)
    for path in sorted(old.rglob("*")):
        name = path.relative_to(old)
        if renewed and re.fullmatch(r"model.*\.weights\.\w+", path.name):
            continue
        if path.is_file() and not (new / name).exists():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, new / name)
