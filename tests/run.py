"""Runs the tests once per backend and prints the counts.

    python tests/run.py                            all backends
    python tests/run.py --slow                     the slow tests, and only them
    python tests/run.py --backend jax tests/views  one backend, one folder
    python tests/run.py -- -k sinkhorn -x          anything pytest understands

Each backend is a process of its own, as `KERAS_BACKEND` is read once. Several
run side by side, one thread each (`--jobs`): at the sizes of tests most of the
time goes into tracing and Python, which more threads do not help.

Tests marked `once` say the same on every backend. Where several backends run,
these tests have a process of their own, on torch, which compiles least, if it
is among them. The column `elsewhere` counts the tests that a process left to
the others.
"""

import argparse
import json
import os
import pathlib
import queue
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BACKENDS = ("jax", "torch", "tensorflow")
# The backend of the tests marked `once`: the first of these that runs at all.
ONCE = ("torch", "jax", "tensorflow")
# What pytest returns if it has nothing to run.
NO_TESTS = 5
COLUMNS = (
    "passed",
    "skipped",
    "failed",
    "errors",
    "deselected",
    "elsewhere",
)


def environment(backend, report, threads):
    """The environment of one run of pytest."""
    env = dict(os.environ)
    env.update(
        KERAS_BACKEND=backend,
        KERAS_DINOLM_TEST_REPORT=str(report),
        PYTHONUNBUFFERED="1",
        TF_CPP_MIN_LOG_LEVEL="3",
        MPLBACKEND="agg",
        # No test reaches for a hub, even by accident.
        HF_HUB_OFFLINE="1",
        # What a killed run left half compiled would fail every later one.
        TORCHINDUCTOR_CACHE_DIR=str(report.with_suffix("")),
        # Many tests compile the same programs, and so do their children.
        JAX_COMPILATION_CACHE_DIR=str(report.with_suffix(".xla")),
        JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0",
    )
    if threads:
        for name in (
            "OMP_NUM_THREADS",
            "OPENBLAS_NUM_THREADS",
            "MKL_NUM_THREADS",
            "TF_NUM_INTRAOP_THREADS",
            "TF_NUM_INTEROP_THREADS",
            "NPROC",  # the thread pool of jax on the CPU
        ):
            env[name] = str(threads)
    return env


def run(name, backend, arguments, folder, threads):
    """Runs one process, passes its lines on, returns its row of the table."""
    report = folder / f"{name}.json"
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=ROOT,
        env=environment(backend, report, threads),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    try:
        for line in process.stdout:
            print(f"{name:>10} | {line}", end="", flush=True)
        code = process.wait()
    finally:
        process.kill()
    row = {"exit code": code, "seconds": time.monotonic() - start}
    if report.exists():
        row.update(json.loads(report.read_text(encoding="utf-8")))
    return row


def processes(backends):
    """`(name, backend, mode of the tests marked once)` of each process."""
    if len(backends) == 1:
        return [(backends[0], backends[0], "run")]
    once = next(backend for backend in ONCE if backend in backends)
    each = [(backend, backend, "skip") for backend in backends]
    return [*each, ("once", once, "only")]


def run_all(wanted, arguments, jobs, threads):
    """Runs the processes, `jobs` at a time; returns one row each."""
    rows = {}
    waiting = queue.SimpleQueue()
    for process in wanted:
        waiting.put(process)

    def work():
        while True:
            try:
                name, backend, mode = waiting.get_nowait()
            except queue.Empty:
                return
            rows[name] = run(
                name, backend, [f"--once={mode}", *arguments], folder, threads
            )

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        workers = [threading.Thread(target=work) for _ in range(jobs)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    return rows


def all_ran(rows):
    """Whether the tests that backends left to another one were found there."""
    numbers = {row["once"] for row in rows.values() if "once" in row}
    return len(numbers) <= 1


def table(rows):
    """Text of the counts, one line per backend."""
    lines = ["backend     " + "".join(f"{c:>12}" for c in (*COLUMNS, "time"))]
    for backend, row in rows.items():
        counts = "".join(f"{row.get(c, '?'):>12}" for c in COLUMNS)
        note = "" if row["exit code"] == 0 else f"   exit {row['exit code']}"
        lines.append(f"{backend:<12}{counts}{row['seconds']:>10.0f} s{note}")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--backend",
        action="append",
        choices=BACKENDS,
        help="run this one; may be repeated; default: all",
    )
    parser.add_argument(
        "--slow", action="store_true", help="run the tests marked slow instead"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=None,
        help="processes at a time (1: one after the other, on all cores); "
        "default: all at once",
    )
    parser.add_argument(
        "arguments", nargs="*", help="passed to pytest (options after `--`)"
    )
    args = parser.parse_args()
    backends = list(dict.fromkeys(args.backend or BACKENDS))
    wanted = processes(backends)
    jobs = len(wanted) if args.jobs is None else args.jobs
    if jobs < 1:
        parser.error(f"--jobs must be at least 1. Received: --jobs={jobs}")
    threads = 1 if jobs > 1 and len(wanted) > 1 else 0

    # One file that does not import must not hide the results of the others.
    arguments = ["-ra", "--continue-on-collection-errors", *args.arguments]
    if args.slow:
        # Minutes are what slow tests take: no time limit, as on the others.
        arguments = ["-m", "slow", "-o", "faulthandler_timeout=0", *arguments]
    rows = run_all(wanted, arguments, jobs, threads)
    rows = {name: rows[name] for name, _, _ in wanted if name in rows}
    print("\n" + table(rows))
    # A folder may have no test of one of the two kinds, but not of both.
    codes = {row["exit code"] for row in rows.values()}
    good = [codes in ({0}, {0, NO_TESTS})]
    if not all_ran(rows):
        numbers = {backend: row.get("once") for backend, row in rows.items()}
        print(f"Backends differ in their tests marked `once`: {numbers}")
        good.append(False)
    return 0 if len(rows) == len(wanted) and all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
