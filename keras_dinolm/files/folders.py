"""Folders that are replaced at once, and folders that we write into."""

import contextlib
import ctypes
import errno
import os
import pathlib
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator

from keras_dinolm import arguments
from keras_dinolm.files.read import read_json
from keras_dinolm.files.space import full_disk_named
from keras_dinolm.files.space import require_space
from keras_dinolm.files.temporary import remove
from keras_dinolm.files.temporary import remove_litter
from keras_dinolm.files.temporary import sweep
from keras_dinolm.files.temporary import temporary
from keras_dinolm.files.write import folder_to_disk
from keras_dinolm.files.write import write_json
from keras_dinolm.typing import Path

MARKER = ".keras_dinolm.json"


@contextlib.contextmanager
def replace_folder(
    directory: Path,
    refuse: Callable[[pathlib.Path], str | None],
    size: int | None = None,
) -> Iterator[pathlib.Path]:
    """Writes a folder all at once, or not at all.

    Yields a temporary folder next to `directory`, which takes its place when
    the block ends without an error. Whoever reads `directory` meanwhile, or
    after a crash, finds the old folder or the new one, never half of one. A
    symbolic link stays one: what it points to is replaced.

    Args:
        directory: string or path. Must not exist, be empty, or be a folder
            that `refuse` lets pass.
        refuse: callable. Takes the `pathlib.Path` of a folder that is not
            empty, and returns why it must not be replaced, or `None`.
        size: optional int. The bytes to come, compared with the free space.

    Yields:
        `pathlib.Path` of the folder to fill.

    Raises:
        FileExistsError: if something else is there.
        OSError: if the disk is full. The old folder stays.

    Example:

    ```python
    import keras_dinolm as kd

    with kd.files.replace_folder("numbers", lambda folder: "it is mine") as new:
        kd.files.write_text(new / "one.txt", "1")
    ```
    """
    target = pathlib.Path(
        os.path.realpath(arguments.path("directory", directory))
    )
    check_replaceable(target, refuse)
    target.parent.mkdir(parents=True, exist_ok=True)
    if size is not None:
        require_space(target.parent, size, f"'{target}'")
    with full_disk_named(target), temporary(target, folder=True) as new:
        yield new
        for folder, _, names in os.walk(new):
            for name in names:
                _file_to_disk(os.path.join(folder, name))
            folder_to_disk(folder)
        # Someone may have put a file there while this one was written.
        check_replaceable(target, refuse)
        if target.exists():
            _exchange(new, target)
            # The old folder has this name now.
            remove_litter(new, trust=True)
        else:
            new.rename(target)
        folder_to_disk(target.parent)


def claim_folder(directory: Path, kind: str, names: Iterable[str]) -> bool:
    """Makes a folder ours to write in, and overwrites nothing of the user's.

    A folder is ours if it holds our marker of the same kind. Any other folder
    becomes ours if no file in it has a name that we would write. What killed
    runs left in it is removed.

    Args:
        directory: string or path. Made if it does not exist.
        kind: string. What the folder is for, as in `"ablation"`.
        names: patterns, as of `pathlib.Path.glob`, of the files that will be
            written.

    Returns:
        Boolean. Whether the folder was ours before.

    Raises:
        FileExistsError: if it holds such files and no marker of this kind.

    Example:

    ```python
    import keras_dinolm as kd

    assert not kd.files.claim_folder("run", "my script", ["report.md"])
    assert kd.files.claim_folder("run", "my script", ["report.md"])
    ```
    """
    folder = arguments.path("directory", directory)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(
            errno.ENOTDIR,
            f"A folder for the {kind} was to be here, and a file is. Choose "
            "another `directory`",
            str(folder),
        )
    marker = folder / MARKER
    if marker.is_file():
        found = read_json(
            marker, "folder marker", "If the folder is yours, remove the file."
        )
        found = found.get("kind") if isinstance(found, dict) else None
        if found == kind:
            sweep(folder)
            return True
        raise FileExistsError(
            errno.EEXIST,
            f"The folder holds a {arguments.shorten(found)}, not a {kind!r}. "
            "Choose another `directory`",
            str(folder),
        )
    present = sorted(
        {path.name for name in names for path in folder.glob(name)}
    )
    if present:
        listed = ", ".join(present[:5]) + (", ..." if len(present) > 5 else "")
        raise FileExistsError(
            errno.EEXIST,
            f"The folder holds files that the {kind} would overwrite and did "
            f"not write: {listed}. Choose another `directory`, or move them",
            str(folder),
        )
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    write_json(marker, {"kind": kind})
    return False


def remove_folder(path: Path) -> None:
    """Removes a folder of ours at once, if it is there.

    It loses its name first, so that nobody, also after a kill, finds half of
    it under that name. What a killed process left of it is removed as well.

    Args:
        path: string or path.

    Example:

    ```python
    import keras_dinolm as kd

    kd.files.claim_folder("scratch", "my script", [])
    kd.files.remove_folder("scratch")
    ```
    """
    path = arguments.path("path", path)
    sweep(path.parent)
    if path.is_dir():
        with temporary(path, folder=True) as doomed:
            path.rename(doomed / path.name)
            remove(doomed)


def kind_of(folder: Path) -> str | None:
    """What `claim_folder` made a folder for.

    Args:
        folder: string or path.

    Returns:
        The kind, or `None` for a folder that nobody claimed.
    """
    marker = arguments.path("folder", folder) / MARKER
    try:
        found = read_json(marker, "folder marker", "")
    except (OSError, ValueError):
        return None
    kind = found.get("kind") if isinstance(found, dict) else None
    return kind if isinstance(kind, str) else None


def check_replaceable(
    target: pathlib.Path, refuse: Callable[[pathlib.Path], str | None]
) -> None:
    """Raises if `replace_folder` would refuse a folder.

    Args:
        target: `pathlib.Path`, of which links are followed.
        refuse: as for `replace_folder`.

    Raises:
        FileExistsError: if something is there that must stay.
    """
    if not target.exists():
        return
    if not target.is_dir():
        reason = "it is a file"
    elif _is_working_directory(target):
        # This process, and the shell that started it, would be left in a
        # folder that is gone.
        reason = "it is, or holds, the working directory"
    elif os.path.ismount(target):
        reason = "something is mounted on it; a folder in it will do"
    elif not any(target.iterdir()):
        return
    else:
        reason = refuse(target)
    if reason:
        raise FileExistsError(
            errno.EEXIST,
            f"Something is here that must not be replaced ({reason}); it is "
            "left alone. Choose another `directory`, or move it away",
            str(target),
        )


def _is_working_directory(folder):
    try:
        here = pathlib.Path(os.path.realpath(os.getcwd()))
    except FileNotFoundError:  # it was removed
        return False
    return here.is_relative_to(folder)


def _file_to_disk(path):
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _exchange(first, second):
    """Swaps two folders, in one step where the system can."""
    libc = ctypes.CDLL(None, use_errno=True)
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE of Linux
    if hasattr(libc, "renameat2"):
        paths = os.fsencode(first), os.fsencode(second)
        if libc.renameat2(here, paths[0], here, paths[1], exchange) == 0:
            return
    aside = second.with_name(f"{first.name}-old")
    second.rename(aside)
    try:
        first.rename(second)
    except OSError:
        aside.rename(second)
        raise
    aside.rename(first)
