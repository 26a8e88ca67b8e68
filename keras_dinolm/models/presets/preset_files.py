"""Checks that a preset folder is whole, and replaces one at once."""

import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

import h5py
import keras

from keras_dinolm.typing import Path

CONFIG = "config.json"
TOKENIZER_CONFIG = "tokenizer.json"
WEIGHTS = "model.weights.h5"
SHARDED_WEIGHTS = "model.weights.json"
TOKENIZER_ASSETS = "assets/tokenizer"

_FIX = (
    "Copy it from where the preset came from, or write the preset again with "
    "`model.export_preset(directory, tokenizer)`."
)


def check_preset(preset: Path) -> None:
    """Checks that a local preset folder is whole.

    keras-hub reads a preset file by file, and its message about a missing
    file does not always name the cause. This function looks at all files
    first. Presets that are not local folders (`"hf://..."`) pass, because
    they are fetched as needed. Folders in the layout of Hugging Face pass as
    well, because keras-hub converts them.

    Args:
        preset: string or path.

    Raises:
        FileNotFoundError: if a file is missing; names it and the fix.
        ValueError: if a file cannot be read.

    Example:

    ```python
    import keras_dinolm as kd

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = kd.models.DinoLMTokenizer([*special, "good", "bad"])
    backbone = kd.models.DinoLMBackbone.from_size(
        "nano", tokenizer.vocabulary_size()
    )
    encoder = kd.models.TextEncoder(backbone)
    kd.models.export_preset(encoder, tokenizer, "my_preset")

    kd.models.check_preset("my_preset")
    ```
    """
    folder = pathlib.Path(preset)
    if not folder.is_dir():
        if "://" in str(preset) or not _looks_local(preset):
            return
        raise FileNotFoundError(
            f"There is no preset folder '{folder}' (looked for "
            f"'{folder.absolute()}'). Check the path, or write a preset with "
            "`model.export_preset(directory, tokenizer)`."
        )
    if "class_name" not in _read_json(folder, CONFIG):
        return
    weights = {WEIGHTS}
    if not (folder / WEIGHTS).exists() and (folder / SHARDED_WEIGHTS).exists():
        shards = _read_json(folder, SHARDED_WEIGHTS)["weight_map"].values()
        weights = {
            name
            for names in shards
            for name in ([names] if isinstance(names, str) else names)
        }
    for name in sorted(weights):
        _check_weights(folder, name)
    tokenizer = _read_json(folder, TOKENIZER_CONFIG)
    with contextlib.suppress(TypeError):  # of a package not imported yet
        tokenizer = keras.saving.deserialize_keras_object(tokenizer)
        for name in tokenizer.file_assets or ():
            _require(folder, f"{TOKENIZER_ASSETS}/{name}")


def is_of_keras_hub(preset: str) -> bool:
    """Whether a preset has a backbone of keras-hub's own, not one of ours.

    Args:
        preset: string. A local folder, also in the layout of Hugging Face; a
            name that keras-hub knows; or an address (`"hf://..."`), which is
            taken for one of ours.

    Returns:
        Boolean.
    """
    folder = pathlib.Path(preset)
    if not folder.is_dir():
        return "://" not in preset
    name = _read_json(folder, CONFIG).get("registered_name") or ""
    return not name.startswith("keras_dinolm>")


def _looks_local(preset):
    text = os.fspath(preset)
    return os.sep in text or text.startswith((".", "~"))


def _require(folder, name):
    path = folder / name
    if not path.is_file():
        raise FileNotFoundError(
            f"The preset folder '{folder}' lacks the file '{name}'. {_FIX}"
        )
    return path


def _read_json(folder, name):
    path = _require(folder, name)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"The file '{name}' of the preset folder '{folder}' is not valid "
            f"JSON ({error}). {_FIX}"
        ) from error


def _check_weights(folder, name):
    path = _require(folder, name)
    try:
        with h5py.File(path, "r"):
            pass
    except OSError as error:
        raise ValueError(
            f"The weights '{name}' of the preset folder '{folder}' cannot be "
            f"read: the file is cut short or not HDF5 ({error}). {_FIX}"
        ) from error


@contextlib.contextmanager
def replace_folder(directory: Path) -> Iterator[pathlib.Path]:
    """Writes a preset folder all at once, or not at all.

    Yields a temporary folder next to `directory`, which takes its place when
    the block ends without an error. Whoever reads `directory` meanwhile, or
    after a crash, finds the old preset or the new one, never half of one.

    Args:
        directory: string or path. Must not exist, be empty, or hold a preset.

    Yields:
        `pathlib.Path` of the folder to fill.

    Raises:
        FileExistsError: if something else is there.
    """
    target = pathlib.Path(directory).absolute()
    _check_replaceable(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    new = pathlib.Path(
        tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent)
    )
    try:
        new.chmod(0o777 & ~_umask())
        yield new
        if target.exists():
            _exchange(new, target)  # `new` is the old one now
        else:
            new.rename(target)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _check_replaceable(target):
    if not target.exists():
        return
    if target.is_dir():
        names = {path.name for path in target.iterdir()}
        if not names or {CONFIG, TOKENIZER_CONFIG} & names:
            return
    raise FileExistsError(
        f"'{target}' exists and is not a preset; it is left alone. Choose "
        "another `directory`, or remove it."
    )


def _umask():
    value = os.umask(0)
    os.umask(value)
    return value


def _exchange(first, second):
    """Swaps two folders, in one step where the system can."""
    libc = ctypes.CDLL(None, use_errno=True)
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE of Linux
    if hasattr(libc, "renameat2"):
        paths = os.fsencode(first), os.fsencode(second)
        if libc.renameat2(here, paths[0], here, paths[1], exchange) == 0:
            return
    aside = second.with_name(first.name + "-old")
    second.rename(aside)
    try:
        first.rename(second)
    except OSError:
        aside.rename(second)
        raise
    aside.rename(first)
