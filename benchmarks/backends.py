"""Which backend trains most in the same minutes on a CPU?

    python benchmarks/backends.py                # all that are installed
    python benchmarks/backends.py --sizes nano --backends jax torch

For each backend, in a process of its own on one thread, it makes the phases of
the default recipe as `kd.recipes.pretrain` does, on texts of random words with
a vocabulary of 8,192, and measures the import of the backend and of Keras, the
first steps of each phase (which compile), and the median of the steps after.
All in processor time, so that other work on the machine counts little.

`pretrain` compiles each phase twice: to measure the time of a step, and to
train. The last column is the number of steps with blocks that fit into the
minutes after import, both compilations and the bag. Backends are listed by it:
`keras_dinolm.backend.FASTEST_FIRST` has that order for `nano`, the default.

Machine, date and result: `RESULTS.md`, "Backends for minutes on a CPU".
"""

import argparse
import datetime
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

BACKENDS = ("jax", "torch", "tensorflow")
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "NPROC": "1",
}
FIRST_STEPS = 2
VOCABULARY_SIZE = 8_192


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--backends", nargs="+", default=BACKENDS, choices=BACKENDS)
    add("--sizes", nargs="+", default=["nano", "mini"])
    add("--minutes", type=float, default=10.0, help="to be filled with steps")
    add("--steps", type=int, default=12, help="that are timed, of each phase")
    add("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(measure(args.worker, args.steps)))
        return
    machine = f"{platform.processor() or platform.machine()}, one thread"
    print(f"{machine}, {datetime.date.today()}\n")
    print(
        "| size | backend | import s | first steps s | bag, ms a step "
        f"| blocks, ms a step | steps with blocks in {args.minutes:g} minutes "
        "|\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    for size in args.sizes:
        rows = []
        for backend in args.backends:
            if importlib.util.find_spec(backend):
                found = _in_a_process(backend, size, args.steps)
                rows.append((_steps(found, args.minutes), backend, found))
        for steps, backend, found in sorted(rows, reverse=True):
            bag, blocks = found["seconds"]
            print(
                f"| {size} | {backend} | {found['import']:.1f} "
                f"| {sum(found['first']):.1f} | {1000 * bag:.1f} "
                f"| {1000 * blocks:.0f} | {steps:,} |",
                flush=True,
            )


def _in_a_process(backend, size, steps):
    result = subprocess.run(
        [sys.executable, __file__, "--worker", size, "--steps", str(steps)],
        env={**os.environ, **ONE_THREAD, "KERAS_BACKEND": backend},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(result.stdout.splitlines()[-1])


def _steps(found, minutes):
    """Steps with blocks that fit, after all that comes before them."""
    bag, blocks = found["seconds"]
    left = 60 * minutes - found["import"] - 2 * sum(found["first"])
    return max(int((left - found["bag_steps"] * bag) / blocks), 0)


def measure(size, steps):
    """Seconds of processor time in this process."""
    begin = time.process_time()
    import keras
    import numpy as np

    import keras_dinolm as kd

    kd.recipes.names()
    found = {"import": time.process_time() - begin, "first": [], "seconds": []}
    words = [f"w{number}" for number in range(VOCABULARY_SIZE - 5)]
    tokenizer = kd.models.DinoLMTokenizer(
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    )
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words, 200)) for _ in range(600)]
    phases = kd.recipes.bag_then_blocks(tokenizer, size=size)
    before = None
    with tempfile.TemporaryDirectory() as folder:
        tokens = kd.data.tokenize(texts, tokenizer, folder, show_progress=False)
        for phase in phases:
            keras.utils.set_random_seed(0)
            model = phase.model(phase.backbone(before, None), 10_000)
            data = iter(kd.recipes.make_dataset(phase, tokens, 0))
            batches = [
                keras.tree.map_structure(np.asarray, next(data))
                for _ in range(steps)
            ]
            times = []
            for batch in batches[:FIRST_STEPS] + batches:
                begin = time.process_time()
                model.train_on_batch(batch)
                times.append(time.process_time() - begin)
            found["first"].append(sum(times[:FIRST_STEPS]))
            found["seconds"].append(statistics.median(times[FIRST_STEPS:]))
            before = phase.kept(model)
    return {**found, "bag_steps": phases[0].max_steps}


if __name__ == "__main__":
    main()
