"""The trial of `self_distillation.py` at larger scale: one call on a GPU.

    python benchmarks/self_distillation_gpu.py prepare --data FOLDER
    python benchmarks/self_distillation_gpu.py run

`prepare` needs the package registry: it puts wheels of what a machine with jax
and PyTorch lacks (keras, keras-hub without TensorFlow, and what they need) and
the texts, tokenized and counted, into `runs/gpu`, and prints the one command
for that machine, which must run in the root of the same checkout with
`runs/gpu` beside it. `run` needs no network, no TensorFlow and no git.

It trains a bag of embeddings, then blocks of `--size` on top, once for each
target. Each target has the same seconds of the device, with batches that are
ready before. In the end all encoders are measured on dev files, each in a
process of its own. Each is a line of `--results`, and the table is printed.

What differs from the trial on a CPU: time is measured on the wall, since the
device is not shared; the rate falls by a cosine of time; the moving average
has one momentum; and probes of tokens train on `--rows` rows.

Cost: `--minutes` of one GPU, all told.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

BEGIN = time.perf_counter()

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# All processes that measure share one device.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

HERE = pathlib.Path(__file__).resolve().parent
for folder in (HERE, HERE.parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

FOLDER = HERE.parent / "runs" / "gpu"
WHEELS = ("keras", "keras-hub", "kagglehub", "kagglesdk", "optree", "namex")
DATA = ("corpus", "classification", "nli", "retrieval", "slots", "sts")
WRITTEN = ("code.json", "data", "out", "wheels", "xla")
TARGETS = ("masked_lm", "units_500", "ibot", "data2vec", "masked_lm_units")

# Batches that are made before the clock starts, and read in turns.
NUM_BATCHES, EPOCH = 300, 50
BATCH_SIZE, RATE, MOMENTUM, WARMUP = 512, 1e-3, 0.995, 0.05
# Seconds that are kept for measuring.
MEASURING = 170.0


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("do", choices=["prepare", "run", "measure"])
    add("--data", type=pathlib.Path, help="folder of corpus and tasks")
    add("--folder", type=pathlib.Path, default=FOLDER, help="what travels")
    add("--size", default="small", help="of the encoder, see kd.models.SIZES")
    add("--dtype", default="mixed_bfloat16", help="a Keras dtype policy")
    add("--minutes", type=float, default=9.5, help="of all, from the start")
    add("--targets", nargs="+", default=TARGETS)
    add("--batch-size", type=int, default=BATCH_SIZE)
    add("--num-batches", type=int, default=NUM_BATCHES)
    add("--rows", type=int, default=1_000, help="training rows of a probe")
    add("--measuring", type=float, default=MEASURING, help="seconds kept")
    add("--results", type=pathlib.Path, default=pathlib.Path("gpu.jsonl"))
    add("--weights", type=pathlib.Path, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments=None):
    args = parse_arguments(arguments)
    return {"prepare": prepare, "run": run, "measure": measure}[args.do](args)


# === Here ===


def prepare(args):
    """Fills the folder that travels."""
    if args.data is None:
        raise SystemExit("`prepare` needs --data FOLDER")
    from quality import origin as code_and_machine

    from keras_dinolm import files

    files.claim_folder(args.folder, "trial on a GPU", WRITTEN)
    constraints = HERE.parent / "constraints.txt"
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
        *("--only-binary=:all:", "--python-version", "3.12"),
        *("--implementation", "cp", "-c", constraints),
        *("--platform", "manylinux_2_28_x86_64"),
        *("--platform", "manylinux_2_17_x86_64"),
        *("--platform", "manylinux2014_x86_64"),
        *("-d", args.folder / "wheels", *WHEELS),
    ]
    subprocess.run(list(map(str, command)), check=True)
    for name in DATA:
        for path in sorted((args.data / name).rglob("*.*")):
            copy = args.folder / "data" / path.relative_to(args.data)
            with files.write_file(copy) as file:
                file.write(path.read_bytes())
    # What takes the device's time and not its arithmetic.
    workshop = open_workshop(args)
    workshop.tokens, workshop.counted_bag()
    files.write_json(args.folder / "code.json", code_and_machine()["commit"])
    size = sum(f.stat().st_size for f in args.folder.rglob("*") if f.is_file())
    folder = os.path.relpath(args.folder, HERE.parent)
    print(
        f"{args.folder}: {size / 1e6:.0f} MB. Carry it, and run in the root "
        "of the repository:\n"
        "python3 -m pip install -q --no-index --no-deps --no-compile "
        f"--target /tmp/site {folder}/wheels/*.whl && "
        "PYTHONUNBUFFERED=1 PYTHONPATH=/tmp/site python3 "
        f"benchmarks/self_distillation_gpu.py run --folder {folder} "
        "--results $OUT/gpu.jsonl 2>&1 | tee $OUT/log"
    )


# === There ===


def run(args):
    """Trains one target after the other, then measures all."""
    import keras
    from fair_trial.families import FAMILIES
    from fair_trial.workshop import save_weights

    workshop, out = open_workshop(args), args.folder / "out"
    family = FAMILIES["tokens"]
    say(args, f"begins on {devices()}")
    start = workshop.start("bag", 0)
    say(args, "the bag is trained")
    batches = ready_batches(args, workshop, family)
    say(args, f"{len(batches)} batches are ready")
    made = [(out / "start.npz", {"target": "start", "steps": 0})]
    keras.utils.set_random_seed(0)
    save_weights(made[0][0], family.backbone(start, args.size))
    for index, name in enumerate(args.targets):
        left = 60 * args.minutes - args.measuring - elapsed()
        seconds = left / (len(args.targets) - index)
        begin = time.perf_counter()
        backbone, done = train(
            args, workshop, family, name, start, batches, seconds
        )
        path = out / f"{name}.npz"
        save_weights(path, backbone)
        made.append((path, {"target": name, **done}))
        say(args, f"{name}: {done}, {time.perf_counter() - begin:.0f} s in all")
    records = measure_all(args, made)
    print(table(records))
    return 0 if len(records) == len(made) else 1


def open_workshop(args):
    import jax
    import keras
    from fair_trial.workshop import Workshop

    # The processes that measure compile the same programs.
    jax.config.update("jax_compilation_cache_dir", str(args.folder / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    keras.config.set_dtype_policy(args.dtype)
    return Workshop(args.folder / "data", args.folder / "out", args.size)


def devices():
    import jax

    return ", ".join(device.device_kind for device in jax.devices())


def elapsed():
    return time.perf_counter() - BEGIN


def say(args, what):
    print(f"{elapsed():5.0f} s of {60 * args.minutes:.0f}: {what}", flush=True)


def ready_batches(args, workshop, family):
    """Batches on the device, the same for all targets."""
    import jax
    import numpy as np

    views = family.views["words"](workshop.tokenizer)
    data = iter(workshop.dataset(views, args.batch_size, 0))
    batches = []
    for _ in range(args.num_batches):
        batch = next(data)
        batch = batch[0] if isinstance(batch, tuple) else batch
        batches.append(
            jax.tree.map(lambda x: jax.device_put(np.array(x)), batch)
        )
    return batches


def train(args, workshop, family, name, start, batches, seconds):
    """Trains for a time that begins after what compiles.

    Returns:
        `(backbone, done)`: the moving average, and a dict of numbers.
    """
    import itertools

    import keras
    from fair_trial.training import build

    import keras_dinolm as kd

    variant = family.variants[name]
    begin = time.perf_counter()
    model, _ = build(workshop, family, variant, 0, start, 2_000, 0, MOMENTUM)
    model.compile(
        kd.optimizers.adamw(
            RATE, schedule="constant", multipliers=family.multipliers
        ),
        jit_compile=True,
    )
    clock = CosineOfTime(keras, seconds - (time.perf_counter() - begin))
    history = model.fit(
        ((batch,) for batch in itertools.cycle(batches)),
        steps_per_epoch=EPOCH,
        epochs=1_000_000,
        callbacks=[clock.callback],
        verbose=0,
    )
    done = {
        "steps": EPOCH * len(history.epoch),
        "train_seconds": round(clock.trained(), 1),
        "loss": round(float(history.history["loss"][-1]), 4),
    }
    return model.learned().encoder.backbone, done


class CosineOfTime:
    """A warm-up and a cosine of the time that has passed, then the end.

    The first epoch compiles, at a rate near 0, and does not count.

    Args:
        keras: the module.
        seconds: float. Of all epochs, the first one included.
    """

    def __init__(self, keras, seconds):
        self.end = time.perf_counter() + seconds
        self.begin = None
        self.callback = keras.callbacks.LambdaCallback(
            on_epoch_begin=self.set_rate, on_epoch_end=self.stop
        )

    def set_rate(self, epoch, logs=None):
        import math

        optimizer = self.callback.model.optimizer
        if epoch == 0:
            optimizer.learning_rate = 1e-3 * RATE
            return
        if self.begin is None:
            self.begin = time.perf_counter()
        share = (time.perf_counter() - self.begin) / self.length()
        falling = 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
        optimizer.learning_rate = RATE * max(
            min(falling, (share + 1e-3) / WARMUP), 1e-3
        )

    def stop(self, epoch, logs=None):
        if time.perf_counter() >= self.end:
            self.callback.model.stop_training = True

    def length(self):
        return max(self.end - self.begin, 1.0)

    def trained(self):
        return 0.0 if self.begin is None else time.perf_counter() - self.begin


# === Measures ===


def measure_all(args, made):
    """Each encoder in a process of its own; records of those that worked."""
    import datetime

    from keras_dinolm import files

    processes = []
    threads = str(max((os.cpu_count() or 1) // len(made), 1))
    for path, _ in made:
        command = [
            *(sys.executable, __file__, "measure", "--weights", path),
            *("--folder", args.folder, "--size", args.size),
            *("--dtype", args.dtype, "--rows", args.rows),
        ]
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        processes.append(
            subprocess.Popen(
                list(map(str, command)),
                env={**os.environ, **dict.fromkeys(names, threads)},
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    records = []
    for process, (_, done) in zip(processes, made, strict=True):
        output, _ = process.communicate()
        say(args, f"{done['target']}: measured, status {process.returncode}")
        if process.returncode == 0:
            scores = json.loads(output.splitlines()[-1])
            record = {
                **done,
                "scores": scores,
                "size": args.size,
                "dtype": args.dtype,
                "batch_size": args.batch_size,
                "device": devices(),
                "commit": files.read_json_or_set_aside(
                    args.folder / "code.json"
                ),
                "date": datetime.date.today().isoformat(),
            }
            files.append_json_line(args.results, record)
            records.append(record)
    return records


def measure(args):
    """In a process of its own: prints the scores as a line of JSON."""
    import keras
    from fair_trial.families import FAMILIES
    from fair_trial.measures import measure
    from fair_trial.workshop import load_weights

    workshop = open_workshop(args)
    family = FAMILIES["tokens"]
    keras.utils.set_random_seed(0)
    backbone = family.backbone(workshop.bag_shape(), args.size)
    load_weights(args.weights, backbone)
    scores = measure(
        workshop, backbone, family.layers, slots=args.rows, rows=args.rows
    )
    print(json.dumps(scores))


def table(records):
    """The same columns as the trial's."""
    from fair_trial.families import FAMILIES
    from fair_trial.report import COLUMNS
    from fair_trial.report import score

    columns = COLUMNS["tokens"]
    head = ["target", "steps", "ms a step", *columns]
    rows = [head, ["---"] * len(head)]
    for record in records:
        seconds, steps = record.get("train_seconds", 0.0), record["steps"]
        each = 1_000 * seconds / (steps - EPOCH) if steps > EPOCH else 0.0
        variant = FAMILIES["tokens"].variants[record["target"]]
        rows.append(
            [
                variant.title,
                f"{steps:,}",
                f"{each:.1f}",
                *(f"{score(record, path):.1f}" for path in columns.values()),
            ]
        )
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


if __name__ == "__main__":
    sys.exit(main())
