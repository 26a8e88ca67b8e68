"""Checks of files and names that come from somewhere else."""

import hashlib
import os
import pathlib

from keras_dinolm import arguments
from keras_dinolm.typing import Path


def checksum(path: Path) -> str:
    """The BLAKE2 checksum of a file, which shows any change to it.

    Args:
        path: string or path.

    Returns:
        String of 32 hexadecimal digits.

    Example:

    ```python
    import keras_dinolm as kd

    kd.files.write_text("notes.txt", "1")
    before = kd.files.checksum("notes.txt")
    kd.files.write_text("notes.txt", "2")
    assert kd.files.checksum("notes.txt") != before
    ```
    """
    # `open` takes a number for a file that is open already, and closes it.
    path = arguments.path("path", path)
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def inside(folder: Path, name: str) -> pathlib.Path:
    """The path of a file that another file names, inside of one folder.

    A name from a file that someone else made may lead anywhere. This one must
    not leave the folder: neither by `..`, nor as an absolute path, nor through
    a symbolic link.

    Args:
        folder: string or path.
        name: the name, as the other file has it.

    Returns:
        `pathlib.Path`.

    Raises:
        ValueError: if it leads out of the folder.

    Example:

    ```python
    import keras_dinolm as kd

    assert kd.files.inside("preset", "assets/vocabulary.txt").parts[-1] == (
        "vocabulary.txt"
    )
    ```
    """
    folder = arguments.path("folder", folder)
    folder = pathlib.Path(folder)
    given = isinstance(name, str) and name and "\0" not in name
    if given:
        root = os.path.realpath(folder)
        path = os.path.realpath(folder / name)
        if os.path.commonpath([root, path]) == root and path != root:
            return folder / name
    raise ValueError(
        f"The folder '{folder}' names a file outside of it, {name!r}. It is "
        "damaged or hostile. Get it again from where it came from."
    )
