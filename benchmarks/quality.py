"""The contest: which label-free method learns the best encoder in equal time?

    python benchmarks/quality.py --data FOLDER --minutes 20 --size mini
    python benchmarks/quality.py --data FOLDER --minutes 4 --split dev
    python benchmarks/quality.py --data FOLDER --methods default masked_lm

Every method trains the same encoder on the same corpus with the same
tokenizer, for the same time on one core, with the same seeds. The frozen
encoder is then measured on nine tasks by `kd.evaluation.evaluate`. Untrained
and count-based encoders (TF-IDF, BM25, LSA, PPMI) are baselines.
`contest/DATA.md` says what `FOLDER` holds and where to get it;
`contest/methods.py` has the methods.

The clock of a shared machine cannot be trusted, so the budget is turned into
steps once. The seconds of a step of all methods are measured in turns, in
processor time on one core (`--calibrate`, and by itself the first time; do it
while the machine is idle). A run then takes minutes x 60 / seconds steps,
whatever else the machine does. Where embeddings are counted first, that time
is part of the budget.

The command may be stopped and started again: finished runs are lines of
`--results`, and begun ones continue from their checkpoints in `--output`. At
the end it prints the table and writes it to `--output`, with a plot of quality
against seconds; `--publish` writes both to `benchmarks/RESULTS.md` as well.

Cost: about 20 minutes of one core a run and 2 to 5 to measure it. Machine,
date and result: `RESULTS.md`, "The contest".
"""

import argparse
import datetime
import hashlib
import itertools
import json
import os
import pathlib
import platform
import signal
import statistics
import subprocess
import sys
import time

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # the fastest on a CPU
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

HERE = pathlib.Path(__file__).resolve().parent
for folder in (HERE, HERE.parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

# Arguments that are not passed on to workers.
MASTER = {"worker", "calibrate", "jobs", "publish"}

# What a contest writes into the folder of `--output`.
WRITTEN = ("table-*.md", "quality.png", "corpus-*", "*-*-*/result.json")

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}


def main(arguments=None):
    args = parse_arguments(arguments)
    if args.worker:
        bind(args)
        return calibrate(args) if args.worker == "calibrate" else work(args)
    from keras_dinolm import files

    output = pathlib.Path(args.output)
    try:
        files.claim_folder(output, "contest", WRITTEN)
        with files.lock(
            output / ".lock", timeout=0, what="folder of a contest"
        ):
            return contest(args)
    except (FileExistsError, files.InUseError) as error:
        raise SystemExit(f"Argument --output: {error}") from None


def contest(args):
    trained = [m for m in args.methods if m in contest_methods()]
    if trained and (args.calibrate or not is_calibrated(args, trained)):
        print("Measuring the seconds of a step ...", flush=True)
        finish(start(args, "calibrate", cores()[0]))
    failed = run_all(args)
    report(args)
    return 1 if failed else 0


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", required=True, help="folder of corpus and tasks")
    add("--minutes", type=float, default=20.0, help="of training, each run")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add("--methods", nargs="+", choices=list(titles()))
    add("--split", default="test", choices=["dev", "test"])
    add("--size", default="nano", help="of the encoder, see kd.models.SIZES")
    add("--vocabulary-size", type=int, default=8_192)
    add(
        "--sequence-length",
        type=int,
        default=256,
        help="tokens that are read of a text when it is measured",
    )
    add("--max-train", type=int, help="training rows a task, to save time")
    add(
        "--probe-tasks",
        nargs="*",
        default=["stsb", "xquad", "trec", "snips_intent"],
        help="measured on dev on the way, for the plot",
    )
    add("--probe-train", type=int, default=2_000, help="their training rows")
    add("--jobs", type=int, default=1, help="runs at a time, a core each")
    add("--calibrate", action="store_true", help="measure the steps again")
    add("--output", default="runs/quality", help="folder of begun runs")
    add(
        "--results",
        default=str(HERE / "contest" / "results.jsonl"),
        help="file of finished runs, one JSON object a line",
    )
    add(
        "--reference",
        default="crop_info_nce",
        help="the method that others are compared with, seed by seed",
    )
    add("--publish", action="store_true", help="write RESULTS.md, too")
    add("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    args.methods = args.methods or list(titles())
    if args.jobs < 1 or args.jobs > len(cores()):
        parser.error(
            f"--jobs must be from 1 to {len(cores())}, the cores of this "
            f"process. Received: {args.jobs}"
        )
    return args


# === Methods ===


def contest_methods():
    """What is trained, by name."""
    from contest.methods import METHODS

    return METHODS


def titles():
    """Method to title, in the order of the table's rows."""
    from contest.methods import UNTRAINED
    from contest.static import ENCODERS

    return {
        **{name: title for name, (title, _) in UNTRAINED.items()},
        **{name: m.title for name, m in contest_methods().items()},
        "tfidf": "TF-IDF, no training",
        "bm25": "BM25, no training",
        **{name: f"{t}, no training" for name, (t, _) in ENCODERS.items()},
    }


def setting(args, method):
    """Everything that a result depends on, except its seed."""
    from contest.run import corpus_digest

    known = {
        name: getattr(args, name)
        for name in ("split", "size", "vocabulary_size", "sequence_length")
    }
    known["max_train"] = args.max_train
    known["corpus"] = corpus_digest(args.data)
    if method in contest_methods():
        known["minutes"] = args.minutes
        known["recipe"] = contest_methods()[method].fingerprint()
    return known


# === Calibration ===


def calibration_path(args):
    """Next to the results, whose budgets it sets."""
    results = pathlib.Path(args.results)
    return results.with_name(f"{results.stem}-calibration-{args.size}.json")


def is_calibrated(args, names):
    known = calibration(args)["seconds_per_step"]
    return all(part.cost() in known for part in parts(names).values())


def calibration(args):
    """What was measured before; a damaged file is measured again."""
    from keras_dinolm import files

    known = files.read_json_or_set_aside(calibration_path(args))
    return known or {"seconds_per_step": {}, "methods": {}}


def parts(names):
    """Methods by name, and the starts of those that have one."""
    found = {name: contest_methods()[name] for name in names}
    starts = {f"{n}, start": m.start for n, m in found.items() if m.start}
    return {**found, **starts}


def calibrate(args):
    from contest.clock import counting_seconds
    from contest.clock import seconds_per_step
    from contest.run import Workshop

    from keras_dinolm import files

    methods = parts(m for m in args.methods if m in contest_methods())
    workshop = Workshop(args)
    counting = counting_seconds(workshop)
    seconds = seconds_per_step(workshop, list(methods.values()))
    known = calibration(args)
    known["counting_seconds"] = counting
    known["seconds_per_step"] |= seconds
    for name, method in methods.items():
        names = known["methods"].setdefault(method.cost(), [])
        known["methods"][method.cost()] = sorted({*names, name})
    files.write_json(calibration_path(args), {**known, **origin()})
    for name, method in methods.items():
        print(f"{name:>24} {1000 * seconds[method.cost()]:7.1f} ms a step")


# === Runs ===


def run_all(args):
    """Runs what is not finished; returns the names of those that failed."""
    done = {(line["method"], line["seed"]) for line in finished(args)}
    # Seed by seed, so that a part of the contest is one of fewer seeds.
    todo = [
        (method, seed)
        for seed, method in itertools.product(args.seeds, args.methods)
        if (method, seed) not in done
    ]
    if todo:
        from contest.run import Workshop

        Workshop(args)  # vocabulary and tokens, before two make them at once
    free, running, failed = cores()[: args.jobs], {}, []
    try:
        while todo or running:
            while todo and free:
                method, seed = todo.pop(0)
                core = free.pop(0)
                print(f"{method}, seed {seed}: begins", flush=True)
                process = start(args, f"{method}:{seed}", core)
                running[process] = (method, seed, core)
            time.sleep(0.2)
            for process in [p for p in running if p.poll() is not None]:
                method, seed, core = running.pop(process)
                free.append(core)
                if process.returncode:
                    failed.append(f"{method}, seed {seed}")
                    print(f"{method}, seed {seed}: FAILED", flush=True)
                    continue
                collect(args, method, seed)
    finally:
        for process in running:  # each saves a checkpoint first
            process.send_signal(signal.SIGINT)
        for process in running:
            process.wait()
    return failed


def start(args, worker, core):
    """A run in a process of its own, bound to one core."""
    flags = []
    for name, value in vars(args).items():
        if name in MASTER or value is None:
            continue
        values = value if isinstance(value, list) else [value]
        flags += [f"--{name.replace('_', '-')}", *map(str, values)]
    return subprocess.Popen(
        [sys.executable, __file__, *flags, "--worker", f"{worker}@{core}"],
        env={**os.environ, **ONE_THREAD},
        # `run_all` passes Ctrl-C on, once.
        start_new_session=True,
    )


def bind(args):
    """Binds this process to the core that it was given (on Linux only)."""
    # The background job of a shell would ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    args.worker, _, core = args.worker.partition("@")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core)})


def finish(process):
    if process.wait():
        raise SystemExit("The measurement of the steps failed, see above.")


def work(args):
    """In a run's own process: trains and measures it."""
    from contest.run import Workshop
    from contest.run import run

    from keras_dinolm import files

    method, seed = args.worker.split(":")
    folder = run_folder(args, method, seed)
    measured = calibration(args) if method in contest_methods() else None
    found = run(Workshop(args), method, int(seed), measured, folder)
    files.write_json(folder / "result.json", found)


def run_folder(args, method, seed):
    """One for each setting: no run continues from the weights of another."""
    text = json.dumps(setting(args, method), sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return pathlib.Path(args.output) / f"{method}-{seed}-{digest}"


def collect(args, method, seed):
    """A finished run becomes a line of the results."""
    from keras_dinolm import files

    path = run_folder(args, method, seed) / "result.json"
    found = files.read_json(path, "result", "Remove it to run again.")
    line = {
        "method": method,
        "seed": seed,
        "setting": setting(args, method),
        **found,
        **origin(),
    }
    files.append_json_line(args.results, line)
    mean = statistics.mean(found["scores"].values())
    print(f"{method}, seed {seed}: {100 * mean:.1f}", flush=True)


def finished(args):
    """The lines of the results that belong to this contest."""
    from keras_dinolm import files

    return [
        line
        for line in files.read_json_lines(args.results)
        if line["method"] in args.methods
        and line["seed"] in args.seeds
        and line["setting"] == setting(args, line["method"])
    ]


def origin():
    """Which code ran where, and when."""
    import keras

    def git(*command):
        return subprocess.run(
            ["git", "-C", str(HERE), *command], capture_output=True, text=True
        )

    commit = git("describe", "--always").stdout.strip() or "unknown"
    # Changes of code count. A contest itself appends to the results.
    if git("diff", "--quiet", "HEAD", "--", ":/*.py").returncode == 1:
        commit += "-dirty"
    return {
        "commit": commit,
        "machine": f"{processor()}, {os.cpu_count()} cores",
        "backend": keras.backend.backend(),
        "date": datetime.date.today().isoformat(),
    }


def processor():
    path = pathlib.Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [x.partition(":")[2] for x in lines if x.startswith("model name")]
    return names[0].strip() if names else platform.machine()


def cores():
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def report(args):
    from contest.report import origin
    from contest.report import plot
    from contest.report import publish
    from contest.report import table

    from keras_dinolm import files

    lines = finished(args)
    if not lines:
        return
    text = table(lines, titles(), args.reference)
    print(f"\n{text}")
    output = pathlib.Path(args.output)
    files.write_text(output / f"table-{args.split}.md", text + "\n")
    curves = [line for line in lines if line.get("curve")]
    if curves:
        plot(curves, titles(), output / "quality.png")
    if args.publish:
        name = f"{pathlib.Path(args.results).stem}-{args.size}"
        text = f"{origin(lines)}\n\n{text}"
        publish(text, HERE / "RESULTS.md", f"{name}-{args.split}")
        if curves:
            image = HERE / "contest" / f"{name}.png"
            with files.write_file(image) as file:
                file.write((output / "quality.png").read_bytes())


if __name__ == "__main__":
    # So that runs are stopped, too: a background job ignores Ctrl-C.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    sys.exit(main())
