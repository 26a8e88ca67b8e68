"""View tokens per second on one core, through `tf.data` and on the device.

    KERAS_BACKEND=jax python benchmarks/views.py

Default views (2 global, 4 local, masks on half of the global ones) of
in-memory windows: 256 documents of full length (127 tokens) a batch. Tokens
are counted without padding. Three ways are timed in turn, round by round, so
that a busy moment hits them alike; the table has medians over the rounds:

- `tf.data`: `Dataset.map` of graph ops, one thread (left out without
  TensorFlow);
- `numpy`: what `view_dataset` does without TensorFlow;
- the device: `TextViews` on backend tensors, compiled where the backend
  compiles (torch: eager, one thread).

The reference is a plain memory copy of the bytes of the same batch, array by
array, which no way of making views can beat. The process pins itself to one
core, also on a machine with a GPU. `--lengths mixed` draws document lengths
uniformly from 1 to 127. `--perturbed` adds every perturbation and whole-word
masks, each on a curriculum, to the same groups.

Cost: about half a minute. Machine, date and result: `RESULTS.md`, "View tokens
per second".
"""

import os

CORE = min(os.sched_getaffinity(0))
os.sched_setaffinity(0, {CORE})
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)
os.environ["TF_NUM_INTRAOP_THREADS"] = "1"
os.environ["TF_NUM_INTEROP_THREADS"] = "1"
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# ruff: noqa: E402
import argparse
import dataclasses
import datetime
import platform
import shlex
import statistics
import sys
import time

import keras
import numpy as np
from keras import tree

import keras_dinolm as kd
from keras_dinolm.views.view_group import PERTURBATIONS

SEQUENCE_LENGTH = 128


def make_windows(batch_size, lengths):
    """A batch of random windows, as `keras_dinolm.data` would read them."""
    rng = np.random.default_rng(0)
    width = SEQUENCE_LENGTH - 1
    token_ids = rng.integers(5, 8192, (batch_size, width), dtype=np.int32)
    if lengths == "full":
        lengths = np.full(batch_size, width, np.int32)
    else:
        lengths = rng.integers(1, width + 1, batch_size, dtype=np.int32)
    token_ids[np.arange(width) >= lengths[:, None]] = 0
    starts = np.zeros(batch_size, np.int32)
    return {"token_ids": token_ids, "lengths": lengths, "starts": starts}


def through_tf_data(views, windows):
    """A function that takes the next batches of a `tf.data` pipeline."""
    import tensorflow as tf

    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    batch = {key: tf.constant(value) for key, value in windows.items()}
    dataset = tf.data.Dataset.counter(dtype=tf.int64).map(
        lambda step: views(batch, seed=0, step=step)
    )
    iterator = iter(dataset.with_options(options))

    def run(first, number):
        for _ in range(number):
            next(iterator)

    return run


def through_numpy(views, windows):
    """A function that makes batches with NumPy alone."""

    def run(first, number):
        for step in range(first, first + number):
            views(windows, seed=0, step=step)

    return run


def on_the_device(views, windows):
    """Its name, and a function that makes batches there."""
    windows = {
        key: keras.ops.convert_to_tensor(value)
        for key, value in windows.items()
    }
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        make = jax.jit(lambda step: views(windows, seed=0, step=step))
        wait = jax.block_until_ready
        place = jax.devices()[0].platform
    elif backend == "tensorflow":
        import tensorflow as tf

        make = tf.function(
            lambda step: views(windows, seed=0, step=step), jit_compile=True
        )
        wait = keras.ops.convert_to_numpy
        place = windows["token_ids"].device.split(":")[-2].lower()
    else:
        import torch

        torch.set_num_threads(1)
        place = windows["token_ids"].device.type

        def make(step):
            return views(windows, seed=0, step=step)

        def wait(array):
            if array.is_cuda:
                torch.cuda.synchronize()

    def run(first, number):
        for step in range(first, first + number):
            # Waiting for one array is enough: all come from one computation.
            made = make(keras.ops.convert_to_tensor(step, dtype="int32"))
            wait(made["global"]["masked_indices"])

    return f"{backend} on {place}", run


def copy_of(batch):
    """A function that copies the arrays of a batch."""
    sources = tree.flatten(batch)
    targets = [np.empty_like(source) for source in sources]

    def run(first, number):
        for _ in range(number):
            for source, target in zip(sources, targets, strict=True):
                np.copyto(target, source)

    return run


def perturbed_views():
    """All that can be done to views of the default spans."""
    ids = np.arange(8192)
    special = kd.views.SpecialTokens(
        0, 2, 4, ids % 4 == 0, ids % 10 == 1, ids % 20 == 1
    )
    table = kd.views.ReplacementTable.of(
        {i: [i + 1, i + 2, i + 3] for i in range(5, 8000)}, 8192
    )
    changes = {
        name: kd.schedules.Linear(0.0, 0.1, steps=1_000)
        for name in PERTURBATIONS
    }
    groups = [
        dataclasses.replace(group, mask_unit="word", **changes)
        for group in kd.views.default_groups()
    ]
    return kd.views.TextViews(
        special, SEQUENCE_LENGTH, groups, synonyms=table, typos=table
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batches", type=int, default=20, help="a round")
    parser.add_argument("--lengths", choices=("full", "mixed"), default="full")
    parser.add_argument("--perturbed", action="store_true")
    args = parser.parse_args()

    special = kd.views.SpecialTokens(
        pad_token_id=0, cls_token_id=2, mask_token_id=4
    )
    views = kd.views.TextViews(special, SEQUENCE_LENGTH)
    if args.perturbed:
        views = perturbed_views()
    windows = make_windows(args.batch_size, args.lengths)
    batches = [views(windows, seed=0, step=step) for step in range(8)]
    tokens = statistics.mean(
        sum(int(group["padding_mask"].sum()) for group in batch.values())
        for batch in batches
    )
    size = sum(array.nbytes for array in tree.flatten(batches[0]))

    ways = {"memory copy": copy_of(batches[0])}
    try:
        ways["tf.data"] = through_tf_data(views, windows)
    except ImportError:
        print("TensorFlow is not installed: no row for tf.data.")
    ways["numpy"] = through_numpy(views, windows)
    name, run = on_the_device(views, windows)
    ways[name] = run

    for run in ways.values():
        run(0, 3)
    seconds = {way: [] for way in ways}
    for number in range(args.rounds):
        for way, run in ways.items():
            begin = time.perf_counter()
            run(number * args.batches, args.batches)
            seconds[way].append((time.perf_counter() - begin) / args.batches)

    print(
        f"KERAS_BACKEND={keras.backend.backend()} python "
        f"{shlex.join(sys.argv)}\n"
        f"{datetime.date.today()}, {processor_name()}, core {CORE} alone, "
        f"Python {platform.python_version()}, Keras {keras.__version__}\n"
        f"batch of {args.batch_size} windows, {tokens:,.0f} view tokens, "
        f"{size / 2**20:.1f} MiB; medians of {args.rounds} interleaved rounds "
        f"of {args.batches} batches\n"
    )
    print("| way | ms / batch | M view tokens / s | x memory copy |")
    print("|---|---|---|---|")
    copy = statistics.median(seconds["memory copy"])
    for way, times in seconds.items():
        median = statistics.median(times)
        print(
            f"| {way} | {median * 1e3:.2f} | {tokens / median / 1e6:.1f} "
            f"| {median / copy:.1f} |"
        )


def processor_name():
    with open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
