"""Tries to break the package, with random inputs, kills and faults.

    python benchmarks/campaign.py --minutes 10
    python benchmarks/campaign.py --inputs 35000 --kills 350 --faults 90
    python benchmarks/campaign.py --backend torch --only kills/fit --kills 50

Numbers are for each backend. *Inputs* are those of the property tests
(`tests/properties`), drawn by hypothesis, which also finds the smallest input
that fails. *Kills* send SIGKILL to everything that writes
(`trials/works.py`), at a random moment or at a random change of a name on the
disk; the same command then runs to its end and is compared with a run that
nobody disturbed: results equal to the bit, no litter, the files that a user
keeps near by untouched. *Faults* are a full disk, a read-only one, few file
descriptors, and two processes in one folder.

Prints each failure with the command that repeats it, then a table: tries,
wrong results, crashes, silent losses. Exits with 1 if there is any. Machine,
date and result: `RESULTS.md`, "Campaign".

Full and read-only disks need the right to mount; where it is missing, they
are counted as not tried.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BACKENDS = ("jax", "torch", "tensorflow")
KINDS = ("wrong", "crash", "lost")
# What one visit of an area does, before the next one has its turn.
_KILLS_A_VISIT = 6
# Failures that were shown, which need not be shown again.
_TOLD = set()


def main() -> int:
    args = parse()
    if args.server:
        serve(args)
        return 0
    rows, lock = [], threading.Lock()

    def work(backend):
        command = [sys.executable, __file__, "--server", "--backend", backend]
        command += options(args)
        errors = tempfile.TemporaryFile("w+", errors="replace")
        process = subprocess.Popen(
            command,
            env=environment(backend),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        for line in process.stdout:
            if not line.startswith("{"):
                continue
            said = {"backend": backend, **json.loads(line)}
            with lock:
                rows.append(said)
                tell(said, args)
        if process.wait():
            with lock:
                rows.append(
                    {
                        "backend": backend,
                        "area": "the campaign itself",
                        "tried": 0,
                        "failures": [["crash", end(errors)]],
                    }
                )
                tell(rows[-1], args)

    backends = args.backend or list(BACKENDS)
    with tempfile.TemporaryDirectory() as cache:
        # Children compile the same programs again and again.
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", cache)
        threads = [threading.Thread(target=work, args=[b]) for b in backends]
        for index in range(0, len(threads), args.jobs):
            for thread in threads[index : index + args.jobs]:
                thread.start()
            for thread in threads[index : index + args.jobs]:
                thread.join()
    print(table(rows))
    return 1 if any(row.get("failures") for row in rows) else 0


def end(file):
    """The last lines of a file."""
    file.seek(0)
    return file.read()[-2_000:]


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--backend", action="append", choices=BACKENDS)
    parser.add_argument("--minutes", type=float, help="stop after so many")
    parser.add_argument("--inputs", type=int, help="on each backend")
    parser.add_argument("--kills", type=int, help="on each backend")
    parser.add_argument("--faults", type=int, help="on each backend")
    parser.add_argument(
        "--only", action="append", default=[], help="part of an area's name"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--visit", type=int, help="repeat this visit of an area, and no other"
    )
    parser.add_argument("--jobs", type=int, default=1, help="backends at once")
    parser.add_argument("--server", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.minutes is None and not args.server and args.visit is None:
        if args.inputs is args.kills is args.faults is None:
            parser.error("Give --minutes, or some --inputs, --kills, --faults.")
    return args


def options(args):
    found = ["--seed", str(args.seed)]
    for name in ("minutes", "inputs", "kills", "faults", "visit"):
        if getattr(args, name) is not None:
            found += [f"--{name}", str(getattr(args, name))]
    for name in args.only:
        found += ["--only", name]
    return found


def environment(backend):
    env = dict(os.environ)
    env.update(
        KERAS_BACKEND=backend,
        TF_CPP_MIN_LOG_LEVEL="3",
        MPLBACKEND="agg",
        HF_HUB_OFFLINE="1",
        JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0",
        PYTHONUNBUFFERED="1",
    )
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "TF_NUM_INTRAOP_THREADS",
        "TF_NUM_INTEROP_THREADS",
        "NPROC",
    ):
        env[name] = "1"
    return env


# === The process of a backend ===


def serve(args):
    """Visits the areas in turn, until each has done its share."""
    sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT)]
    # Imported here: nothing is executed with them, so that children are fresh.
    import keras_dinolm as kd

    for room in dir(kd):
        getattr(kd, room)
    if args.kills is args.faults is None or args.inputs:
        # Takes seconds, and each child would do it again.
        from tests.properties import tokenizers

        tokenizers.warm()

    with tempfile.TemporaryDirectory(prefix="campaign-") as name:
        visits = list(areas(args, pathlib.Path(name)))
        end = time.monotonic() + 60 * (args.minutes or 10**9)
        number = 0
        while visits and time.monotonic() < end:
            for visit in list(visits):
                if time.monotonic() > end:
                    break
                begin = time.monotonic()
                said = visit(number if args.visit is None else args.visit)
                if said is None:
                    visits.remove(visit)
                    continue
                said["seconds"] = time.monotonic() - begin
                print(json.dumps(said), flush=True)
            number += 1
            if args.visit is not None:
                return


def areas(args, scratch):
    """A function for each area: `number of the visit -> what happened`."""
    from trials import inputs
    from trials import works

    def wanted(name):
        return not args.only or any(part in name for part in args.only)

    endless = args.inputs is args.kills is args.faults is None
    found = [
        area for area in inputs.AREAS.values() if wanted(f"inputs/{area.name}")
    ]
    total = sum(area.share for area in found)
    if endless or args.inputs:
        for area in found:
            count = None
            if args.inputs:
                count = args.inputs * area.share / total
            yield _inputs(args, area, count, scratch)
    some = [w for w in works.WORKS.values() if wanted(f"kills/{w.name}")]
    total = sum(work.share for work in some)
    if endless or args.kills:
        for work in some:
            count = None
            if args.kills:
                count = args.kills * work.share / total
            yield _kills(args, work, count, scratch)
    some = [w for w in works.WORKS.values() if wanted(f"faults/{w.name}")]
    total = sum(work.share for work in some)
    if endless or args.faults:
        for work in some:
            count = None
            if args.faults:
                count = args.faults * work.share / total
            yield _faults(args, work, count, scratch)


def _inputs(args, area, count, scratch):
    from trials import child
    from trials import inputs

    done = 0

    def visit(number):
        nonlocal done
        left = None if count is None else count - done
        if left is not None and left <= 0:
            return None
        # The first try of a chunk costs most, so chunks are whole.
        size = area.chunk
        seed = random.Random(f"{args.seed} {area.name} {number}").getrandbits(
            32
        )
        ended = child.run(
            lambda: inputs.try_chunk(area, seed, size), scratch, limit=900.0
        )
        said = {"area": f"inputs/{area.name}", "visit": number, "failures": []}
        if ended.good:
            said["tried"] = ended.value["inputs"]
            for text in ended.value["failures"]:
                kind = "wrong" if text.startswith("AssertionError") else "crash"
                if kind == "wrong" and area.module == "readers":
                    kind = "lost"
                said["failures"].append([kind, text])
        else:
            said["tried"] = 0
            said["failures"].append(["crash", str(ended)])
        # A chunk ends early when it fails, and does not get another turn.
        done += max(said["tried"], size if said["failures"] else 1)
        return said

    return visit


def _trials(work, scratch, known={}):  # noqa: B006  one for the process
    from trials.kills import Trials

    if work.name not in known:
        folder = scratch / work.name.replace(" ", "-")
        folder.mkdir()
        known[work.name] = Trials(work, folder)
    return known[work.name]


def _kills(args, work, count, scratch):
    done = 0

    def visit(number):
        nonlocal done
        if count is not None and done >= count:
            return None
        said = {"area": f"kills/{work.name}", "visit": number, "tried": 0}
        failures = said["failures"] = []
        try:
            trials = _trials(work, scratch)
        except RuntimeError as error:
            failures.append(["crash", str(error)])
            done += 10**9
            return said
        trial = 0
        limit = _KILLS_A_VISIT
        if count is not None:
            limit = min(limit, count - done)
        while said["tried"] < limit and trial < 4 * _KILLS_A_VISIT:
            rng = random.Random(f"{args.seed} {work.name} {number} {trial}")
            struck, complaints = trials.trial(rng)
            said["tried"] += struck
            failures += [[_kind(line), line] for line in complaints]
            trial += 1
        done += max(said["tried"], 1)
        return said

    return visit


def _faults(args, work, count, scratch):
    from trials import faults

    done = 0
    kinds = faults.KINDS
    if not faults.can_mount(scratch):
        kinds = kinds[2:]

    def visit(number):
        nonlocal done
        if count is not None and done >= count:
            return None
        said = {"area": f"faults/{work.name}", "visit": number, "tried": 0}
        failures = said["failures"] = []
        try:
            trials = _trials(work, scratch)
        except RuntimeError as error:
            failures.append(["crash", str(error)])
            done += 10**9
            return said
        for kind in kinds:
            rng = random.Random(f"{args.seed} {work.name} {number} {kind}")
            lines = faults.fault(trials, kind, rng)
            failures += [[_kind(line), line] for line in lines]
            said["tried"] += 1
        done += said["tried"]
        return said

    return visit


def _kind(line):
    if "the user's" in line:
        return "lost"
    if any(text in line for text in ("died by", "exit code", "did not end")):
        return "crash"
    return "wrong"


# === What is told ===


def tell(said, args):
    """One line a visit, and each failure with the command that repeats it."""
    failures = said.get("failures", ())
    seconds = said.get("seconds", 0.0)
    print(
        f"{said['backend']:>10}  {said['area']:<28} {said['tried']:>6} tried, "
        f"{len(failures)} failures, {seconds:.1f} s",
        flush=True,
    )
    for kind, text in failures:
        if (said["area"], text[:150]) in _TOLD:
            continue
        _TOLD.add((said["area"], text[:150]))
        print(
            f"  {kind}: {text}\n  again: python benchmarks/campaign.py "
            f"--backend {said['backend']} --only '{said['area']}' "
            f"--seed {args.seed} --visit {said.get('visit')}",
            flush=True,
        )


def table(rows):
    """Counts by area and backend."""
    counts = collections.defaultdict(collections.Counter)
    for row in rows:
        found = counts[row["area"], row["backend"]]
        found["tried"] += row["tried"]
        found["seconds"] += row.get("seconds", 0.0)
        for kind, _ in row.get("failures", ()):
            found[kind] += 1
    headings = ("tried", *KINDS, "seconds", "a minute")
    lines = [
        "",
        f"{'area':<30}{'backend':<12}" + "".join(f"{h:>9}" for h in headings),
    ]
    sums = collections.defaultdict(collections.Counter)
    for (area, backend), found in sorted(counts.items()):
        lines.append(_line(area, backend, found))
        sums[area.split("/")[0]].update(found)
    for group, found in sorted(sums.items()):
        lines.append(_line(f"all {group}", "", found))
    return "\n".join(lines)


def _line(area, backend, found):
    rate = 60 * found["tried"] / max(found["seconds"], 1e-9)
    cells = [found["tried"], *(found[kind] for kind in KINDS)]
    return f"{area:<30}{backend:<12}" + "".join(
        f"{value:>9,.0f}" for value in (*cells, found["seconds"], rate)
    )


if __name__ == "__main__":
    sys.exit(main())
