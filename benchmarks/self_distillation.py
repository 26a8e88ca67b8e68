"""The fair trial: what does self-distillation add to a small text encoder?

    python benchmarks/self_distillation.py --data FOLDER
    python benchmarks/self_distillation.py --data FOLDER --list
    python benchmarks/self_distillation.py --publish

Every variant starts from the same good encoder, reads the same texts and may
spend the same: as much processor time as 2,000 steps of the table's reference
(masked LM for tokens, InfoNCE for texts), all that it prepares included. Costs
are measured first, variants in turns. `contest/DATA.md` says what `--data`
holds; only dev files are read. `fair_trial/variants.py` has the variants and
`fair_trial/queue.py` the order in which they run.

The command may be stopped and started again: finished runs are lines of
`--results`, and begun ones continue from their checkpoints in `--output`. It
ends when nothing is left or `--hours` of processor time are spent, all
sessions together. `--publish` writes the tables into the page
`docs/self_distillation_at_small_scale.md`.

Cost: 15 minutes of one core a run on tokens, 2 on bags. Machine, date and
result: the page.
"""

import argparse
import fnmatch
import os
import pathlib
import signal
import subprocess
import sys
import time

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # the fastest on a CPU
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

HERE = pathlib.Path(__file__).resolve().parent
for folder in (HERE, HERE.parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from quality import ONE_THREAD  # noqa: E402
from quality import origin as code_and_machine  # noqa: E402

PAGE = HERE.parent / "docs" / "self_distillation_at_small_scale.md"


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", type=pathlib.Path, help="folder of corpus and tasks")
    add("--size", default="nano", help="of the encoder, see kd.models.SIZES")
    add(
        "--only",
        nargs="+",
        default=["*"],
        help="patterns of runs, such as 'tokens/bag/*/0'",
    )
    add(
        "--hours",
        type=float,
        default=16.0,
        help="of processor time, those in the results included",
    )
    add("--runs", type=int, default=1_000, help="the most that begin")
    add("--list", action="store_true", help="what is done, and what is next")
    add("--publish", action="store_true", help="write the page's tables")
    add(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path("runs/self_distillation"),
        help="folder of begun runs",
    )
    add(
        "--results",
        type=pathlib.Path,
        default=HERE / "fair_trial" / "results.jsonl",
        help="file of finished runs, one JSON object a line",
    )
    add("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.data is None and not args.publish:
        parser.error("--data FOLDER is needed to run or list anything")
    return args


def main(arguments=None):
    args = parse_arguments(arguments)
    if args.publish:
        return publish(args)
    if args.worker:
        return work(args)
    if args.list:
        return show(args)
    return run_all(args)


# === The queue ===


def records(args):
    """The lines of the results that belong to this size."""
    from keras_dinolm import files

    lines = files.read_json_lines(args.results)
    return [line for line in lines if line["size"] == args.size]


def spent(lines):
    """Hours of processor time."""
    return sum(line["processor_seconds"] for line in lines) / 3_600


def waiting(args, lines):
    """Names of the runs that are not finished, in their order."""
    from fair_trial.queue import QUEUE

    done = {line["run"] for line in lines if line["kind"] == "run"}
    return [
        name
        for name in QUEUE
        if name not in done
        and any(fnmatch.fnmatch(name, pattern) for pattern in args.only)
    ]


def unknown_costs(args, lines, names):
    """Families whose variants among these runs were not timed yet."""
    from fair_trial.training import costs_of
    from fair_trial.training import missing_costs

    wanted = {}
    for name in names:
        family, _, variant, _ = name.split("/")
        wanted.setdefault(family, []).append(variant)
    return {
        family: missing
        for family, variants in wanted.items()
        if (missing := missing_costs(family, variants, costs_of(lines, family)))
    }


def show(args):
    lines = records(args)
    print(f"{spent(lines):.2f} of {args.hours} hours are spent.")
    for name in waiting(args, lines):
        print(name)


def run_all(args):
    """Costs, then runs, each in a process of its own."""
    failed, begun = [], 0
    while begun < args.runs:
        lines = records(args)
        names = [n for n in waiting(args, lines) if n not in failed]
        if not names:
            break
        if spent(lines) >= args.hours:
            print(f"{spent(lines):.2f} hours are spent, {len(names)} wait.")
            break
        unknown = unknown_costs(args, lines, names)
        family = names[0].partition("/")[0]
        name = names[0]
        if family in unknown:
            name = f"costs/{family}/{','.join(unknown[family])}"
        begun += name == names[0]
        print(f"{time.strftime('%H:%M:%S')} {name}", flush=True)
        if start(args, name):
            if name != names[0]:
                raise SystemExit("The costs could not be measured, see above.")
            print(f"{name}: FAILED", flush=True)
            failed.append(name)
    return 1 if failed else 0


def start(args, name):
    """Runs a worker; its exit status."""
    command = [
        *(sys.executable, __file__, "--worker", name),
        *("--data", args.data, "--size", args.size),
        *("--output", args.output, "--results", args.results),
    ]
    process = subprocess.Popen(
        list(map(str, command)), env={**os.environ, **ONE_THREAD}
    )
    try:
        return process.wait()
    except BaseException:
        process.send_signal(signal.SIGINT)  # it saves a checkpoint
        process.wait()
        raise


# === A worker ===


def work(args):
    from fair_trial.run import run
    from fair_trial.run import run_folder
    from fair_trial.workshop import Workshop

    from keras_dinolm import files

    signal.signal(signal.SIGINT, signal.default_int_handler)
    workshop = Workshop(args.data, args.output, args.size)
    kind, _, rest = args.worker.partition("/")
    if kind == "costs":
        from fair_trial.training import measure_costs

        family, _, names = rest.partition("/")
        record = {
            "kind": "costs",
            "family": family,
            "costs": measure_costs(workshop, family, names.split(",")),
        }
    else:
        record = {"kind": "run", **run(workshop, args.worker, records(args))}
    earlier = record.pop("earlier_seconds", 0.0)
    record["processor_seconds"] = round(time.process_time() + earlier, 1)
    files.append_json_line(
        args.results,
        {**record, "size": args.size, **code_and_machine()},
    )
    if record["kind"] == "run":
        files.remove_folder(run_folder(workshop, args.worker))


def publish(args):
    from contest.report import publish
    from fair_trial.families import FAMILIES
    from fair_trial.report import origin
    from fair_trial.report import tables

    lines = records(args)
    found = tables(lines)
    for family, known in FAMILIES.items():
        for start in known.starts:
            mark = f"{family}-{start}"
            publish(found.get(mark, "*Not run yet.*"), PAGE, mark)
    publish(origin(lines), PAGE, "origin")


if __name__ == "__main__":
    # A background job ignores Ctrl-C otherwise.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    sys.exit(main())
