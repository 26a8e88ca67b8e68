"""The files of a preset folder, found and read without trust in them."""

import functools
import json
import os
import pathlib
from typing import Any

from keras_dinolm import arguments
from keras_dinolm.typing import Path

CONFIG = "config.json"
TASK_CONFIG = "task.json"
TOKENIZER_CONFIG = "tokenizer.json"
PREPROCESSOR_CONFIG = "preprocessor.json"
WEIGHTS = "model.weights.h5"
TASK_WEIGHTS = "task.weights.h5"
SHARDED_WEIGHTS = "model.weights.json"
TOKENIZER_ASSETS = "assets/tokenizer"

FIX = (
    "Copy it from where the preset came from, or write the preset again with "
    "`model.export_preset(directory, tokenizer)`."
)

# The largest configurations are maps of weights to files. Of a text that is
# made to be large, Python makes twenty times as much, and slowly.
_MOST_BYTES = 8 << 20
_MOST_OBJECTS = 100_000
_DEEPEST = 32


def local_folder(preset: Path) -> pathlib.Path | None:
    """The folder of a preset, or `None` for what keras-hub fetches.

    Args:
        preset: string or path.

    Returns:
        A `pathlib.Path`, or `None` for a name or an address.

    Raises:
        FileNotFoundError: if `preset` looks like a folder, and none is there.
    """
    folder = arguments.path("preset", preset)
    if folder.is_dir():
        return folder
    if "://" in str(preset) or not _looks_local(preset):
        return None
    raise FileNotFoundError(
        f"There is no preset folder '{folder}' (looked for "
        f"'{folder.absolute()}'). Check the path, or write a preset with "
        "`model.export_preset(directory, tokenizer)`."
    )


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
    name = read_object(folder, CONFIG).get("registered_name") or ""
    return not name.startswith("keras_dinolm>")


def has_file(folder: pathlib.Path, name: str) -> bool:
    """Whether a folder has something of that name, be it a broken link.

    Args:
        folder: `pathlib.Path` of the preset.
        name: string.

    Returns:
        Boolean.
    """
    return os.path.lexists(folder / name)


def find_file(folder: pathlib.Path, name: Any) -> pathlib.Path:
    """The path of a file that must be in the folder itself.

    Foreign presets may name files elsewhere, or link to them: loading and
    exporting such a preset would publish them.

    Args:
        folder: `pathlib.Path` of the preset.
        name: string, as a file of the preset gives it.

    Returns:
        A `pathlib.Path` of a regular file.

    Raises:
        FileNotFoundError: if the file is missing; names it and the fix.
        ValueError: if it is outside of the folder, or no regular file.
    """
    if (
        not isinstance(name, str)
        or not name
        or "\0" in name
        or "\\" in name
        or os.path.isabs(name)
        or ".." in pathlib.PurePosixPath(name).parts
    ):
        raise ValueError(
            f"A file of the preset folder '{folder}' is named "
            f"{arguments.shorten(name)}, which is no name inside of the "
            f"folder. It is not opened. {FIX}"
        )
    path = folder / name
    if not os.path.lexists(path):
        raise FileNotFoundError(
            f"The preset folder '{folder}' lacks the file '{name}'. {FIX}"
        )
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError):  # a circle of links
        real = None
    if real is None or not any(
        real.is_relative_to(root) for root in _roots(folder)
    ):
        raise ValueError(
            f"The file '{name}' of the preset folder '{folder}' is a link "
            "that leads out of the folder, or nowhere. It is not opened. Put "
            f"the file itself there. {FIX}"
        )
    if not real.is_file():
        raise ValueError(
            f"'{name}' of the preset folder '{folder}' is no regular file "
            f"(but a folder, pipe or device). {FIX}"
        )
    return path


def read_object(
    folder: pathlib.Path, name: str, fix: str = FIX
) -> dict[str, Any]:
    """Reads a JSON object from a preset.

    Args:
        folder: `pathlib.Path` of the preset.
        name: string.
        fix: string. A sentence that says what to do if it is damaged.

    Returns:
        A dict.

    Raises:
        FileNotFoundError: if the file is missing; names it and the fix.
        ValueError: if it is no JSON object; names it and the fix.
    """
    path = find_file(folder, name)
    size = path.stat().st_size
    if size > _MOST_BYTES:
        raise ValueError(
            f"The file '{name}' of the preset folder '{folder}' has "
            f"{size / 2**20:,.0f} MiB, and such a file has at most "
            f"{_MOST_BYTES >> 20}. It is not read. {fix}"
        )
    try:
        text = path.read_text(encoding="utf-8")
        if text.count("[") + text.count("{") > _MOST_OBJECTS:
            raise ValueError(f"it has more than {_MOST_OBJECTS} lists")
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
        )
        _check_depth(value)
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if _is_deep(error) else str(error)
        raise ValueError(
            f"The file '{name}' of the preset folder '{folder}' is not valid "
            f"JSON ({arguments.shorten(why, 200)}). {fix}"
        ) from None
    if not isinstance(value, dict):
        raise ValueError(
            f"The file '{name}' of the preset folder '{folder}' must hold a "
            f"JSON object. Received: {arguments.shorten(value)}. {fix}"
        )
    return value


def _looks_local(preset):
    text = os.fspath(preset)
    return os.sep in text or text.startswith((".", "~"))


def _roots(folder):
    """Where the files of a preset may be."""
    real = folder.resolve()
    yield real
    # The cache of Hugging Face: `snapshots/<hash>` holds links to `blobs`.
    for path in {real, pathlib.Path(os.path.abspath(folder))}:
        if path.parent.name == "snapshots":
            yield (path.parent.parent / "blobs").resolve()


def _unique(pairs):
    value = {}
    for name, item in pairs:
        if name in value:
            # Readers differ in which of the two they take.
            raise ValueError(f"the key {name!r} occurs twice")
        value[name] = item
    return value


def _no_constant(name):
    raise ValueError(f"{name} is no number of JSON")


class _TooDeepError(ValueError):
    pass


def _is_deep(error):
    return isinstance(error, (RecursionError, _TooDeepError))


def _check_depth(value):
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            item
            for value in level
            if isinstance(value, dict | list)
            for item in (value.values() if isinstance(value, dict) else value)
            if isinstance(item, dict | list)
        ]
        if not level:
            return
    raise _TooDeepError


def named_errors(function: Any) -> Any:
    """Decorates a `from_preset`: errors of broken files name the preset.

    What Keras and keras-hub raise on foreign files does not. Errors about
    arguments that the caller gave stay as they are.

    Args:
        function: callable. Takes a class and `preset` first.

    Returns:
        A callable like `function`.
    """

    @functools.wraps(function)
    def wrapped(cls, preset, *args, **kwargs):
        try:
            return function(cls, preset, *args, **kwargs)
        except (FileNotFoundError, ImportError):
            raise
        except Exception as error:
            of_caller = isinstance(error, (TypeError, ValueError)) and any(
                f"`{name}`" in str(error) or f"{name}=" in str(error)
                for name in kwargs
            )
            if str(preset) in str(error) or of_caller:
                raise
            raise ValueError(
                f"The preset '{preset}' cannot be loaded as a "
                f"`{cls.__name__}`: a file of it is damaged, or its "
                f"'{CONFIG}', '{TASK_CONFIG}' or '{TOKENIZER_CONFIG}' holds a "
                "value that the class does not take "
                f"({type(error).__name__}: {error}). {FIX}"
            ) from error

    return wrapped
