"""The folder of one `pretrain` run: what was asked for, and how far it is."""

import json
import os
import pathlib
from typing import Any

import filelock

from keras_dinolm.data.paths import write_atomically

FORMAT = 1
_LOCK = ".lock"


class RunFolder:
    """A folder that belongs to one run, and says which.

    `run.json` holds what was asked for (recipe, options, size, seed, digest
    of the data, ...), the plan, and whether the run is finished. Use it as a
    context manager: one process at a time has the folder.

    Args:
        directory: path of the folder.
        asked: dict of JSON values. A run is resumed only by the same ones.

    Raises:
        ValueError: on entering, if the folder holds another run, or files
            that are no run's.
        RuntimeError: on entering, if another process uses the folder.
    """

    def __init__(self, directory: str | os.PathLike, asked: dict[str, Any]):
        self.directory = pathlib.Path(directory)
        # As JSON will give it back: lists for tuples.
        self.asked = json.loads(json.dumps(asked))
        self.state: dict[str, Any] = {}
        self._lock = filelock.FileLock(self.directory / _LOCK)

    def __enter__(self) -> "RunFolder":
        check_is_ours(self.directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(blocking=False)
        except filelock.Timeout:
            raise RuntimeError(
                f"{self.directory} is in use by another process that trains "
                "there. Wait for it, or use another folder."
            ) from None
        try:
            self._begin()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *exception: Any) -> None:
        self._lock.release()

    def _begin(self) -> None:
        if self.path.exists():
            stored = read_run(self.directory)
            if (self.directory / "tokens").exists():
                _check_is_same(self.directory, stored["asked"], self.asked)
                self.state = stored["state"]
                return
            # Nothing was made yet: a mistake may be mended in place.
            (self.directory / "tokenizer.json").unlink(missing_ok=True)
        self.save()

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
        with write_atomically(self.path) as file:
            file.write(json.dumps(content, indent=1).encode())


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
    path = pathlib.Path(directory) / "run.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no run in '{directory}' (no run.json). Train one with "
            "`python -m keras_dinolm pretrain FOLDER_OF_TEXTS "
            f"{directory} --minutes 10`."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = content["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} cannot be read ({type(error).__name__}: {error}). Use "
            "another folder for a new run."
        ) from None
    if found != FORMAT:
        raise ValueError(
            f"{path} has format {found}; this version of keras_dinolm reads "
            f"format {FORMAT}. Use another folder for a new run."
        )
    return content


def check_is_ours(directory: str | os.PathLike) -> None:
    """Raises if a folder holds other things than a run.

    Args:
        directory: path of the folder, which need not exist.

    Raises:
        ValueError: if it is a file, or holds files but no run.
    """
    directory = pathlib.Path(directory)
    if not directory.exists():
        return
    if not directory.is_dir():
        raise ValueError(
            f"Argument `directory` must be a folder. '{directory}' is a file."
        )
    if (directory / "run.json").exists():
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
    names = dict.fromkeys([*then, *now])
    changed = [
        f"{name}: not the same as then"
        if name in ("texts", "held_out")  # digests
        else f"{name}: {then.get(name)!r} then, {now.get(name)!r} now"
        for name in names
        if then.get(name) != now.get(name)
    ]
    if changed:
        backend = (
            f" (the environment variable KERAS_BACKEND={then['backend']})"
            if then.get("backend") != now.get("backend")
            else ""
        )
        raise ValueError(
            f"'{directory}' holds a run that was started differently. "
            + "; ".join(changed)
            + f". Pass the same values{backend} to resume it, or use another "
            "folder to start a new run."
        )
