"""A token store of many shards, read where few files may be open.

    python benchmarks/many_shards.py
    python benchmarks/many_shards.py --shards 1000 --descriptors 256

Tokenizes a corpus of random words into as many shards, under a limit of open
files, and reads all of it: each document by its number, in order and at random,
and an epoch of `view_dataset` with and without `tf.data`. Every id is compared
with that of the tokenizer. Prints counts, times, and the most descriptors that
were open.

Needs about a minute on two cores. It ends with status 1 if something is wrong.
"""

import argparse
import os
import pathlib
import resource
import sys
import tempfile
import time

import numpy as np

import keras_dinolm as kd

WORDS = 2_000
DOCUMENTS_PER_SHARD = 8


def make_texts(count, generator):
    words = np.array([f"w{i}" for i in range(WORDS)])
    return [
        " ".join(generator.choice(words, generator.integers(20, 90)))
        for _ in range(count)
    ]


class Windows:
    """Takes the place of `TextViews`, and returns the windows as they are."""

    sequence_length = 65

    def __call__(self, windows, seed, step):
        return windows


class Descriptors:
    """The most descriptors that were open."""

    most = 0

    def look(self):
        self.most = max(self.most, len(os.listdir("/proc/self/fd")))


def read_documents(store, expected, order, descriptors):
    wrong = 0
    start = time.perf_counter()
    for index in order:
        wrong += store[int(index)].tolist() != expected[index]
    seconds = time.perf_counter() - start
    descriptors.look()
    return wrong, seconds


def read_epoch(store, expected, use_tf_data, descriptors):
    """Reads an epoch; returns how many tokens were seen, of how many."""
    start = time.perf_counter()
    dataset = kd.data.view_dataset(
        store,
        Windows(),
        64,
        num_epochs=1,
        drop_remainder=False,
        use_tf_data=use_tf_data,
    )
    windows, found = 0, set()
    steps = range(len(dataset))
    batches = dataset if use_tf_data else (dataset[i] for i in steps)
    for batch in batches:
        rows = np.asarray(batch["token_ids"])
        lengths = np.asarray(batch["lengths"])
        windows += len(rows)
        for row, length in zip(rows, lengths):
            found.add(row[:length].tobytes())
        descriptors.look()
    seconds = time.perf_counter() - start
    # Documents of one window must have come whole.
    whole = [np.array(row, "int32").tobytes() for row in expected]
    short = [row for row in whole if len(row) <= 64 * 4]
    return windows, sum(row not in found for row in short), seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shards", type=int, default=1_000)
    parser.add_argument("--descriptors", type=int, default=256)
    parser.add_argument("--directory", type=pathlib.Path)
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (arguments.descriptors, hard))
    generator = np.random.default_rng(0)
    texts = make_texts(arguments.shards * DOCUMENTS_PER_SHARD, generator)
    tokenizer = kd.models.DinoLMTokenizer(
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        + [f"w{i}" for i in range(WORDS)]
    )
    with tempfile.TemporaryDirectory(dir=arguments.directory) as folder:
        sys.exit(measure(texts, tokenizer, folder, arguments, generator))


def measure(texts, tokenizer, folder, arguments, generator):
    descriptors = Descriptors()
    # The document that closes a shard goes beyond this size.
    size = sum(len(text) + 16 for text in texts) // arguments.shards
    start = time.perf_counter()
    kd.data.tokenize(
        texts,
        tokenizer,
        folder,
        shard_characters=size - 300,
        show_progress=False,
    )
    print(f"tokenize: {time.perf_counter() - start:.1f} s")
    start = time.perf_counter()
    store = kd.data.TokenStore.open(folder, tokenizer)
    print(f"{store!r}\nopen: {time.perf_counter() - start:.2f} s")
    descriptors.look()
    expected = tokenizer.tokenize(texts)
    wrong = 0
    orders = {
        "in order": np.arange(len(store)),
        "at random": generator.permutation(len(store)),
    }
    for name, order in orders.items():
        bad, seconds = read_documents(store, expected, order, descriptors)
        wrong += bad
        print(
            f"documents {name}: {len(order):,} read, {bad} wrong, "
            f"{1e6 * seconds / len(order):.0f} microseconds each"
        )
    for use_tf_data in (False, True):
        windows, missing, seconds = read_epoch(
            store, expected, use_tf_data, descriptors
        )
        wrong += missing
        print(
            f"view_dataset(use_tf_data={use_tf_data}): {windows:,} windows, "
            f"{missing} missing, {windows / seconds:,.0f} windows/s"
        )
    print(f"descriptors: at most {descriptors.most} of {arguments.descriptors}")
    few = len(store.shards) < arguments.shards
    if few:
        print(f"only {len(store.shards)} shards were made")
    return int(bool(wrong or few))


if __name__ == "__main__":
    main()
