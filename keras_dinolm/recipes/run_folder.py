"""The folder of one `pretrain` run: what was asked for, and how far it is."""

import contextlib
import json
import os
import pathlib
from typing import Any

from keras_dinolm import arguments
from keras_dinolm import files
from keras_dinolm.files.folders import MARKER
from keras_dinolm.runs import fingerprint

FORMAT = 1
# What the marker of the folder says.
KIND = "run of pretrain"
# The same as run.json, should that be damaged.
BACKUP = "run.backup.json"
_FIELDS = {"format": int, "asked": dict, "state": dict}


class RunFolder:
    """A folder that belongs to one run, and says which.

    `run.json` holds what was asked for (recipe, options, size, seed, digest
    of the data, ...), the plan, and whether the run is finished. Use it as a
    context manager: one process at a time has the folder.

    Args:
        directory: path of the folder.
        asked: dict of JSON values. A run is resumed only by the same ones.

    Raises:
        ValueError: on entering, if the folder holds another run, files that
            are no run's, or a run whose description is lost.
        RuntimeError: on entering, if another process uses the folder (a
            `keras_dinolm.files.InUseError`).
    """

    def __init__(self, directory: str | os.PathLike, asked: dict[str, Any]):
        self.directory = arguments.path("directory", directory)
        # As JSON will give it back: lists for tuples.
        self.asked = json.loads(json.dumps(asked))
        self.state: dict[str, Any] = {}
        self._lock = contextlib.ExitStack()

    def __enter__(self) -> "RunFolder":
        check_is_ours(self.directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            stack.enter_context(
                files.lock(self.directory / ".lock", 0, "folder of the run")
            )
            files.claim_folder(self.directory, KIND, ())
            self._begin()
            self._lock = stack.pop_all()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._lock.close()

    def _begin(self) -> None:
        stored = self._stored()
        if stored is not None:
            if (self.directory / "tokens").exists():
                _check_is_same(self.directory, stored["asked"], self.asked)
                self.state = stored["state"]
            else:
                # Nothing was made yet: a mistake may be mended in place.
                (self.directory / "tokenizer.json").unlink(missing_ok=True)
        self.save()

    def _stored(self):
        """What was asked for before; `None` for a new folder."""
        both = (self.path, self.directory / BACKUP)
        if not any(path.exists() for path in both):
            return None
        for path in both:
            found = files.read_json_or_set_aside(path)
            if _is_run(found):
                return found
            if found is not None and type(found) is dict:
                _check_format(path, found)
            if found is not None:
                files.set_aside(path, "it is not of a run")
        raise ValueError(
            f"'{self.directory}' holds a run of which nothing says what was "
            f"asked for: both {self.path.name} and {BACKUP} are damaged. They "
            "were renamed, and nothing was removed. Use another folder for a "
            "new run."
        )

    @property
    def path(self) -> pathlib.Path:
        """The path of `run.json`."""
        return self.directory / "run.json"

    def save(self, **state: Any) -> None:
        """Remembers something of the run, such as its plan.

        Args:
            **state: JSON values.
        """
        self.state.update(state)
        content = {"format": FORMAT, "asked": self.asked, "state": self.state}
        files.write_json(self.path, content)
        files.write_json(self.directory / BACKUP, content)


def read_run(directory: str | os.PathLike) -> dict[str, Any]:
    """What `run.json` of a folder says.

    Args:
        directory: path of a run's folder.

    Returns:
        A dict with `asked` and `state`.

    Raises:
        FileNotFoundError: if there is no run.
        ValueError: if the file cannot be read, or has another format.
    """
    path = arguments.path("directory", directory) / "run.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no run in '{directory}' (no run.json). Train one with "
            "`python -m keras_dinolm pretrain FOLDER_OF_TEXTS "
            f"{directory} --minutes 10`."
        )
    content = files.read_json(
        path, "run", "Repeat the command of the run, which mends it."
    )
    if not _is_run(content):
        if isinstance(content, dict):
            _check_format(path, content)
        raise ValueError(
            f"{path} is not of a run: it needs the fields "
            f"{', '.join(_FIELDS)}. Nothing there is touched. Use another "
            "folder for a new run."
        )
    return content


def _is_run(content):
    return (
        isinstance(content, dict)
        and all(isinstance(content.get(k), t) for k, t in _FIELDS.items())
        and content["format"] == FORMAT
    )


def _check_format(path, content):
    found = content.get("format")
    if type(found) is int and found != FORMAT:
        raise ValueError(
            f"{path} has format {found}; this version of keras_dinolm reads "
            f"format {FORMAT}. Use another folder for a new run."
        )


def check_is_ours(directory: str | os.PathLike) -> None:
    """Raises if a folder holds other things than a run.

    Args:
        directory: path of the folder, which need not exist.

    Raises:
        ValueError: if it is a file, or holds files but no run.
    """
    directory = arguments.path("directory", directory)
    if not directory.exists():
        return
    if not directory.is_dir():
        raise ValueError(
            f"Argument `directory` must be a folder. '{directory}' is a file."
        )
    if (directory / MARKER).is_file():
        return
    if (directory / "run.json").exists():
        read_run(directory)  # other programs may write files of that name
        return
    others = sorted(
        p.name for p in directory.iterdir() if not p.name.startswith(".")
    )
    if others:
        shown = ", ".join(others[:5]) + (", ..." if len(others) > 5 else "")
        raise ValueError(
            f"'{directory}' holds files ({shown}), but no run of `pretrain`. "
            "Nothing there is touched: give a new or an empty folder."
        )


def _check_is_same(directory, then, now):
    backend = (
        f" (the environment variable KERAS_BACKEND={then['backend']})"
        if then.get("backend") != now.get("backend")
        else ""
    )
    fingerprint.check_is_same(
        f"'{directory}' holds a run",
        then,
        now,
        f"Pass the same values{backend} to resume it, or use another folder to "
        "start a new run.",
    )
