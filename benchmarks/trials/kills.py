"""Kills a work at random moments, gives the command again, and compares."""

import dataclasses
import functools
import os
import pathlib
import random
import shutil
import time

from trials import child
from trials import snapshot
from trials.works import Work


@dataclasses.dataclass(frozen=True)
class Whole:
    """A work that nobody disturbed.

    Attributes:
        value: dict. What it returned.
        files: dict. What it wrote.
        seconds: float. How long it took.
        events: int. How often it changed a name on the disk.
    """

    value: dict
    files: dict
    seconds: float
    events: int


class Trials:
    """Kills of one work.

    Args:
        work: `Work`.
        scratch: path of a folder for all trials.
    """

    def __init__(self, work: Work, scratch: pathlib.Path):
        self.work = work
        self.scratch = scratch
        self.whole = self._undisturbed()

    def _undisturbed(self):
        """Two runs that nobody disturbs; they must be equal."""
        found = []
        for _ in range(2):
            base = self._base()
            ended = self._run(base)
            if not ended.good:
                raise RuntimeError(f"{self.work.name} fails alone: {ended}")
            files = snapshot.take(base / "work", self.work.varies)
            found.append(Whole(ended.value, files, ended.seconds, ended.events))
            self.bytes = sum(
                path.stat().st_size
                for path in (base / "work").rglob("*")
                if path.is_file()
            )
        lines = [f"litter: {n}" for n in found[0].files if "~dinolm" in n]
        lines += snapshot.differences(found[0].files, found[1].files)
        lines += snapshot.differences(found[0].value, found[1].value)
        if lines:
            raise RuntimeError(
                f"Undisturbed runs of {self.work.name} litter or differ: "
                f"{lines[:9]}"
            )
        return found[1]

    def _base(self, clear=True):
        # The same path each time: it may be written into files.
        base = self.scratch / "trial"
        if clear and base.exists():
            shutil.rmtree(base)
        (base / "work").mkdir(parents=True)
        if self.work.prepare is not None:
            ended = child.run(
                lambda: self.work.prepare(base / "work"), self.scratch
            )
            if not ended.good:
                raise RuntimeError(f"{self.work.name}: {ended}")
        return base

    @functools.cached_property
    def other(self) -> dict:
        """What the other work returns alone."""
        base = self._base()
        ended = child.run(lambda: self.work.other(base / "work"), self.scratch)
        if not ended.good:
            raise RuntimeError(f"{self.work.name}, other: {ended}")
        return ended.value

    def _run(self, base, **options):
        return child.run(
            lambda: self.work.run(base / "work"), self.scratch, **options
        )

    def _moment(self, rng):
        """Where the next kill strikes: at a change of a name, or anywhere."""
        if rng.random() < 0.6:
            number = rng.randint(1, max(self.whole.events, 1))
            wait = rng.choice([0.0, rng.uniform(0, 0.003)])
            return {"event": (number, wait)}
        return {"delay": rng.uniform(0, self.whole.seconds)}

    def trial(self, rng: random.Random) -> tuple[int, list[str]]:
        """One to three kills, then a run to the end.

        Returns:
            How many kills struck, and complaints.
        """
        moments = [self._moment(rng) for _ in range(rng.randint(1, 3))]
        struck, complaints = self.disturb(moments, rng)
        if complaints and len(moments) > 1:
            # One kill that does it alone is easier to understand.
            for moment in moments:
                _, alone = self.disturb([moment], rng)
                if alone:
                    return struck, [f"after one kill: {line}" for line in alone]
        return struck, complaints

    def disturb(self, moments: list, rng: random.Random):
        """Kills at these moments, in this order, then runs to the end."""
        base = self._base()
        planted = snapshot.plant(base / "work", "out", rng)
        told = ", ".join(map(str, moments))
        struck, complaints, groups = 0, [], []
        for moment in moments:
            ended = self._run(base, **moment)
            groups.append(ended.pid)
            struck += ended.killed
            complaints += snapshot.lost(planted)
            if not ended.killed:
                if not ended.good:
                    complaints.append(f"resumed run: {ended}")
                continue
            looked = child.run(
                lambda: self.work.look(base / "work"), self.scratch
            )
            if not looked.good:
                complaints.append(f"a reader after the kill: {looked}")
            else:
                complaints += looked.value
        ended = self._run(base)
        if not ended.good:
            complaints.append(f"the last run: {ended}")
        else:
            complaints += snapshot.differences(self.whole.value, ended.value)
        complaints += snapshot.lost(planted)
        if ended.good:
            complaints += self._litter(base, planted)
        complaints += _survivors(groups)
        return struck, [f"[{told}] {line}" for line in complaints]

    def _litter(self, base, planted):
        for path in planted:
            path.unlink(missing_ok=True)
            if path.parent != base / "work":
                shutil.rmtree(path.parent)
        found = snapshot.take(base / "work", self.work.varies)
        return snapshot.differences(self.whole.files, found)


def _survivors(groups):
    """Processes that a killed work left behind."""
    deadline = time.monotonic() + 10.0
    for group in groups:
        while True:
            try:
                os.killpg(group, 0)
            except ProcessLookupError:
                break
            if time.monotonic() > deadline:
                return [f"processes of the group {group} live on"]
            time.sleep(0.02)
    return []
