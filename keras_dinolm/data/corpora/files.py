"""Finding files, by rules that are stated and with nothing left unsaid."""

import errno
import glob
import os
import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple
from typing import TypeAlias

from keras_dinolm import arguments
from keras_dinolm.data.corpora import compression
from keras_dinolm.files.folders import kind_of
from keras_dinolm.typing import Path

# What these folders hold is made of texts: its texts would be read twice, and
# a run that is resumed would find others than those it began with.
_RUNS = ("run of pretrain", "run of keras_dinolm.runs", "ablation")

Paths: TypeAlias = Path | Sequence[Path]


class LeftOut(NamedTuple):
    """Something in a folder that is not read.

    Attributes:
        reason: string, a plural.
        path: path.
        quiet: bool. Whether it is worth no warning of its own.
    """

    reason: str
    path: pathlib.Path
    quiet: bool = False


class Found(NamedTuple):
    """What is at some paths.

    Attributes:
        files: list of paths, in the order in which they are read.
        named: set of those that were named themselves, and not found in a
            folder.
        left_out: list of `LeftOut`.
    """

    files: list[pathlib.Path]
    named: set[pathlib.Path]
    left_out: list[LeftOut]


def find_files(paths: Paths, endings: tuple[str, ...]) -> Found:
    """Finds all files of the given paths, in a fixed order.

    - A file that is named is read, whatever its ending.
    - Of a folder are read, at any depth and in the order of their names, the
      files that end in one of `endings`, in small or capital letters, perhaps
      followed by that of a compression.
    - Files and folders whose name begins with a dot are left out.
    - Folders of runs in a folder of texts, as `pretrain` writes them, are left
      out.
    - Links are followed. A file or folder that is reached twice is read once.
    - A name with `*`, `?` or `[...]` that is no file stands for all that it
      matches, `**` for folders at any depth. `~` is the home folder.

    Args:
        paths: path, or list of paths, of files or folders.
        endings: tuple of str, in small letters. Which files of a folder count.

    Returns:
        `Found`.

    Raises:
        FileNotFoundError: if a path is missing or matches nothing, or a
            folder has no such file.
        ValueError: if `paths` is no path and no list of them.

    Example:

    ```python
    import pathlib
    from keras_dinolm.data.corpora.files import find_files

    pathlib.Path("notes").mkdir()
    for name in ("A.TXT", "b.txt.gz", "c.pdf"):
        pathlib.Path("notes", name).write_text("a text")
    found = find_files("notes", (".txt",))
    assert [path.name for path in found.files] == ["A.TXT", "b.txt.gz"]
    assert found.left_out[0].reason == "files of other endings (.pdf)"
    ```
    """
    search = _Search(endings)
    for path in _as_paths(paths):
        search.add(path)
    return Found(search.files, search.named, search.left_out)


def ending_of(path: pathlib.Path) -> str:
    """The ending of a name in small letters, without that of a compression.

    Args:
        path: path.

    Returns:
        String, as in `".txt"`, or `""`.

    Example:

    ```python
    import pathlib
    from keras_dinolm.data.corpora.files import ending_of

    assert ending_of(pathlib.Path("A.TXT.gz")) == ".txt"
    ```
    """
    name = path.name.lower()
    for ending in compression.ENDINGS:
        name = name.removesuffix(ending)
    return pathlib.PurePath(name).suffix


def _as_paths(paths):
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    if isinstance(paths, set | frozenset):
        paths = sorted(paths, key=str)
    if isinstance(paths, bytes | dict) or not hasattr(paths, "__iter__"):
        arguments.refuse("paths", paths, "a path or a list of paths")
    paths = list(paths)
    if not paths:
        arguments.refuse("paths", paths, "a list with a path in it")
    return paths


class _Search:
    def __init__(self, endings):
        self.endings = endings
        self.files = []
        self.named = set()
        self.left_out = []
        self._seen = set()  # what was reached, by the place it really has

    def add(self, given):
        path = arguments.path("paths", given)
        if re.match(r"[a-z][a-z0-9+]+:/", str(given)):
            raise FileNotFoundError(
                f"{given} is no path of this machine. Download it first, and "
                "give the path of the copy."
            )
        if not _exists(path):
            found = sorted(glob.glob(str(path), recursive=True))
            if not found:
                pattern = glob.has_magic(str(path))
                what = (
                    "Nothing matches" if pattern else "No such file or folder"
                )
                raise FileNotFoundError(
                    f"{what}: {path} (in {pathlib.Path.cwd()})"
                )
            # A pattern with ** finds folders and what is in them.
            for match in map(pathlib.Path, found):
                if not match.is_dir():
                    self._take(match, named=True)
                elif "**" not in str(path):
                    self._folder(match)
        elif path.is_dir():
            self._folder(path)
        else:
            self._take(path, named=True)

    def _folder(self, folder):
        left_out = len(self.left_out)
        if self._walk(folder):
            return
        reasons = sorted({item.reason for item in self.left_out[left_out:]})
        raise FileNotFoundError(
            f"The folder {folder} has no file that ends in "
            f"{', '.join(self.endings)} (or the same with "
            f"{', '.join(compression.ENDINGS)}). "
            + (f"It has {', '.join(reasons)}. " if reasons else "")
            + "Name the files themselves, or a pattern such as "
            f"'{folder}/*', if they are called otherwise."
        )

    def _walk(self, folder):
        """Takes what is in a folder; whether it has any file that counts."""
        if not self._is_new(folder):
            self._leave("folders that are reached twice (read once)", folder)
            return True
        try:
            with os.scandir(folder) as entries:
                entries = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            reason = f"folders that cannot be read ({error.strerror})"
            self._leave(reason, folder)
            return False
        any_counts = False
        for entry in entries:
            path = folder / entry.name
            if entry.name.startswith("."):
                wanted = self._ends(path) and _is_file(path)
                self._leave("hidden files and folders", path, not wanted)
            elif not _leads_somewhere(path):
                self._leave("links that lead nowhere", path)
            elif entry.is_dir():
                if kind_of(path) in _RUNS:
                    self._leave("folders of runs", path, quiet=True)
                else:
                    any_counts |= self._walk(path)
            elif entry.is_file():
                if self._ends(path):
                    self._take(path)
                    any_counts = True
                else:
                    ending = pathlib.PurePath(entry.name.lower()).suffix
                    reason = f"files of other endings ({ending or 'none'})"
                    self._leave(reason, path)
            else:
                self._leave("pipes, sockets and devices in a folder", path)
        return any_counts

    def _ends(self, path):
        return ending_of(path) in self.endings

    def _take(self, path, named=False):
        if not self._is_new(path):
            self._leave("files that are reached twice (read once)", path)
            return
        self.files.append(path)
        if named:
            self.named.add(path)

    def _is_new(self, path):
        # Every pipe of a process has a name of its own there.
        place = os.path.realpath(path)
        new = place not in self._seen
        self._seen.add(place)
        return new

    def _leave(self, reason, path, quiet=False):
        self.left_out.append(LeftOut(reason, path, quiet))


def _leads_somewhere(path):
    """Whether a path is no link, or a link to something."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    except OSError as error:  # a link to itself
        return error.errno != errno.ELOOP
    return True


def _is_file(path):
    try:
        return path.is_file()
    except OSError:  # a link to itself
        return False


def _exists(path):
    try:
        return path.exists()
    except (OSError, ValueError):  # a text, too long for a name
        return False
