"""Many threads encode at once and are interrupted at random moments.

    KERAS_BACKEND=jax python benchmarks/serve_threads.py

Eight threads make 2,000 calls of `encode`, of one text and of many. In the
meantime 200 `KeyboardInterrupt`s are raised in them, at random moments, in
one go also by a real SIGINT in the main thread, which encodes as well. Each
result is compared with that of one thread alone. The first calls, which
compile, are among them. In the end one thread encodes all texts once more,
after `set_weights`, `quantize` and `fit` in other threads.

It prints counts and ends with an error if a result is wrong, a call fails
otherwise, or the embedder is dead. It takes one to five minutes.
"""

import argparse
import ctypes
import os
import random
import signal
import sys
import threading
import time

import keras
import numpy as np

import keras_dinolm as kd

WORDS = [f"word{i}" for i in range(200)]


def make_embedder():
    """An untrained embedder and texts of many lengths."""
    keras.utils.set_random_seed(0)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = kd.models.DinoLMTokenizer([*special, *WORDS])
    backbone = kd.models.DinoLMBackbone(
        tokenizer.vocabulary_size(),
        num_layers=2,
        num_heads=2,
        hidden_dim=32,
        intermediate_dim=64,
        embedding_stddev=1.0,
    )
    return kd.models.DinoLMTextEmbedder(
        backbone, kd.models.DinoLMTextPreprocessor(tokenizer, 64)
    )


def make_calls(count, seed):
    """Lists of one to nine texts."""
    draw = random.Random(seed)
    return [
        [
            " ".join(draw.choices(WORDS, k=draw.randrange(60)))
            for _ in range(draw.choice([1, 1, 2, 9]))
        ]
        for _ in range(count)
    ]


class Worker(threading.Thread):
    """Encodes its calls one after the other, again if interrupted."""

    def __init__(self, encode, calls):
        super().__init__(daemon=True)
        self.encode = encode
        self.calls = calls
        self.results = {}
        self.sent = self.interrupts = 0
        self.errors = {}
        self.encoding = False

    def run(self):
        while len(self.results) + len(self.errors) < len(self.calls):
            # An interrupt may also arrive between two calls.
            try:
                self.encode_rest()
            except KeyboardInterrupt:
                self.interrupts += 1
                self.encoding = False

    def is_free(self):
        return self.sent == self.interrupts

    def encode_rest(self):
        for index, texts in enumerate(self.calls):
            if index in self.results or index in self.errors:
                continue
            self.encoding = True
            try:
                self.results[index] = self.encode(texts, batch_size=4)
            except Exception as error:
                self.errors[index] = error
            self.encoding = False


def interrupt(worker):
    """Raises `KeyboardInterrupt` in a thread."""
    raised = ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(worker.ident), ctypes.py_object(KeyboardInterrupt)
    )
    assert raised == 1


def encode_interrupted(encode, calls, threads, interrupts, seed):
    """Runs the threads, the last of them the main thread."""
    shares = [calls[i::threads] for i in range(threads)]
    workers = [Worker(encode, share) for share in shares]
    *others, main = workers
    main_ended = threading.Event()

    def send():
        # Spread over the calls, the first of which compile.
        draw = random.Random(seed)
        moments = sorted(draw.uniform(0, len(calls)) for _ in range(interrupts))
        for moment in moments:
            while sum(len(w.results) for w in workers) < 0.95 * moment:
                time.sleep(0.0005)
            time.sleep(draw.uniform(0, 0.005))
            # A second one would take the place of one that is under way.
            free = []
            while not free:
                free = [w for w in workers if w.encoding and w.is_free()]
                time.sleep(0.0005)
            worker = draw.choice(free)
            worker.sent += 1
            if worker is main:
                os.kill(os.getpid(), signal.SIGINT)
            else:
                interrupt(worker)

    for worker in others:
        worker.start()
    sender = threading.Thread(target=send)
    sender.start()
    while not main_ended.is_set():
        # An interrupt may also arrive between two calls.
        try:
            main.run()
            sender.join()
            for worker in others:
                worker.join()
            main_ended.set()
        except KeyboardInterrupt:
            main.interrupts += 1
            main.encoding = False
    return workers, shares


def check_changes(embedder, texts):
    """Encodes while other threads change the weights; counts mixtures."""
    old = embedder.get_weights()
    new = [w + np.float32(0.1) * np.sign(w + 1e-3) for w in old]
    allowed = []
    for weights in (old, new):
        embedder.set_weights(weights)
        allowed.append(embedder.encode(texts))
    assert np.abs(allowed[0] - allowed[1]).max() > 1e-2
    stop = threading.Event()

    def flip():
        for turn in range(10_000):
            if stop.is_set():
                return
            embedder.set_weights((old, new)[turn % 2])

    flipper = threading.Thread(target=flip)
    flipper.start()
    mixed = 0
    for _ in range(50):
        found = embedder.encode(texts)
        near = [np.abs(found - x).max(axis=1) < 1e-5 for x in allowed]
        mixed += int((~(near[0] | near[1])).sum())
    stop.set()
    flipper.join()

    # `fit` in another thread: the features of before, then those of after.
    embedder.set_weights(old)
    embedder.compile("sgd", "mse")
    trainer = threading.Thread(
        target=embedder.fit,
        args=(texts * 8, np.zeros((8 * len(texts), 32), "float32")),
        kwargs={"epochs": 4, "verbose": 0, "batch_size": 4},
    )
    trainer.start()
    during = []
    while trainer.is_alive():
        during.append(embedder.encode(texts))
    trainer.join()
    after = embedder.encode(texts)
    assert np.abs(after - allowed[0]).max() > 1e-4
    for found in during:
        near = [
            np.abs(found - x).max(axis=1) < 1e-5 for x in (allowed[0], after)
        ]
        mixed += int((~(near[0] | near[1])).sum())
    embedder.backbone.quantize("int8")
    quantized = embedder.encode(texts)
    rows = embedder.preprocessor(texts)
    expected = embedder.backbone(rows, training=False)["pooled_output"]
    expected = keras.ops.convert_to_numpy(expected)
    assert np.abs(quantized - after).max() > 1e-5
    return mixed, len(during), float(np.abs(quantized - expected).max())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--interrupts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    calls = make_calls(options.calls, options.seed)
    reference = make_embedder()
    expected = [reference.encode(texts, batch_size=4) for texts in calls]

    # Another embedder, which has compiled nothing yet.
    embedder = make_embedder()
    start = time.perf_counter()
    workers, shares = encode_interrupted(
        embedder.encode,
        calls,
        options.threads,
        options.interrupts,
        options.seed,
    )
    seconds = time.perf_counter() - start
    worst, done = 0.0, 0
    for number, worker in enumerate(workers):
        for index in range(len(shares[number])):
            if index in worker.results:
                right = expected[number + index * options.threads]
                found = worker.results[index]
                worst = max(worst, float(np.abs(found - right).max()))
                done += 1
    errors = [error for worker in workers for error in worker.errors.values()]
    hits = sum(worker.interrupts for worker in workers)
    by_signal = workers[-1].sent
    by_thread = sum(worker.sent for worker in workers) - by_signal
    again = embedder.encode(calls[0], batch_size=4)
    alive = float(np.abs(again - expected[0]).max())
    mixed, during, quantized = check_changes(embedder, calls[0] + calls[3])
    backend = keras.backend.backend()
    print(
        f"{backend}: {options.threads} threads, {done} of {options.calls} "
        f"calls right to {worst:.1e}, {len(errors)} errors, "
        f"{by_thread} interrupts of threads and {by_signal} SIGINTs sent, "
        f"{hits} raised KeyboardInterrupt, {seconds:.0f} s; "
        f"afterwards alive to {alive:.1e}; with weights changed meanwhile: "
        f"{mixed} mixed features, {during} calls during `fit`, quantized "
        f"to {quantized:.1e}",
        flush=True,
    )
    for error in errors[:3]:
        print(repr(error), file=sys.stderr)
    right = done == options.calls and worst < 1e-6 and alive < 1e-6
    enough = hits >= options.interrupts
    # Integer kernels of the backends round the last digits differently when
    # they are compiled.
    same = mixed == 0 and quantized < 1e-2
    if not (right and enough and same and not errors):
        sys.exit("wrong")


if __name__ == "__main__":
    main()
