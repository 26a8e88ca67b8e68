"""A folder of checkpoints that one run writes, and from which it resumes."""

import contextlib
import errno
import os
import re
import shutil

from keras_dinolm import arguments
from keras_dinolm import files
from keras_dinolm.runs import state_file
from keras_dinolm.runs.state_file import CheckpointError

# What the marker of the folder says.
KIND = "run of keras_dinolm.runs"
_LOCK = ".lock"
_NAME = re.compile(r"step-(\d{10,18})", re.ASCII)


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
        self.directory = arguments.path("directory", directory)
        self.keep = arguments.integer(
            "keep", keep, 1, meaning="how many checkpoints to keep"
        )
        self.mode = arguments.choice("mode", mode, ("min", "max"))
        # Steps that are kept besides: those a monitor may return to.
        self.spared = set()
        self._locks = contextlib.ExitStack()
        self._times_locked = 0
        # The values by which checkpoints of this folder are ranked, by step.
        self._values = {}

    # === One run at a time ===

    def lock(self):
        """Takes the folder for this run; call `unlock` as often.

        The system frees the lock of a process that dies, however it dies.

        Raises:
            CheckpointError: if another run has it.
            FileExistsError: if the folder is for something else.
        """
        if not self.locked:
            if self.directory.exists() and not self.directory.is_dir():
                raise NotADirectoryError(
                    errno.ENOTDIR,
                    "Checkpoints need a folder, and a file is here. Choose "
                    "another `directory`",
                    str(self.directory),
                )
            self.directory.mkdir(parents=True, exist_ok=True)
            try:
                self._locks.enter_context(
                    files.lock(self.directory / _LOCK, 0, "folder of the run")
                )
            except files.InUseError as error:
                raise CheckpointError(
                    f"{error} If it is this process, call `close()` on the "
                    "earlier `Checkpoint`."
                ) from None
            try:
                # Checkpoints have names of their own, which overwrite nothing.
                files.claim_folder(self.directory, KIND, ())
            except BaseException:
                self._locks.close()
                raise
        self._times_locked += 1

    @property
    def locked(self):
        """Whether this object holds the folder."""
        return self._times_locked > 0

    def unlock(self):
        """Gives the folder back."""
        self._times_locked = max(self._times_locked - 1, 0)
        if not self.locked:
            self._locks.close()

    # === What is there ===

    def steps(self):
        """The steps of all checkpoints, ascending."""
        if not self.directory.is_dir():
            return []
        found = (_NAME.fullmatch(name) for name in os.listdir(self.directory))
        steps = {int(match.group(1)) for match in found if match}
        return sorted(step for step in steps if self.path(step).is_dir())

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
            value = header.get("value")
            is_number = type(value) in (int, float) and value == value
            self._values[step] = value if is_number else None
        return self._values[step]

    # === Writing ===

    def save(self, step, groups, header, value=None, size=None):
        """Writes the checkpoint of a step, then drops those too many.

        Args:
            step: int. Nothing is written if its checkpoint exists.
            groups: see `state_file.write`.
            header: see `state_file.write`.
            value: optional float by which the checkpoint is ranked.
            size: optional int, the bytes of all arrays.

        Returns:
            The path of the checkpoint.

        Raises:
            OSError: if the disk is full, or the folder cannot be written to.
                What was there before is untouched.
        """
        path = self.path(step)
        if path.is_dir():
            # Who wrote it may have been killed before this.
            self.prune()
            return path
        before = None
        try:
            before = self.steps()
            with files.replace_folder(path, _never, size) as new:
                state_file.write(new, groups, {**header, "value": value})
        except OSError as error:
            raise OSError(
                error.errno, self._not_written(error, before)
            ) from error
        self._values[step] = value
        self.prune()
        return path

    def _not_written(self, error, steps):
        if steps is None:
            kept = "What was saved before is untouched."
        elif steps:
            last = self.path(steps[-1])
            kept = f"The last good checkpoint, {last}, is untouched."
        else:
            kept = "Nothing is saved yet."
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
            free = shutil.disk_usage(self.directory).free
            cause = f"the disk is full ({free / 2**20:.0f} MiB free). Make room"
        elif error.errno in (errno.EMFILE, errno.ENFILE):
            cause = "too many files are open. Raise the limit (`ulimit -n`)"
        elif error.errno == errno.EEXIST:
            cause = f"{error}. Move it away"
        else:
            cause = f"{error.strerror or error}. Make the folder writable"
        return (
            f"No checkpoint was written to {self.directory}: {cause} and run "
            f"the same command again. {kept}"
        )

    def prune(self):
        """Removes the checkpoints that are too many."""
        steps = self.steps()
        spared = {*steps[-self.keep :], self.best(), *self.spared}
        for step in steps:
            # What others have put into a checkpoint is not ours to remove.
            if step not in spared and state_file.is_checkpoint(self.path(step)):
                self._delete(step)

    def _delete(self, step):
        # Moved away first: what bears the name of a checkpoint is whole.
        files.remove_folder(self.path(step))

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
                name = aside = path.with_name(f"collapsed-{path.name}")
                number = 2
                while aside.exists():  # of an earlier failure
                    aside = name.with_name(f"{name.name}-{number}")
                    number += 1
                os.rename(path, aside)
                moved.append(aside)
        return moved

    # === Reading ===

    def read(self, step, check=None):
        """Header and arrays of the checkpoint of a step.

        Args:
            step: int.
            check: optional callable. Takes the header before the arrays are
                read, and raises an error if they do not fit.

        Returns:
            `(header, groups)`, see `state_file.read`.

        Raises:
            CheckpointError: naming the broken file, the newest good
                checkpoint, and what to do.
        """
        header = self.read_header(step)
        path = self.path(step)
        if check is not None:
            check(header)
        try:
            return header, state_file.read(path, header)
        except CheckpointError as error:
            raise CheckpointError(f"{error} {self._advice(step)}") from error

    def read_header(self, step):
        """The header of the checkpoint of a step.

        Raises:
            CheckpointError: as `read`.
        """
        path = self.path(step)
        try:
            header = state_file.read_header(path)
            _check_position(path, step, header)
        except CheckpointError as error:
            raise CheckpointError(f"{error} {self._advice(step)}") from error
        return header

    def _advice(self, step):
        for other in reversed(self.steps()):
            if other == step:
                continue
            try:
                state_file.verify(self.path(other))
            except CheckpointError:
                continue
            return (
                f"The newest good checkpoint is {self.path(other)}. Move "
                f"every folder after it away, {self.path(step)} among them, "
                "and run the same command again to resume from there."
            )
        return (
            "There is no other good checkpoint: move the folder "
            f"{self.path(step)} away to start from the beginning."
        )


def _never(folder):
    return "a folder"


def _check_position(path, step, header):
    """Raises unless the header says where the run was, as its folder does."""
    position = header.get("position")
    fits = isinstance(position, dict) and set(position) == {
        "step",
        "epoch",
        "batch",
    }
    if (
        not fits
        or not all(type(n) is int and n >= 0 for n in position.values())
        or position["step"] != step
    ):
        raise CheckpointError(
            f"{path / state_file.HEADER} is damaged or was renamed: "
            f"`position` must hold step {step}, an epoch and a batch. "
            f"Received: position={position!r}."
        )
