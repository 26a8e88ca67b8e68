"""Features of a finished run, and which layers they are taken from.

python benchmarks/tried_features.py CORE OUTPUT SPLIT SIZE MINUTES METHOD SEED
"""

import os, sys, json

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
for k in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
):
    os.environ[k] = "1"
sys.path[:0] = ["benchmarks", "."]
core, out, split, size, minutes, name, seed = sys.argv[1:8]
os.sched_setaffinity(0, {int(core)})
import numpy as np, keras
import quality, keras_dinolm as kd
from contest import methods
from contest.run import Workshop, _make, _train
from contest.route import all_methods

args = quality.parse_arguments(
    [
        "--data",
        "../shared/data",
        "--size",
        size,
        "--minutes",
        minutes,
        "--methods",
        name,
        "--split",
        split,
        "--output",
        out,
        "--max-train",
        "4000",
        "--probe-tasks",
    ]
)
w = Workshop(args)


def copy(backbone, layers):
    cfg = backbone.get_config()
    cfg["pooled_layers"] = layers
    b = type(backbone).from_config(cfg)
    b.set_weights(backbone.get_weights())
    return b


if name == "untrained":
    keras.utils.set_random_seed(int(seed))
    base = methods.encoder(size, w.tokenizer)
else:
    m = all_methods()[name]
    folder = quality.run_folder(args, name, int(seed))
    cal = json.loads(quality.calibration_path(args).read_text())
    before, ss, steps = m.plan(args.minutes, cal)
    start = None
    if m.start:
        sh = _make(w, m.start, int(seed), ss)
        _train(w, m.start, int(seed), sh, ss, folder / "start")
        start = getattr(sh, m.start.network).encoder.backbone
    model = _make(w, m, int(seed), steps, start)
    _train(w, m, int(seed), model, steps, folder / "checkpoints", steps)
    base = getattr(model, m.network).encoder.backbone
E0 = methods.embedder(copy(base, (0,)), w.tokenizer, 256)
E1 = methods.embedder(copy(base, (-1,)), w.tokenizer, 256)
cache = {}


def enc(tag, E, texts):
    c = cache.setdefault(tag, {})
    new = [t for t in dict.fromkeys(texts) if t not in c]
    if new:
        c.update(zip(new, np.asarray(E.encode(new))))
    return np.stack([c[t] for t in texts])


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


class F:
    def __init__(s, f):
        s.f = f

    def encode(s, texts):
        return s.f(enc("0", E0, texts), enc("1", E1, texts))


variants = {
    "first": F(lambda a, b: a),
    "last": F(lambda a, b: b),
    "concat_.3": F(lambda a, b: np.concatenate([unit(a), 0.3 * unit(b)], 1)),
    "concat_1": F(lambda a, b: np.concatenate([unit(a), unit(b)], 1)),
    "sum_.3": F(lambda a, b: unit(a) + 0.3 * unit(b)),
}
tasks = [
    "trec",
    "sst2",
    "clinc150",
    "snips_intent",
    "snli",
    "stsb",
    "xquad",
    "topic",
]
for v, f in variants.items():
    s = kd.evaluation.evaluate(
        f,
        "../shared/data",
        split=split,
        tasks=tasks,
        max_train=4000,
        verbose=False,
    )
    print(
        name,
        f"{v:10}",
        " ".join(f"{t} {100 * x:.1f}" for t, x in s.items()),
        "probes5 %.2f" % (100 * np.mean([s[t] for t in tasks[:5]])),
        "8: %.2f" % (100 * np.mean(list(s.values()))),
        flush=True,
    )
