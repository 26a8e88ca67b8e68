"""Time of a full `fit` step, against the same mathematics in bare jax.

    KERAS_BACKEND=jax python benchmarks/train_step.py

`DinoLM` with its default objectives and `optimizers.adamw` trains by `fit` on
ready batches of the default views (2 global, 4 local; documents of full
length, vocabulary 8192, 1024 prototypes). The reference, `bare_jax.py`, does
what learning needs and nothing else, in one jitted function that owns its
state, from the same weights on the same batches in the same process. It comes
in two variants; the faster one counts. First all take a few steps and must
agree: the mean loss to 1e-5 of itself, every weight tensor of student and
teacher to 1e-5 and to 1e-3 of how far it has moved (root mean squares: Adam
makes a full step of a gradient's sign, however small, so a few single weights
amplify rounding). The script fails otherwise. Then they are timed in
turns, round by round, so that a busy moment hits them alike. Medians are over
the rounds, and the ratio is the median of the ratios within a round. The same
ratio of processor time, summed over threads, is printed as well: on a busy
machine it is the steadier one.

A `fit` step is a round over its steps, all that Keras does around a step
included; `verbose=0`, and the start of `fit` (tracing, compiling) is left out.
The share of the peak is the step's floating point operations in matrix
products, counted in the reference's program, over time, against a large
float32 product timed in the same rounds.

Then it times `fit` alone under torch and tensorflow, not compiled and compiled
(`jit_compile`), each in a process of its own with a time limit.

Machine, date and result: `RESULTS.md`, "A `fit` step against bare jax".
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# ruff: noqa: E402
import argparse
import datetime
import importlib.metadata
import itertools
import json
import math
import platform
import shlex
import statistics
import subprocess
import sys
import time

import keras
import numpy as np

import keras_dinolm as kd

VOCABULARY_SIZE = 8192
LEARNING_RATE = 1e-3
TOLERANCE = 1e-5
MOVE_TOLERANCE = 1e-3
CHECKED_STEPS = 3
PEAK_DIM = 2048
OTHERS = (
    ("torch", False),
    ("torch", True),
    ("tensorflow", False),
    ("tensorflow", True),
)


def make_batches(batch_size, sequence_length, count=4):
    """Batches of views of random documents of full length."""
    special = kd.views.SpecialTokens(
        pad_token_id=0, cls_token_id=2, mask_token_id=4
    )
    views = kd.views.TextViews(special, sequence_length)
    rng = np.random.default_rng(0)
    width = sequence_length - 1
    windows = {
        "lengths": np.full(batch_size, width, "int32"),
        "starts": np.zeros(batch_size, "int32"),
    }
    shape = (batch_size, width)
    return [
        views(
            {
                "token_ids": rng.integers(
                    5, VOCABULARY_SIZE, shape, dtype=np.int32
                ),
                **windows,
            },
            step=step,
        )
        for step in range(count)
    ]


def make_model(size, jit_compile):
    keras.utils.set_random_seed(0)
    model = kd.models.DinoLM(
        kd.models.DinoLMBackbone.from_size(size, VOCABULARY_SIZE)
    )
    optimizer = kd.optimizers.adamw(LEARNING_RATE, schedule="constant")
    model.compile(optimizer, jit_compile=jit_compile)
    return model


class Clock:
    """Wall and processor seconds, one entry a round."""

    def __init__(self):
        self.wall = []
        self.processor = []

    def __enter__(self):
        self.begin = time.perf_counter(), time.process_time()

    def __exit__(self, *exception):
        self.wall.append(time.perf_counter() - self.begin[0])
        self.processor.append(time.process_time() - self.begin[1])


class TimedEpochs(keras.callbacks.Callback):
    """Times the epochs of a `fit`, and runs something else between them."""

    def __init__(self, between=()):
        super().__init__()
        self.clock = Clock()
        self.between = between

    def on_epoch_begin(self, epoch, logs=None):
        self.clock.__enter__()

    def on_epoch_end(self, epoch, logs=None):
        # The epoch's logs are numbers by now, so the device is done.
        self.clock.__exit__()
        for run in self.between:
            run()


def fit(model, batches, steps, rounds=1, between=()):
    """The clock of `rounds` epochs of `steps`, and the mean loss of the last.

    The first round, which compiles, must not be the one that counts.
    """
    timed = TimedEpochs(between)
    history = model.fit(
        ((batch,) for batch in itertools.cycle(batches)),
        steps_per_epoch=steps,
        epochs=rounds,
        callbacks=[timed],
        verbose=0,
    )
    return timed.clock, history.history["loss"][-1]


# === Against bare jax ===


class Reference:
    """A variant of the bare step with its state and clock."""

    def __init__(self, name, model, batches):
        import bare_jax

        backbone = model.student.encoder.backbone
        settings = bare_jax.Settings(
            backbone.num_layers, backbone.num_heads, LEARNING_RATE
        )
        self.name = name
        self.paths = [
            weight.path.removeprefix("student/")
            for weight in model.student.weights
        ]
        self.start = [
            np.array(keras.ops.convert_to_numpy(weight))
            for weight in model.student.weights
        ]
        self.state = bare_jax.initial_state(dict(zip(self.paths, self.start)))
        self.step = bare_jax.make_step(settings, bare_jax.VARIANTS[name])
        self.batches = batches
        self.clock = Clock()

    def run(self, steps):
        """Takes steps from the first batch on; returns their mean loss."""
        import jax

        losses = []
        for batch in itertools.islice(itertools.cycle(self.batches), steps):
            self.state, logs = self.step(self.state, batch)
            losses.append(logs["loss"])
        jax.block_until_ready(self.state)
        return float(np.mean(losses))

    def time(self, steps):
        with self.clock:
            self.run(steps)

    def operations(self):
        """Floating point operations of a step in matrix products."""
        import jax

        return matrix_operations(
            jax.make_jaxpr(self.step)(self.state, self.batches[0]).jaxpr
        )

    def check(self, loss, fitted_loss, model):
        """Compares with what `fit` made; returns the largest difference."""
        worst = {"loss": abs(loss - fitted_loss) / abs(loss)}
        for role in ("student", "teacher"):
            weights = getattr(model, role).weights
            for path, start, weight in zip(
                self.paths, self.start, weights, strict=True
            ):
                expected = np.array(self.state[role][path])
                found = keras.ops.convert_to_numpy(weight)
                difference = root_mean_square(found - expected)
                moved = root_mean_square(expected - start)
                worst[f"{role} {path}"] = max(
                    difference, difference / moved * TOLERANCE / MOVE_TOLERANCE
                )
        name = max(worst, key=worst.get)
        if not worst[name] <= TOLERANCE:
            raise SystemExit(
                f"The reference {self.name!r} and `fit` disagree after "
                f"{CHECKED_STEPS} steps: {name} by {worst[name]:.1e}, "
                f"allowed {TOLERANCE:.0e}. No timing is meaningful."
            )
        return worst[name]


def root_mean_square(x):
    return float(np.sqrt(np.mean(np.square(x))))


def matrix_operations(jaxpr):
    """Twice the multiplications of all `dot_general` in a program."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            inner = math.prod(left[axis] for axis in contracted)
            total += 2 * inner * math.prod(equation.outvars[0].aval.shape)
        for value in equation.params.values():
            inner_jaxpr = getattr(value, "jaxpr", value)
            if hasattr(inner_jaxpr, "eqns"):
                total += matrix_operations(inner_jaxpr)
    return total


class Peak:
    """A large float32 matrix product."""

    def __init__(self):
        import jax
        import jax.numpy as jnp

        self.matrix = jnp.ones((PEAK_DIM, PEAK_DIM))
        self.product = jax.jit(jnp.matmul)
        self.product(self.matrix, self.matrix).block_until_ready()
        self.clock = Clock()

    def time(self):
        with self.clock:
            self.product(self.matrix, self.matrix).block_until_ready()

    def per_second(self):
        return 2 * PEAK_DIM**3 / statistics.median(self.clock.wall)


def compare(size, args):
    """Rows of the table: `fit` on jax, and the variants of the reference."""
    import bare_jax

    batches = make_batches(args.batch_size, args.sequence_length)
    model = make_model(size, jit_compile=True)
    references = [Reference(n, model, batches) for n in bare_jax.VARIANTS]
    _, fitted_loss = fit(model, batches, CHECKED_STEPS)
    differences = [
        reference.check(reference.run(CHECKED_STEPS), fitted_loss, model)
        for reference in references
    ]

    peak = Peak()
    between = [lambda r=r: r.time(args.steps) for r in references]
    clock, _ = fit(
        model, batches, args.steps, args.rounds, [*between, peak.time]
    )
    best = max(references, key=lambda r: ratios(clock, r.clock)[0])
    share = best.operations() / peak.per_second()
    print(
        f"{size}: `fit` and reference agree to {max(differences):.0e}; "
        f"{best.operations() / 1e9:.1f} GFLOP in matrix products a step, peak "
        f"{peak.per_second() / 1e9:.0f} GFLOP/s; load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    rows = [(f"{size} | jax `fit`", clock)]
    rows += [(f"{size} | bare jax, {r.name}", r.clock) for r in references]
    for name, each in rows:
        seconds = statistics.median(each.wall) / args.steps
        wall, processor = ratios(each, best.clock)
        print(
            f"| {name} | {seconds * 1e3:.0f} | {wall:.2f} | "
            f"{processor:.2f} | {share / seconds:.0%} |",
            flush=True,
        )


def ratios(clock, other):
    """Medians of the ratios within a round, of wall and processor time."""
    return [
        statistics.median(
            a / b
            for a, b in zip(
                getattr(clock, kind), getattr(other, kind), strict=True
            )
        )
        for kind in ("wall", "processor")
    ]


# === Other backends ===


def time_alone(size, args):
    """`fit` under this process' backend; prints a line of JSON."""
    batches = make_batches(args.batch_size, args.sequence_length)
    model = make_model(size, jit_compile=args.compiled)
    fit(model, batches, 2)
    clock, _ = fit(model, batches, args.steps, args.rounds)
    print(json.dumps(statistics.median(clock.wall) / args.steps))


def run_elsewhere(size, backend, compiled, args):
    """Starts this script under another backend; prints its row."""
    command = [
        *(sys.executable, __file__, "--backend", backend, "--sizes", size),
        *("--batch-size", str(args.batch_size), "--steps", str(args.steps)),
        *("--sequence-length", str(args.sequence_length)),
        *("--rounds", str(args.rounds)),
        *(["--compiled"] if compiled else []),
    ]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "KERAS_BACKEND": backend},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=args.time_limit,
        )
        if done.returncode:
            result = "failed: " + done.stderr.strip().splitlines()[-1]
        else:
            result = f"{json.loads(done.stdout.splitlines()[-1]) * 1e3:.0f}"
    except subprocess.TimeoutExpired:
        result = f"not finished in {args.time_limit:.0f} s"
    how = "compiled" if compiled else "not compiled"
    print(f"| {size} | {backend} `fit`, {how} | {result} | | | |", flush=True)


def processor_name():
    with open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    sizes = ("nano", "tiny", "mini")
    parser.add_argument("--sizes", nargs="+", default=sizes, metavar="SIZE")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--sequence-length", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=4, help="a round")
    parser.add_argument(
        "--time-limit",
        type=float,
        default=600,
        help="seconds for each run under another backend; 0 leaves them out",
    )
    parser.add_argument("--backend", help="time `fit` under this one alone")
    parser.add_argument(
        "--compiled", action="store_true", help="with --backend"
    )
    args = parser.parse_args()

    if args.backend:
        if args.backend != keras.backend.backend():
            parser.error(f"set KERAS_BACKEND={args.backend} as well")
        for size in args.sizes:
            time_alone(size, args)
        return

    if keras.backend.backend() != "jax":
        parser.error("the comparison runs under KERAS_BACKEND=jax")
    versions = []
    for package in ("keras", "jax", "torch", "tensorflow"):
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    print(
        f"KERAS_BACKEND=jax python {shlex.join(sys.argv)}\n"
        f"{datetime.date.today()}, {processor_name()}, "
        f"{len(os.sched_getaffinity(0))} cores, "
        f"Python {platform.python_version()}, {', '.join(versions)}\n"
        f"batch of {args.batch_size} documents of {args.sequence_length - 1} "
        f"tokens, 6 views each, float32; medians of {args.rounds} rounds of "
        f"{args.steps} steps\n\n"
        "| size | step | ms | x bare jax | x, processor time | of peak |\n"
        "|---|---|---|---|---|---|",
        flush=True,
    )
    for size in args.sizes:
        compare(size, args)
        for backend, compiled in OTHERS if args.time_limit else ():
            run_elsewhere(size, backend, compiled, args)


if __name__ == "__main__":
    main()
