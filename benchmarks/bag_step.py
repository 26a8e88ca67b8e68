"""Time of a step of a bag of embeddings, against a plain copy of it.

    python benchmarks/bag_step.py

The first phase of `recipes.bag_then_blocks` trains embeddings without any
block: 256 texts, two crops of each, 256 features, 8,192 tokens. For each
backend, in a process of its own, this trains that phase's model by `fit` and,
beside it, `bare_bag.py`: the same mathematics, written directly for the
backend. Both read the same batches of a `view_dataset` of made texts (words
drawn by Zipf's law), made before.

First both take 20 steps from the same weights, and must agree: each weight
tensor to 1e-5, and to 1e-3 of how far it has moved (root mean squares). The
script fails otherwise. Then they are timed in turns, round by round, so that
a busy moment hits both. Numbers are processor time, summed over threads; run
it on one core (`taskset -c 0`, `OMP_NUM_THREADS=1`). A ratio is the median of
the ratios within a round, to the faster way of the plain copy. What Keras does
around a step is included; the start of `fit` (tracing, compiling) is not. The
time to make a batch of views is printed as well, and is in neither. Torch runs
as the recipe does, not compiled, and compiled.

Machine, date and result: `RESULTS.md`, "A step of the bag against a plain
copy".
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# ruff: noqa: E402
import argparse
import itertools
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import keras
import numpy as np

import keras_dinolm as kd

CHECKED_STEPS = 20
TOLERANCE = 1e-5
MOVE_TOLERANCE = 1e-3
LEARNING_RATE = 2e-3
STEPS, WARMUP_STEPS = 100_000, 100
SIZE, VOCABULARY_SIZE = "mini", 8192


def make_tokenizer():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [f"w{i}" for i in range(VOCABULARY_SIZE - len(special))]
    return kd.models.DinoLMTokenizer([*special, *words])


def make_batches(phase, tokenizer, count):
    """Batches of the views of made texts, and the seconds that one takes."""
    rng = np.random.default_rng(0)
    words = np.array([t for t in tokenizer.get_vocabulary() if t[0] == "w"])
    share = 1.0 / np.arange(10, 10 + len(words))
    share /= share.sum()
    texts = [" ".join(rng.choice(words, 80, p=share)) for _ in range(4_000)]
    with tempfile.TemporaryDirectory() as folder:
        tokens = kd.data.tokenize(
            texts, tokenizer, folder, num_workers=0, show_progress=False
        )
        dataset = iter(
            kd.data.view_dataset(
                tokens,
                phase.views,
                phase.batch_size,
                buckets=[phase.views.sequence_length - 1],
                use_tf_data=False,
            )
        )
        next(dataset)
        begin = time.process_time()
        batches = [
            keras.tree.map_structure(np.asarray, next(dataset))
            for _ in range(count)
        ]
        return batches, (time.process_time() - begin) / count


class Epochs(keras.callbacks.Callback):
    """Times epochs of `fit`, and lets the others run between them."""

    async_safe = True

    def __init__(self, others):
        super().__init__()
        self.seconds = []
        self.others = others

    def on_epoch_begin(self, epoch, logs=None):
        self.begin = time.process_time()

    def on_epoch_end(self, epoch, logs=None):
        # The logs are numbers by now, so the device is done.
        self.seconds.append(time.process_time() - self.begin)
        for other in self.others:
            other()


def as_dataset(batches):
    """The batches again and again, as a `view_dataset` of the backend is."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        arrays = keras.tree.map_structure(lambda *x: np.stack(x), *batches)
        return tf.data.Dataset.from_tensor_slices(arrays).repeat()
    return ((batch,) for batch in itertools.cycle(batches))


def fit(model, batches, steps, rounds=1, others=()):
    epochs = Epochs(others)
    model.fit(
        as_dataset(batches),
        steps_per_epoch=steps,
        epochs=rounds,
        callbacks=[epochs],
        verbose=0,
    )
    return epochs.seconds


def run(plain, batches, steps):
    """Processor seconds of steps of the plain copy."""
    begin = time.process_time()
    for batch in itertools.islice(itertools.cycle(batches), steps):
        loss = plain.step(batch)
    float(loss)
    return time.process_time() - begin


def root_mean_square(x):
    return float(np.sqrt(np.mean(np.square(x))))


def check(start, found, expected, name):
    """Raises unless the weights agree; returns the largest difference."""
    worst = 0.0
    for before, ours, theirs in zip(start, found, expected, strict=True):
        difference = root_mean_square(ours - theirs)
        moved = difference / root_mean_square(theirs - before)
        if not (difference <= TOLERANCE and moved <= MOVE_TOLERANCE):
            raise SystemExit(
                f"`fit` and the plain copy ({name}) disagree after "
                f"{CHECKED_STEPS} steps: by {difference:.1e}, which is "
                f"{moved:.1e} of how far they moved. No timing is meaningful."
            )
        worst = max(worst, difference)
    return worst


def compare(args):
    """Prints the rows of this process' backend."""
    import bare_bag

    backend = keras.backend.backend()
    tokenizer = make_tokenizer()
    bag, _ = kd.recipes.bag_then_blocks(tokenizer, size=SIZE)
    batches, making = make_batches(bag, tokenizer, 8)
    keras.utils.set_random_seed(0)
    model = bag.model(bag.backbone(None, None), STEPS)
    if args.compiled:
        model.jit_compile = True
    weights = model.student.encoder.trainable_weights
    start = [np.array(keras.ops.convert_to_numpy(w)) for w in weights]
    assert [w.path.split("/")[-1] for w in weights] == [
        "embeddings",
        "gamma",
        "beta",
    ]
    settings = bare_bag.Settings(LEARNING_RATE, WARMUP_STEPS)
    kind = bare_bag.BACKENDS[backend]
    plain = {way: kind(start, settings, way) for way in kind.ways}

    begin = time.perf_counter()
    fit(model, batches, CHECKED_STEPS)
    first = time.perf_counter() - begin
    found = [keras.ops.convert_to_numpy(w) for w in weights]
    worst = 0.0
    for name, copy in plain.items():
        run(copy, batches, CHECKED_STEPS)
        worst = max(worst, check(start, found, copy.weights(), name))

    times = {name: [] for name in plain}

    def time_plain(name):
        times[name].append(run(plain[name], batches, args.steps))

    ours = fit(
        model,
        batches,
        args.steps,
        args.rounds,
        [lambda name=name: time_plain(name) for name in plain],
    )
    best = min(times, key=lambda name: statistics.median(times[name]))

    def row(name, seconds):
        each = 1e3 * statistics.median(seconds) / args.steps
        ratio = statistics.median(a / b for a, b in zip(seconds, times[best]))
        print(f"| {backend} | {name} | {each:.1f} | {ratio:.2f} |", flush=True)

    row("`fit`, compiled" if model.jit_compile else "`fit`", ours)
    for name, seconds in times.items():
        row(f"plain, {name}", seconds)
    print(
        f"{backend}: weights agree to {worst:.0e} after {CHECKED_STEPS} steps "
        f"(which took {first:.0f} s with compiling); a batch of views takes "
        f"{1e3 * making:.1f} ms; load {os.getloadavg()[0]:.1f}",
        file=sys.stderr,
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--backends", nargs="+", default=["jax", "torch", "tensorflow"]
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=20, help="a round")
    parser.add_argument("--here", action="store_true", help="in this process")
    parser.add_argument(
        "--compiled", action="store_true", help="with --here: `jit_compile`"
    )
    args = parser.parse_args()
    if args.here:
        compare(args)
        return 0
    print("| backend | step | ms | x plain |\n|---|---|---|---|", flush=True)
    failed = 0
    for backend in args.backends:
        command = [
            *(sys.executable, pathlib.Path(__file__), "--here"),
            *("--rounds", str(args.rounds), "--steps", str(args.steps)),
        ]
        env = {**os.environ, "KERAS_BACKEND": backend}
        failed |= subprocess.run(command, env=env).returncode
        # The others compile by themselves.
        if backend == "torch":
            command.append("--compiled")
            failed |= subprocess.run(command, env=env).returncode
    return failed


if __name__ == "__main__":
    sys.exit(main())
