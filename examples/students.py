"""Distils a larger encoder into smaller ones, and compares with no teacher.

    python examples/distill.py
    python examples/distill.py --steps 1000
    python examples/distill.py --teacher PRESET  # exported with heads=True

A `tiny` teacher of 4 layers learns from the documentation of the Python
packages on this machine, or you give one. Then three `nano` students of 2
layers learn on the same batches, in one run that reads each batch by the
teacher once:

- *alone*: InfoNCE, which tells short spans of different texts apart. The
  teacher plays no part.
- *by prototypes*: InfoNCE, and the teacher's assignments to prototypes (DINO).
- *by both*: the same, and the similarities that the teacher finds between the
  texts of a batch (SEED).

Scores are of modules that were held out of training: find a document by its
first sentence (nDCG@10), and tell its package by its neighbours (k-NN). Each
student lies in `--output` as a preset.

For one student in one call, see `kd.recipes.pretrain(recipe="distillation")`.

Cost: 6 minutes on one busy core of an AMD EPYC (torch, 2026-11-30), 2 of them
for the teacher and 2 for the students.

Result, one seed, in percent:

    teacher          nDCG@10 6.8 k-NN 34.6
    alone            nDCG@10 10.4 k-NN 29.6
    by_prototypes    nDCG@10 9.8 k-NN 33.0
    by_both          nDCG@10 11.3 k-NN 35.2

The teacher has trained no longer than its students here. A longer comparison,
with three seeds, is in `benchmarks/RESULTS.md`.
"""

import argparse
import os

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

import keras_dinolm as kd

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("--teacher", metavar="PRESET")
parser.add_argument("--steps", type=int, default=200, help="of 32 texts, each")
parser.add_argument("--output", default="runs/distill")
args = parser.parse_args()
o = kd.objectives

# === Text ===
train = kd.data.installed_docs("train")
held_out = kd.evaluation.HeldOutDocuments(
    kd.data.installed_docs("held_out"), train, 500, 1_000
)
if args.teacher:  # its students share its vocabulary
    tokenizer = kd.models.DinoLMTokenizer.from_preset(args.teacher)
else:
    tokenizer = kd.data.train_tokenizer(train, vocabulary_size=8_192)
tokens = kd.data.tokenize(train, tokenizer, f"{args.output}/tokens")
short = kd.views.ViewGroup("local", 2, span=(0.2, 0.4), roles="student")


def make_backbone(size):
    keras.utils.set_random_seed(0)
    return kd.models.DinoLMBackbone.from_size(
        size, tokenizer.vocabulary_size(), pooling="mean", embedding_stddev=0.05
    )


def make_optimizer():
    return kd.optimizers.adamw(
        2e-3, warmup_steps=args.steps // 10, total_steps=args.steps
    )


def learn(model, views, name):
    kd.runs.fit(
        model,
        lambda step: kd.data.view_dataset(
            tokens, views, batch_size=32, start_step=step
        ),
        f"{args.output}/{name}_checkpoints",
        steps=args.steps,
        steps_per_epoch=max(args.steps // 4, 1),
        verbose=2,
    )


# === Teacher: InfoNCE, and prototypes from half-way on ===
preset = args.teacher or f"{args.output}/teacher"
if not os.path.exists(preset):
    whole = kd.views.ViewGroup("global", 2, span=(0.8, 1.0))
    views = kd.views.TextViews(tokenizer, 32, groups=[whole, short])
    model = kd.models.DinoLM(
        make_backbone("tiny"),
        [o.InfoNCE(), o.SequenceDistillation(start=args.steps // 2)],
        num_prototypes=512,
        momentum=kd.schedules.Cosine(0.9, 0.97, args.steps),
        roles=views.roles,
    )
    model.compile(make_optimizer())
    learn(model, views, "teacher")
    model.export_preset(preset, tokenizer, heads=True)
teacher = kd.models.DinoLM.from_preset(preset, [o.SequenceDistillation()])

# === Students: the teacher reads whole windows, they read short spans ===
whole = kd.views.ViewGroup("global", 1, span=(0.8, 1.0), roles="teacher")
views = kd.views.TextViews(tokenizer, 32, groups=[whole, short])
objectives = {
    "alone": [o.InfoNCE()],
    "by_prototypes": [o.InfoNCE(), o.SequenceDistillation()],
    "by_both": [
        o.InfoNCE(),
        o.SequenceDistillation(),
        o.SimilarityDistillation(),
    ],
}
model = kd.models.Distillation(
    [
        kd.models.Lesson(
            make_backbone("nano"), those, teacher=teacher, name=name
        )
        for name, those in objectives.items()
    ],
    roles=views.roles,
)
model.compile({name: make_optimizer() for name in objectives})
learn(model, views, "students")

# === Report ===
presets = {"teacher": preset}
for name in objectives:
    presets[name] = f"{args.output}/{name}"
    model.export_preset(presets[name], tokenizer, student=name)
print("\nHeld-out documents, in percent:")
for name, path in presets.items():
    embedder = kd.models.DinoLMTextEmbedder.from_preset(path)
    embedder.preprocessor.sequence_length = 64
    scores = held_out.evaluate(embedder)
    cells = (f"{key} {100 * value:.1f}" for key, value in scores.items())
    print(f"  {name:16}", *cells, flush=True)
