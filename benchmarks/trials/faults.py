"""Works on a full or read-only disk, with few descriptors, and two at once."""

import contextlib
import os
import random
import resource
import signal
import subprocess

from trials import child
from trials import snapshot
from trials.kills import Trials

KINDS = ("full disk", "read-only", "few descriptors", "two at once")
# A refusal is one of these. Anything else is an accident.
_REFUSALS = ("OSError", "PermissionError", "FileNotFoundError")
_DISK = 256 << 20


@contextlib.contextmanager
def disk(folder):
    """A small disk of its own at a folder."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "none"]
    subprocess.run([*command, str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def can_mount(folder) -> bool:
    """Whether this process may have a small disk of its own."""
    try:
        with disk(folder):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def fault(trials: Trials, kind: str, rng: random.Random) -> list[str]:
    """Runs a work under a fault, then without it.

    Args:
        trials: `Trials` of the work.
        kind: string, one of `KINDS`.
        rng: `random.Random`.

    Returns:
        Complaints.
    """
    if kind == "two at once":
        return two_at_once(trials, rng)
    place = trials.scratch / "trial"
    if kind == "few descriptors":
        return _around(trials, kind, rng, None)
    place.mkdir(exist_ok=True)
    with disk(place):
        return _around(trials, kind, rng, place)


def _around(trials, kind, rng, place):
    base = trials._base(clear=place is None)
    planted = snapshot.plant(base / "work", "out", rng)
    before = _nothing
    if kind == "full disk":
        need = _size(base) + trials.bytes
        room = int(rng.uniform(0, 1.1) * max(trials.bytes, 1 << 15))
        what = f"{room:,} bytes of {need:,} free"
        ballast = base / ".ballast"
        free = os.statvfs(base)
        left = free.f_bavail * free.f_frsize
        with open(ballast, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(left - room, 1))
    elif kind == "read-only":
        what = "read-only"
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    else:
        spare = rng.randint(0, 24)
        what = f"{spare} descriptors to spare"

        def before():
            limit = len(os.listdir("/proc/self/fd")) + spare
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

    ended = trials._run(base, before=before)
    complaints = []
    if ended.crash:
        complaints.append(f"under the fault: {ended}")
    elif ended.error and not ended.error.startswith(_REFUSALS):
        complaints.append(f"no clear refusal: {ended}")
    elif ended.good:
        complaints += snapshot.differences(trials.whole.value, ended.value)
    if kind == "read-only":
        subprocess.run(["mount", "-o", "remount,rw", str(place)], check=True)
    elif kind == "full disk":
        ballast.unlink()
    complaints += snapshot.lost(planted)
    ended = trials._run(base)
    if not ended.good:
        complaints.append(f"after the fault: {ended}")
    else:
        complaints += snapshot.differences(trials.whole.value, ended.value)
        complaints += trials._litter(base, planted)
    return [f"[{kind}: {what}] {line}" for line in complaints]


def _nothing():
    # A limit would end the process by this signal instead of an error.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def _size(folder):
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def two_at_once(trials: Trials, rng: random.Random) -> list[str]:
    """Two processes with the same work, or another one, in one folder."""
    work = trials.work
    base = trials._base()
    second, expected = work.run, trials.whole.value
    if work.other is not None and rng.random() < 0.7:
        second, expected = work.other, trials.other
        base = trials._base()
    wait = rng.choice([0.0, rng.uniform(0, trials.whole.seconds)])
    planted = snapshot.plant(base / "work", "out", rng)
    one = child.start(lambda: work.run(base / "work"), trials.scratch, "one")
    two = child.start(
        lambda: second(base / "work"), trials.scratch, "two", wait
    )
    complaints = []
    ends = [one(), two()]
    for ended, value in zip(ends, [trials.whole.value, expected]):
        if ended.good:
            complaints += snapshot.differences(value, ended.value)
        elif ended.crash:
            complaints.append(str(ended))
        elif not ended.error.startswith(
            ("ValueError", "RuntimeError", "CheckpointError", "FileExists",
             "InUseError", "OSError", "BlockingIOError")
        ):  # fmt: skip
            complaints.append(f"no clear refusal: {ended}")
    if not any(ended.good for ended in ends):
        complaints.append(f"neither ended well: {ends[0]}; {ends[1]}")
    complaints += snapshot.lost(planted)
    if second is work.run:
        ended = trials._run(base)
        if not ended.good:
            complaints.append(f"after both: {ended}")
        else:
            complaints += snapshot.differences(trials.whole.value, ended.value)
            complaints += trials._litter(base, planted)
    same = "the same" if second is work.run else "another"
    return [
        f"[two at once, {same} work, {wait:.3f} s later] {line}"
        for line in complaints
    ]
