"""Peak memory and time of a loss over many prototypes, whole and in chunks.

    python benchmarks/chunked_loss.py

`TokenDistillation` over random unit features of 256 dimensions, as it runs in
training: value, metrics, statistics, and the gradients to the student's
features and prototypes. *Direct* holds the logits whole (`max_logits` above
their number), *chunked* is what the objective does by default at this size.

Each case runs in a process of its own under its backend: jax compiled by XLA,
torch eager, tensorflow as a graph (and by XLA with `--compiled`), as `fit`
does by default on a CPU. Memory is the largest resident size during the runs
above that before the first, compiling included; for jax, XLA's own count of
temporary memory is printed as well. Time is the best of `--rounds` runs after
tracing and compiling. Loss and gradients of the two forms must agree to 1e-5
(gradients relative to their largest entry), or the script fails.

Cost: the full size needs 14 GiB and about ten minutes on two cores; a quick
check is `--tokens 1024 --prototypes 16384 --max-logits 2097152`. Machine, date
and result: `RESULTS.md`, "A loss over many prototypes".
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
import threading
import time

BACKENDS = ("jax", "torch", "tensorflow")
FORMS = ("direct", "chunked")
DIM = 256
TOLERANCE = 1e-5
GIB = 2**30


# === One case, in this process ===


def make_arrays(num_tokens, num_prototypes):
    """Unit rows for both networks; the student's are near the teacher's."""
    import numpy as np

    rng = np.random.default_rng(0)

    def unit(x, axis):
        return x / np.sqrt(np.sum(np.square(x), axis=axis, keepdims=True))

    teacher = rng.standard_normal((num_tokens, DIM), dtype="float32")
    noise = rng.standard_normal((num_tokens, DIM), dtype="float32")
    prototypes = rng.standard_normal((DIM, num_prototypes), dtype="float32")
    return (
        unit(teacher, 1),
        unit(teacher + noise, 1),
        unit(prototypes, 0),
    )


def make_loss(form, targets, num_tokens, num_prototypes, max_logits):
    """`(teacher, student, prototypes) -> (loss, extras)`."""
    import numpy as np
    from keras import ops

    import keras_dinolm as kd

    class Lesson:
        roles = {"global": ("student", "teacher")}

    Lesson.num_prototypes = num_prototypes
    if form == "direct":
        max_logits = num_tokens * num_prototypes
    layer = {"centering": kd.layers.Centering, "sinkhorn": kd.layers.Sinkhorn}
    objective = kd.objectives.TokenDistillation(
        targets=layer[targets](),
        max_logits=max_logits or kd.losses.MAX_LOGITS,
    )
    objective.build_for(Lesson)
    views = {
        "masked": np.ones((1, 1, num_tokens), "bool"),
        "masked_indices": np.arange(num_tokens, dtype="int32")[None, None],
    }

    def loss(teacher, student, prototypes):
        fixed = ops.stop_gradient(prototypes)
        result = objective.compute(
            kd.objectives.Features(
                batch={"global": views},
                student={"global": {"tokens": student[None, None]}},
                teacher={"global": {"tokens": teacher[None, None]}},
                update=0,
                student_logits=lambda _, x: ops.matmul(x, prototypes),
                teacher_logits=lambda _, x: ops.matmul(x, fixed),
                student_factors=lambda _, x: (x, prototypes),
                teacher_factors=lambda _, x: (x, fixed),
            )
        )
        return result.loss, (result.metrics, result.statistics)

    return loss


def make_step(loss, arrays, compiled):
    """A function without arguments that returns loss and gradients.

    Returns:
        `(step, temporary)`: XLA's count of temporary bytes, or `None`.
    """
    import keras

    backend = keras.backend.backend()
    tensors = [keras.ops.convert_to_tensor(array) for array in arrays]
    if backend == "jax":
        import jax

        step = jax.jit(jax.value_and_grad(loss, argnums=(1, 2), has_aux=True))
        program = step.lower(*tensors).compile()
        temporary = program.memory_analysis().temp_size_in_bytes

        def run():
            (value, _), gradients = jax.block_until_ready(program(*tensors))
            return value, gradients

        return run, temporary
    if backend == "torch":
        import torch

        learned = [tensor.detach().requires_grad_() for tensor in tensors[1:]]

        def run():
            value, _ = loss(tensors[0], *learned)
            return value.detach(), torch.autograd.grad(value, learned)

        return run, None

    import tensorflow as tf

    @tf.function(jit_compile=compiled)
    def graph(teacher, *learned):
        with tf.GradientTape() as tape:
            tape.watch(learned)
            value, extras = loss(teacher, *learned)
        return value, tape.gradient(value, learned), extras

    # This traces the function; XLA compiles it in a first run.
    program = graph.get_concrete_function(*tensors)

    def run():
        value, gradients, _ = program(*tensors)
        return value, [tf.convert_to_tensor(g) for g in gradients]

    return run, None


class PeakMemory:
    """The largest resident size of this process within a `with`."""

    def __enter__(self):
        self.start = self.peak = self._now()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._stop.set()
        self._thread.join()
        self.rise = self.peak - self.start

    def _watch(self):
        while not self._stop.wait(0.005):
            self.peak = max(self.peak, self._now())

    @staticmethod
    def _now():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def run_case(args):
    """Measures one case; prints a line of JSON."""
    import keras
    import numpy as np

    form, targets = args.case
    size = (args.tokens, args.prototypes)
    # Libraries start threads and build tables when they are first used.
    small = (64, 512)
    warm_up, _ = make_step(
        make_loss(form, targets, *small, 64 * 64),
        make_arrays(*small),
        args.compiled,
    )
    warm_up()
    loss = make_loss(form, targets, *size, args.max_logits)
    arrays = make_arrays(*size)
    seconds = []
    with PeakMemory() as memory:
        step, temporary = make_step(loss, arrays, args.compiled)
        if args.compiled:
            step()
        for _ in range(args.rounds):
            begin = time.perf_counter()
            value, gradients = step()
            value = float(keras.ops.convert_to_numpy(value))
            seconds.append(time.perf_counter() - begin)
    gradients = [keras.ops.convert_to_numpy(g) for g in gradients]
    if args.save:
        # Imported here, since the master imports no backend.
        from keras_dinolm import files

        with files.write_file(args.save) as file:
            np.savez(file, value, *gradients)
    result = {
        "seconds": min(seconds),
        "bytes": memory.rise,
        "temporary": temporary,
        "loss": value,
    }
    print(json.dumps(result))


# === All cases ===


def start_case(backend, form, targets, args, save):
    """Runs a case elsewhere and returns what it measured."""
    command = [
        *(sys.executable, __file__, "--case", form, targets),
        *("--tokens", str(args.tokens), "--rounds", str(args.rounds)),
        *("--prototypes", str(args.prototypes), "--save", save),
    ]
    if args.max_logits:
        command += ["--max-logits", str(args.max_logits)]
    if args.compiled:
        command += ["--compiled"]
    done = subprocess.run(
        command,
        env={
            **os.environ,
            "KERAS_BACKEND": backend,
            "TF_CPP_MIN_LOG_LEVEL": "3",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise SystemExit(
            f"{backend}, {targets}, {form} failed with {done.returncode} "
            f"(-9: out of memory):\n{done.stderr[-2000:]}"
        )
    return json.loads(done.stdout.splitlines()[-1])


def difference(saved):
    """The largest difference of value and gradients between the forms."""
    import numpy as np

    direct, chunked = (
        [np.load(path)[f"arr_{i}"] for i in range(3)] for path in saved
    )
    worst = abs(direct[0] - chunked[0]) / abs(direct[0])
    for a, b in zip(direct[1:], chunked[1:], strict=True):
        worst = max(worst, np.max(np.abs(a - b)) / np.max(np.abs(a)))
    if not worst <= TOLERANCE:
        raise SystemExit(f"The forms differ by {worst:.1e}.")
    return worst


def run_all(args):
    import tempfile

    versions = []
    for package in ("keras", "jax", "torch", "tensorflow"):
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    print(
        f"python {shlex.join(sys.argv)}\n"
        f"{datetime.date.today()}, {platform.machine()}, "
        f"{len(os.sched_getaffinity(0))} cores, load "
        f"{os.getloadavg()[0]:.1f}, Python {platform.python_version()}, "
        f"{', '.join(versions)}\n"
        f"{args.tokens} tokens, {args.prototypes} prototypes, {DIM} "
        f"dimensions, float32; best of {args.rounds}\n\n"
        "| backend | targets | form | peak, GiB | XLA temporary, GiB | s | "
        "memory | time | differs by |\n|---|---|---|---|---|---|---|---|---|",
        flush=True,
    )
    for backend in args.backends:
        for targets in args.targets:
            with tempfile.TemporaryDirectory() as folder:
                saved = [f"{folder}/{form}.npz" for form in FORMS]
                found = {}
                for form, save in zip(FORMS, saved, strict=True):
                    found[form] = start_case(backend, form, targets, args, save)
                    print_row(backend, targets, form, found, saved)


def print_row(backend, targets, form, found, saved):
    case, direct = found[form], found["direct"]
    cells = [backend, targets, form, f"{case['bytes'] / GIB:.2f}"]
    temporary = case["temporary"]
    cells.append("" if temporary is None else f"{temporary / GIB:.2f}")
    cells.append(f"{case['seconds']:.1f}")
    if form == "chunked":
        cells += [
            f"{case['bytes'] / direct['bytes']:.2f}",
            f"{case['seconds'] / direct['seconds']:.2f}",
            f"{difference(saved):.0e}",
        ]
    else:
        cells += ["1", "1", ""]
    print("| " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tokens", type=int, default=8_192)
    parser.add_argument("--prototypes", type=int, default=65_536)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--max-logits", type=int, help="of the chunked form; its default"
    )
    parser.add_argument(
        "--backends", nargs="+", choices=BACKENDS, default=BACKENDS
    )
    parser.add_argument(
        "--targets",
        nargs="+",
        choices=("centering", "sinkhorn"),
        default=("centering", "sinkhorn"),
    )
    parser.add_argument(
        "--compiled", action="store_true", help="tensorflow by XLA"
    )
    parser.add_argument("--case", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--save", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        run_case(args)
    else:
        run_all(args)


if __name__ == "__main__":
    main()
