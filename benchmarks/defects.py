"""Tries the mended defects again, one small reproduction each.

    python benchmarks/defects.py
    python benchmarks/defects.py --only A1 B5
    PYTHONPATH=OTHER_CHECKOUT python benchmarks/defects.py

Each line does what a user would do, with public names alone, and compares what
comes out with what should. So the same file also runs against an older
checkout. The reproductions are in `defect_cases.py`.

Each one runs in a process of its own, in an empty folder, with a limit of time
and memory. So a crash or a hang is a result as well. On torch it is a fork of
one that has only imported the package. The other backends survive no fork, so
they are imported for each line. Exits with 1 if a line is wrong.

Cost: five minutes on one core, most of it imports.
"""

import argparse
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
# What a reproduction may take on top of the imports.
MEMORY = 6 << 30


def serve(lines: list[str], seconds: int) -> None:
    """Runs each line in a fork, and prints one line of JSON for each.

    Args:
        lines: list of names, keys of `defect_cases.CASES`.
        seconds: int. Limit of each.
    """
    import defect_cases
    import keras

    import keras_dinolm

    defect_cases.import_all()
    print("# " + keras_dinolm.__file__, flush=True)
    run = _run_here if keras.backend.backend() != "torch" else _run
    for line in lines:
        outcome, spent = run(defect_cases.CASES[line][1], seconds)
        print(json.dumps([line, outcome, round(spent, 1)]), flush=True)


def _run(case, seconds):
    """The outcome of a function in a process of its own, and its time."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        (scratch / "work").mkdir()
        process = os.fork()
        if not process:
            os.setpgid(0, 0)
            outcome = _outcome(case, scratch / "work")
            (scratch / "outcome").write_text(outcome)
            os._exit(0)
        late = start + seconds
        while not (ended := os.waitpid(process, os.WNOHANG))[0]:
            if time.monotonic() > late:
                os.killpg(process, signal.SIGKILL)
                os.waitpid(process, 0)
                return f"hangs: more than {seconds} s", seconds
            time.sleep(0.05)
        spent = time.monotonic() - start
        if os.WIFSIGNALED(ended[1]):
            name = signal.Signals(os.WTERMSIG(ended[1])).name
            return f"dies by {name}", spent
        if not (scratch / "outcome").exists():
            return f"dies with exit code {ended[1]}", spent
        return (scratch / "outcome").read_text(), spent


def _run_here(case, seconds):
    signal.alarm(seconds)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        outcome = _outcome(case, pathlib.Path(folder))
        os.chdir(HERE)
    return outcome, time.monotonic() - start


def _outcome(case, folder):
    import defect_cases

    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    os.chdir(folder)
    try:
        case(folder)
    except defect_cases.Wrong as wrong:
        return str(wrong)
    except Exception as error:
        traceback.print_exc()
        return f"{type(error).__name__}: {defect_cases.short(error)}"
    return "right"


def main() -> int:
    sys.path.insert(0, str(HERE))
    import defect_cases

    cases = defect_cases.CASES
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=cases, default=[*cases])
    parser.add_argument("--backend", help="instead of the one of the line")
    parser.add_argument("--seconds", type=int, default=300, help="of a line")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.only, args.seconds)
        return 0
    groups: dict[tuple[str, str], list[str]] = {}
    for line in args.only:
        backend = args.backend or cases[line][0]
        key = backend, "" if backend == "torch" else line
        groups.setdefault(key, []).append(line)
    wrong = 0
    for (backend, _), lines in groups.items():
        wrong += _serve_elsewhere(backend, lines, args.seconds)
    print(f"{wrong} of {len(args.only)} wrong")
    return int(wrong > 0)


def _serve_elsewhere(backend, lines, seconds):
    """Prints the rows of one backend; returns how many are wrong."""
    paths = [os.environ.get("PYTHONPATH") or str(HERE.parent), str(HERE)]
    environment = {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        **os.environ,
        "KERAS_BACKEND": backend,
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join(paths),
    }
    command = [sys.executable, __file__, "--serve", "--seconds", str(seconds)]
    process = subprocess.Popen(
        [*command, "--only", *lines],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    missing, wrong = set(lines), 0
    for text in process.stdout or ():
        if text.startswith("# "):
            print(f"{backend}, {text[2:].strip()}", flush=True)
        if not text.startswith('["'):
            continue
        line, outcome, spent = json.loads(text)
        missing.discard(line)
        wrong += outcome != "right"
        print(f"{line:>4} | {outcome} ({spent} s)", flush=True)
    process.wait()
    for line in sorted(missing):
        ended = f"its process ended with {process.returncode}"
        print(f"{line:>4} | no outcome: {ended}", flush=True)
    return wrong + len(missing)


if __name__ == "__main__":
    sys.exit(main())
