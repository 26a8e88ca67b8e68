"""Kills a training run ten times, resumes it, and compares every bit.

    python benchmarks/kill_and_resume.py                    all backends
    python benchmarks/kill_and_resume.py --backend jax --kills 3

One run is left alone. Another gets `kill -9` at times drawn uniformly over the
run; every third kill waits for a checkpoint to be written and strikes in the
middle of it. After each kill the same command starts again. In the end,
weights, teacher, centers, counters, random seeds, optimizer, metrics, the
history of all epochs, and the next batch must be the same to the bit.

The run is small but has everything: gradient accumulation (kills strike inside
it), dropout, centers, schedules, an objective that starts later (so the step is
compiled again), epochs that are no multiple of the accumulation.

Exits with 1 if a bit differs. Cost: about two minutes a backend on two cores.
Machine, date and result: `RESULTS.md`, "Kills".
"""

import argparse
import hashlib
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BACKENDS = ("jax", "torch", "tensorflow")
ACCUMULATION = 4
STEPS_PER_EPOCH = 14
SAVE_EVERY = 3
SEED = 1
VOCABULARY = 64


# === The run ===


def build_model(wide=False):
    """A small `DinoLM` with all kinds of state."""
    import keras

    import keras_dinolm as kd

    keras.utils.set_random_seed(SEED)
    backbone = kd.models.DinoLMBackbone(
        vocabulary_size=VOCABULARY,
        num_layers=1,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        dropout=0.1,
    )
    schedules, objectives = kd.schedules, kd.objectives
    model = kd.models.DinoLM(
        backbone,
        objectives=[
            objectives.SequenceDistillation(
                teacher_temperature=schedules.Linear(0.04, 0.07, steps=10),
                targets=kd.layers.Centering(),
            ),
            objectives.TokenDistillation(
                start=5, targets=kd.layers.Centering()
            ),
            objectives.InfoNCE(),
        ],
        num_prototypes=32,
        # A wide head makes checkpoints take time to write.
        head_hidden_dim=1024 if wide else 32,
        momentum=schedules.Cosine(0.9, 0.99, steps=20),
    )
    model.compile(
        kd.optimizers.adamw(
            1e-3,
            warmup_steps=4,
            total_steps=100,
            gradient_accumulation_steps=ACCUMULATION,
        )
    )
    return model


def open_data(directory):
    """A token store next to the run, and a `make_dataset` that reads it."""
    import numpy as np

    import keras_dinolm as kd

    words = [f"w{index}" for index in range(VOCABULARY - 5)]
    tokenizer = kd.models.DinoLMTokenizer(
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    )
    rng = np.random.default_rng(SEED)
    lengths = rng.integers(5, 40, size=100)
    tokens = kd.data.tokenize(
        [" ".join(rng.choice(words, length)) for length in lengths],
        tokenizer,
        pathlib.Path(directory).parent / "tokens",
        num_workers=0,
        show_progress=False,
    )
    views = kd.views.TextViews(tokenizer, sequence_length=16)

    def make_dataset(start_step):
        return kd.data.view_dataset(
            tokens, views, batch_size=8, seed=SEED, start_step=start_step
        )

    return make_dataset


def train(directory, steps, wide=False, callbacks=()):
    """The command that is killed and started again.

    Returns:
        Dict of name to checksum, of everything that must be the same.
    """
    from keras_dinolm.runs.resume import fit

    model = build_model(wide)
    make_dataset = open_data(directory)
    history = fit(
        model,
        make_dataset,
        directory,
        steps=steps,
        steps_per_epoch=STEPS_PER_EPOCH,
        save_every=SAVE_EVERY,
        callbacks=callbacks,
        verbose=0,
    )
    return fingerprints(model, history, next(iter(make_dataset(steps))))


def fingerprints(model, history, next_batch):
    """A checksum of each variable, of the history and of the next batch."""
    import keras
    import numpy as np

    def checksum(array):
        array = np.ascontiguousarray(keras.ops.convert_to_numpy(array))
        return f"{array.dtype}{array.shape}" + (
            hashlib.sha256(array.tobytes()).hexdigest()
        )

    found = {}
    for group, variables in (
        ("model", model.variables),
        ("optimizer", model.optimizer.variables),
        ("metrics", model.metrics_variables),
    ):
        for index, variable in enumerate(variables):
            # A second model in a process gets numbers in its names.
            name = re.sub(r"_\d+(?=[/_]|$)", "", variable.path)
            found[f"{group} {index} {name}"] = checksum(variable.value)
    found["history"] = repr((history.epoch, sorted(history.history.items())))
    leaves = keras.tree.flatten(next_batch)
    found["next batch"] = " ".join(checksum(leaf) for leaf in leaves)
    return found


# === A process of its own ===


def worker(directory, steps, wide):
    """Trains, telling each step on stdout, then the fingerprints."""
    sys.path.insert(0, str(ROOT))
    if os.environ["KERAS_BACKEND"] != "tensorflow":
        # keras-hub would import it, which takes long and is not needed.
        sys.modules["tensorflow"] = None
    import keras

    class Tell(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            # The rest of an epoch counts from 0, too.
            full = epoch * STEPS_PER_EPOCH
            length = min(STEPS_PER_EPOCH, steps - full)
            self.first = full + length - self.params["steps"]

        def on_train_batch_begin(self, batch, logs=None):
            print(f"step {self.first + batch}", flush=True)

    found = train(directory, steps, wide, callbacks=[Tell()])
    print(json.dumps(found), flush=True)


def start(backend, directory, steps, wide):
    """Starts the worker."""
    command = [sys.executable, __file__, "--worker", str(directory)]
    command += ["--steps", str(steps)] + (["--wide"] if wide else [])
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": backend},
        stdout=subprocess.PIPE,
        text=True,
    )


def lines(process):
    """What the worker says, until it ends."""
    for line in process.stdout:
        if line.startswith("step "):
            yield int(line.split()[1])
        elif line.startswith("{"):
            yield json.loads(line)


def kill_at(
    backend, directory, steps, target, mode="any time", rng=random, wide=False
):
    """Starts the run and kills it at a step, or in the write after it.

    Returns:
        A row for the table, or the fingerprints if the run came to its end.
    """
    process = start(backend, directory, steps, wide)
    before = None
    try:
        for said in lines(process):
            if isinstance(said, dict):
                return said
            now = time.perf_counter()
            duration = 0.0 if before is None else now - before
            before = now
            if said < target:
                continue
            if mode == "write":
                if not _wait_for_write(directory, process):
                    continue
            else:
                time.sleep(rng.random() * min(duration, 0.2))
            process.send_signal(signal.SIGKILL)
            process.wait()
            unfinished = list(directory.glob(".writing-*"))
            return {
                "step": said,
                "within accumulation": said % ACCUMULATION != 0,
                "within a write": bool(unfinished),
                "resumes from": max(
                    (int(p.name[5:]) for p in directory.glob("step-*")),
                    default=0,
                ),
            }
        raise RuntimeError(f"The run failed with exit code {process.wait()}.")
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _wait_for_write(directory, process, limit=5.0):
    """Waits until a checkpoint is being written."""
    end = time.perf_counter() + limit
    while time.perf_counter() < end and process.poll() is None:
        with os.scandir(directory) as entries:
            if any(entry.name.startswith(".writing-") for entry in entries):
                return True
    return False


def run_to_the_end(backend, directory, steps, wide):
    """Runs the worker; returns its fingerprints."""
    process = start(backend, directory, steps, wide)
    found = [said for said in lines(process) if isinstance(said, dict)]
    if process.wait() or not found:
        raise RuntimeError(f"The run failed with exit code {process.wait()}.")
    return found[0]


def compare(expected, found):
    """Names of what differs."""
    names = {*expected, *found}
    return sorted(n for n in names if expected.get(n) != found.get(n))


def measure(backend, kills, steps, seed):
    """Kills and resumes on one backend; prints a table, returns success."""
    rng = random.Random(seed)
    print(f"\n{backend}: {steps} steps, {kills} kills, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        expected = run_to_the_end(backend, folder / "alone", steps, True)
        directory = folder / "killed"
        directory.mkdir()
        targets = sorted(rng.uniform(0, steps - 1) for _ in range(kills))
        rows, found, writes = [], None, 0
        for index, target in enumerate(targets):
            mode = "write" if index % 3 == 0 else "any time"
            row = kill_at(backend, directory, steps, target, mode, rng, True)
            if "next batch" in row:
                found = row
                break
            writes += row["within a write"]
            rows.append(row)
            within = "in an accumulation" * row["within accumulation"]
            writing = "while writing" * row["within a write"]
            print(
                f"  kill {index + 1:2d} at step {row['step']:4d}  "
                f"{within:18}  {writing:13}  resumes from "
                f"{row['resumes from']}",
                flush=True,
            )
        if found is None:
            found = run_to_the_end(backend, directory, steps, True)
    different = compare(expected, found)
    inside = sum(row["within accumulation"] for row in rows)
    print(
        f"  {len(rows)} kills, {writes} of them while writing, {inside} within "
        f"an accumulation: {len(expected) - len(different)} of {len(expected)} "
        "checksums the same"
    )
    for name in different[:10]:
        print(f"    differs: {name}")
    # A kill at an easier moment than intended shows nothing.
    hard = writes >= kills // 3 and inside >= min(kills, 2)
    if not hard or len(rows) < kills:
        print("  too few kills, or too few of them while writing or inside")
    return not different and hard and len(rows) == kills


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--backend", action="append", choices=BACKENDS)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--wide", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args.worker, args.steps, args.wide)
        return 0
    good = [
        measure(backend, args.kills, args.steps, args.seed)
        for backend in args.backend or BACKENDS
    ]
    print("\nall bits the same" if all(good) else "\nFAILED")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
