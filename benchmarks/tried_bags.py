"""Bags of embeddings, counted or trained otherwise, and their probes.

python benchmarks/tried_bags.py CORE "s0_p0:dict(steps=0,start=dict(power=0))"
"""

import os, sys, json, time, tempfile, pathlib

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
core = sys.argv[1]
os.sched_setaffinity(0, {int(core)})
import dataclasses, numpy as np, keras
import quality, keras_dinolm as kd
from contest import methods
from contest.methods import BAG, CROPS, ViewGroup
from contest.run import Workshop

args = quality.parse_arguments(
    [
        "--data",
        "../shared/data",
        "--size",
        "mini",
        "--split",
        "dev",
        "--output",
        "runs/tried",
        "--max-train",
        "4000",
        "--probe-tasks",
    ]
)
w = Workshop(args)
V = w.tokenizer.vocabulary_size()
D = 256


def svd(window=5, smoothing=0.75):
    p = pathlib.Path(f"runs/tried/svd-{window}-{smoothing}.npz")
    if not p.exists():
        from sklearn.utils.extmath import randomized_svd
        import importlib

        pe = importlib.import_module("keras_dinolm.data.ppmi_embeddings")
        pe.SMOOTHING = smoothing
        c = pe._count(w.tokens, V, window, 20_000_000)
        i = pe._ppmi(c)
        l, s, _ = randomized_svd(i, D, random_state=0)
        seen = np.diff(c.indptr) > 0
        np.savez(p, l=l, s=s, seen=seen)
    z = np.load(p)
    return z["l"], z["s"], z["seen"]


def rows(power=0.5, window=5, smoothing=0.75, stddev=0.05, unit=0.0):
    l, s, seen = svd(window, smoothing)
    r = l * s**power
    if unit:
        r = (
            r
            / np.maximum(np.linalg.norm(r, axis=1, keepdims=True), 1e-9) ** unit
        )
    out = np.random.default_rng(0).normal(0, stddev, (V, D))
    out[seen] = r[seen] * (stddev / r[seen].std())
    return out.astype("float32")


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


def go(
    name,
    steps=992,
    lr=2e-3,
    temp=0.05,
    crops={},
    start={},
    extra=(),
    batch=256,
    wd=0.04,
    seed=0,
    backbone={},
    network="student",
):
    t0 = time.time()
    m = dataclasses.replace(
        BAG,
        groups=(ViewGroup("local", **{**CROPS, **crops}),),
        learning_rate=lr,
        batch_size=batch,
        weight_decay=wd,
        counted=False,
        objectives=lambda n: [
            kd.objectives.InfoNCE(temp),
            *[e() for e in extra],
        ],
        backbone={**BAG.backbone, **backbone},
    )
    keras.utils.set_random_seed(seed)
    b = methods.encoder("mini", w.tokenizer, **m.backbone)
    if start is not None:
        b.token_embedding.embeddings.assign(rows(**start))
    loss = 0
    if steps:
        m2 = dataclasses.replace(m)
        model = None
        tok = w.tokenizer
        model = kd.models.DinoLM(
            b,
            m.objectives(steps),
            num_prototypes=512,
            momentum=kd.schedules.Cosine(*m.momentum, steps),
            roles=m.views(tok).roles,
        )
        model.compile(
            optimizer=kd.optimizers.adamw(
                lr,
                warmup_steps=min(100, steps // 10),
                total_steps=steps,
                weight_decay=wd,
            ),
            jit_compile=True,
        )
        h = model.fit(
            w.dataset(m, seed, 0), steps_per_epoch=steps, epochs=1, verbose=0
        )
        loss = h.history["loss"][0]
        b = getattr(model, network).encoder.backbone
    t1 = time.time()
    e = methods.embedder(b, w.tokenizer, 256)
    s = kd.evaluation.evaluate(
        e,
        "../shared/data",
        split="dev",
        tasks=tasks,
        max_train=4000,
        verbose=False,
    )
    print(
        f"{name:28}",
        " ".join(f"{t[:5]} {100 * x:.1f}" for t, x in s.items()),
        "| p5 %.2f" % (100 * np.mean([s[t] for t in tasks[:5]])),
        "all8 %.2f" % (100 * np.mean(list(s.values()))),
        f"loss {loss:.3f} {t1 - t0:.0f}+{time.time() - t1:.0f}s",
        flush=True,
    )


for item in sys.argv[2:]:
    n, _, e = item.partition(":")
    try:
        go(n, **eval(e or "{}"))
    except Exception as x:
        print(n, "FAILED", repr(x)[:300], flush=True)
