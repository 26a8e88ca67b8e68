"""Finding and opening files, also compressed ones."""

import gzip
import os
import pathlib
from collections.abc import Sequence
from typing import Any
from typing import TypeAlias

from keras_dinolm.typing import Path

Paths: TypeAlias = Path | Sequence[Path]


def find_files(paths: Paths, endings: tuple[str, ...]) -> list[pathlib.Path]:
    """Finds all files of the given paths, in a fixed order.

    Args:
        paths: path, or list of paths, of files or folders.
        endings: tuple of str. Which files of a folder count; `.gz` may
            follow.

    Returns:
        A list of `pathlib.Path`.

    Raises:
        FileNotFoundError: if a path is missing or a folder has no such file.
        ValueError: for a pipe or a device, which can be read only once.
    """
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    files = []
    for path in map(pathlib.Path, paths):
        if not path.exists():
            raise FileNotFoundError(
                f"No such file or folder: {path} (in {pathlib.Path.cwd()})"
            )
        if path.is_file():
            files.append(path)
            continue
        if not path.is_dir():
            raise ValueError(
                f"{path} is a pipe or a device. Texts are read more than once, "
                "so save them to a file, and give its path."
            )
        found = sorted(
            file
            for file in path.rglob("*")
            if file.is_file()
            and file.name.removesuffix(".gz").endswith(endings)
        )
        if not found:
            raise FileNotFoundError(
                f"The folder {path} has no file that ends in "
                f"{', '.join(endings)} (or the same with .gz). Name the files "
                "themselves if they are called otherwise."
            )
        files.extend(found)
    return files


def open_file(path: pathlib.Path) -> Any:
    """Opens a file for bytes; one that ends in `.gz` is decompressed."""
    opened = gzip.open if path.suffix == ".gz" else open
    return opened(path, "rb")


def is_binary(path: pathlib.Path) -> bool:
    """Whether a file begins like one that is not text."""
    with open_file(path) as file:
        return b"\0" in file.read(8_192)
