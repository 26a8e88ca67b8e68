"""A folder of checkpoints that one run writes, and from which it resumes."""

import errno
import json
import os
import pathlib
import re
import shutil
import socket

import filelock

from keras_dinolm.runs import state_file
from keras_dinolm.runs.state_file import CheckpointError

_WRITING = ".writing-"
_DELETING = ".deleting-"
_LOCK = ".lock"
_OWNER = ".run.json"
_NAME = re.compile(r"step-(\d{10,})")


class CheckpointFolder:
    """Checkpoints `step-0000000120/`, the lock of the run, nothing broken.

    A checkpoint is written beside its place and moved there when all of it is
    on disk; one to be deleted is moved away first. So at any moment, also
    after `kill -9`, whatever bears the name of a checkpoint is whole.

    Args:
        directory: string or path; made if it does not exist.
        keep: int. How many of the newest checkpoints to keep.
        mode: `"min"` or `"max"`: which `value` of `save` is the best; the
            best one is kept as well.

    Raises:
        ValueError: for `keep` below 1 or an unknown mode.
    """

    def __init__(self, directory, keep=3, mode="min"):
        if not isinstance(keep, int) or keep < 1:
            raise ValueError(
                "Argument `keep` must be an integer of at least 1: the number "
                f"of checkpoints to keep. Received: keep={keep}"
            )
        if mode not in ("min", "max"):
            raise ValueError(
                "Argument `mode` must be 'min' or 'max'. "
                f"Received: mode={mode!r}"
            )
        self.directory = pathlib.Path(directory)
        self.keep = keep
        self.mode = mode
        # Steps that are kept besides: those a monitor may return to.
        self.spared = set()
        self._lock = None
        # The values by which checkpoints of this folder are ranked, by step.
        self._values = {}

    # === One run at a time ===

    def lock(self):
        """Takes the folder for this run; call `unlock` as often.

        The system frees the lock of a process that dies, however it dies.

        Raises:
            CheckpointError: if another run has it.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        if self._lock is None:
            self._lock = filelock.FileLock(self.directory / _LOCK)
        held = self.locked
        try:
            self._lock.acquire(blocking=False)
        except filelock.Timeout:
            raise CheckpointError(self._in_use()) from None
        if held:
            return
        owner = {"pid": os.getpid(), "host": socket.gethostname()}
        (self.directory / _OWNER).write_text(json.dumps(owner))
        for path in self.directory.iterdir():
            # What a killed run left unfinished.
            if path.name.startswith((_WRITING, _DELETING)):
                shutil.rmtree(path, ignore_errors=True)

    @property
    def locked(self):
        """Whether this object holds the folder."""
        return self._lock is not None and self._lock.is_locked

    def unlock(self):
        """Gives the folder back."""
        if self._lock is not None:
            self._lock.release()

    def _in_use(self):
        try:
            owner = json.loads((self.directory / _OWNER).read_text())
        except (OSError, ValueError):
            owner = {}
        pid = owner.get("pid")
        if pid == os.getpid():
            return (
                f"The folder {self.directory} is held by this very process: "
                "an earlier `fit` that ended in an error, or a second "
                "`Checkpoint`. Call `close()` on the earlier `Checkpoint`."
            )
        return (
            f"The folder {self.directory} is in use by another run, process "
            f"{pid or 'unknown'} on {owner.get('host', 'this machine')}. Wait "
            "for it, stop it, or give this run a folder of its own."
        )

    # === What is there ===

    def steps(self):
        """The steps of all checkpoints, ascending."""
        if not self.directory.is_dir():
            return []
        found = (_NAME.fullmatch(p.name) for p in self.directory.iterdir())
        return sorted(int(match.group(1)) for match in found if match)

    def newest(self, until):
        """The newest step that is not after `until`, or `None`."""
        return max((s for s in self.steps() if s <= until), default=None)

    def path(self, step):
        """The folder of the checkpoint of a step."""
        return self.directory / f"step-{step:010d}"

    def best(self):
        """The step of the best checkpoint, or `None`."""
        values = {
            step: value
            for step in self.steps()
            if (value := self._value(step)) is not None
        }
        choose = min if self.mode == "min" else max
        return choose(values, key=values.get) if values else None

    def best_value(self):
        """The value of the best checkpoint, or `None`."""
        best = self.best()
        return None if best is None else self._values[best]

    def _value(self, step):
        if step not in self._values:
            try:
                header = state_file.read_header(self.path(step))
            except CheckpointError:
                return None
            self._values[step] = header.get("value")
        return self._values[step]

    # === Writing ===

    def save(self, step, groups, header, value=None):
        """Writes the checkpoint of a step, then drops those too many.

        Args:
            step: int. Nothing happens if its checkpoint exists.
            groups: see `state_file.write`.
            header: see `state_file.write`.
            value: optional float by which the checkpoint is ranked.

        Returns:
            The path of the checkpoint.

        Raises:
            OSError: if the disk is full, or the folder cannot be written to.
                What was there before is untouched.
        """
        path = self.path(step)
        if path.exists():
            return path
        temporary = path.with_name(_WRITING + path.name)
        try:
            temporary.mkdir(parents=True)
            state_file.write(temporary, groups, {**header, "value": value})
            os.rename(temporary, path)
            state_file.folder_to_disk(self.directory)
        except OSError as error:
            raise OSError(error.errno, self._not_written(error)) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        self._values[step] = value
        self._prune()
        return path

    def _not_written(self, error):
        steps = self.steps()
        last = self.path(steps[-1]) if steps else None
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
            free = shutil.disk_usage(self.directory).free
            cause = f"the disk is full ({free / 2**20:.0f} MiB free). Make room"
        else:
            cause = f"{error.strerror or error}. Make the folder writable"
        kept = f"The last good checkpoint, {last}, is" if last else "Nothing is"
        return (
            f"No checkpoint was written to {self.directory}: {cause} and run "
            f"the same command again. {kept} "
            f"{'untouched' if last else 'saved yet'}."
        )

    def _prune(self):
        steps = self.steps()
        spared = {*steps[-self.keep :], self.best(), *self.spared}
        for step in steps:
            if step not in spared:
                self._delete(step)

    def _delete(self, step):
        path = self.path(step)
        doomed = path.with_name(_DELETING + path.name)
        shutil.rmtree(doomed, ignore_errors=True)
        os.rename(path, doomed)
        shutil.rmtree(doomed, ignore_errors=True)

    def set_aside(self, after):
        """Renames the checkpoints after a step; no run resumes from them.

        Args:
            after: int. The last step that keeps its name.

        Returns:
            List of the new paths.
        """
        moved = []
        for step in self.steps():
            if step > after:
                path = self.path(step)
                aside = path.with_name(f"collapsed-{path.name}")
                if aside.exists():
                    shutil.rmtree(aside)
                os.rename(path, aside)
                moved.append(aside)
        return moved

    # === Reading ===

    def read(self, step):
        """Header and arrays of the checkpoint of a step.

        Returns:
            `(header, groups)`, see `state_file.read`.

        Raises:
            CheckpointError: naming the broken file, the newest good
                checkpoint, and what to do.
        """
        path = self.path(step)
        try:
            header = state_file.read_header(path)
            return header, state_file.read(path, header)
        except CheckpointError as error:
            raise CheckpointError(f"{error} {self._advice(step)}") from error

    def _advice(self, step):
        for other in reversed(self.steps()):
            if other == step:
                continue
            try:
                state_file.read(self.path(other))
            except CheckpointError:
                continue
            return (
                f"The newest good checkpoint is {self.path(other)}. Delete "
                f"every folder after it, {self.path(step)} among them, and "
                "run the same command again to go on from there."
            )
        return (
            "There is no other good checkpoint: delete the folder "
            f"{self.path(step)} to start from the beginning."
        )
