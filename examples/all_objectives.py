"""Every objective in one model: how to write each, what it reads and reports.

    python examples/all_objectives.py
    python examples/all_objectives.py --steps 400

This is a place to copy from, not a recipe: take the lines that you want from
the list of objectives below, and leave the others. All of them share one pass
of the student and one of the teacher over each group of views, so a further
objective costs little. For a recipe see `examples/pretrain.py`.

The corpus is the documentation of the Python packages on this machine. It
prints the mean of each term over the first and the last epoch in which it acts.

Cost: 93 s on one busy core of an AMD EPYC (torch, 2026-11-30).

Result:

    objective, mean of an epoch       weight    first     last
    sequence_distillation               1.00    5.418    5.408
    mean_entropy_maximization           0.10    0.068    0.009
    token_distillation                  1.00    5.538    5.372
    cross_view_token_distillation       0.50    5.021    4.376
    feature_regression                  0.50    0.107    0.071
    masked_lm                           0.20    8.099    6.568
    gram_anchoring                      2.00    0.012    0.011
    info_nce                            1.00    1.651    1.264
    similarity_distillation             0.20    2.657    2.504
    koleo                               0.10    0.599    0.564
    vicreg                              0.01   21.540   20.909
"""

import argparse
import os

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_dinolm as kd

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("--steps", type=int, default=100, help="of 16 texts")
parser.add_argument("--output", default="runs/all_objectives")
args = parser.parse_args()
keras.utils.set_random_seed(0)

# === Text ===
train = kd.data.installed_docs("train")
tokenizer = kd.data.train_tokenizer(train, vocabulary_size=8_192)
tokens = kd.data.tokenize(train, tokenizer, f"{args.output}/tokens")

# Two long views, in half of which tokens are masked, and two short ones.
views = kd.views.TextViews(
    tokenizer,
    sequence_length=32,
    groups=[
        kd.views.ViewGroup("global", 2, span=(0.6, 1.0), mask_probability=0.5),
        kd.views.ViewGroup("local", 2, span=(0.2, 0.5), roles="student"),
    ],
)
dataset = kd.data.view_dataset(tokens, views, batch_size=16)

# === Objectives ===
# An encoder without blocks, and clusters of what it makes of tokens.
bag = kd.models.DinoLMBackbone.from_size(
    "nano", tokenizer.vocabulary_size(), num_layers=0, num_registers=0
)
bag.token_embedding.embeddings.assign(
    kd.data.ppmi_embeddings(tokens, bag.vocabulary_size, bag.hidden_dim)
)
units = kd.data.centroids(
    kd.models.token_features(bag, dataset, num_tokens=5_000), 128
)
warm = kd.schedules.Linear(0.04, 0.07, steps=args.steps // 5 + 1)
o = kd.objectives
objectives = [
    # --- Between views of a text, through the prototypes ---
    # DINO: each student view predicts the teacher's other views.
    o.SequenceDistillation(teacher_temperature=warm),
    # MSN: a batch should use all prototypes.
    o.MeanEntropyMaximization(weight=0.1),
    # --- Of tokens, through the prototypes ---
    # iBOT: masked tokens predict what the teacher makes of the whole text.
    o.TokenDistillation(teacher_temperature=warm),
    # Tokens that two views share predict each other.
    o.CrossViewTokenDistillation(
        teacher_temperature=warm, targets=kd.layers.Centering(), weight=0.5
    ),
    # --- Of tokens, without prototypes ---
    # data2vec: masked tokens predict the mean of the teacher's layers.
    o.FeatureRegression(num_layers=2, weight=0.5),
    # BERT: masked tokens predict which token was there.
    o.MaskedLM(weight=0.2),
    # DINOv3: late in a run, similarities between tokens stay what they were
    # for an earlier teacher.
    o.GramAnchoring(
        start=args.steps // 2, refresh_every=args.steps // 4 + 1, weight=2.0
    ),
    # HuBERT: masked tokens predict the clusters of what a fixed encoder, here
    # one without blocks, makes of them.
    o.UnitPrediction(units, teacher=bag, weight=0.2),
    # TinyBERT: tokens have the teacher's last feature, through a head.
    o.TokenRegression(weight=0.2),
    # --- Between the texts of a batch ---
    # A text has the teacher's feature, through a head.
    o.SequenceRegression(weight=0.2),
    # MoCo: a view finds the teacher's other view among many texts.
    o.MomentumContrast(queue_size=256, weight=0.2),
    # SimCSE, Contriever: the two short views of a text find each other.
    o.InfoNCE(),
    # SEED: a text has the neighbours that the teacher gives it.
    o.SimilarityDistillation(weight=0.2),
    # DINOv2: no two texts are at the same place.
    o.KoLeo(weight=0.1),
    # LeJEPA: features are an isotropic Gaussian.
    o.SIGReg(weight=0.1),
    # VICReg: every feature varies, and no two features are alike.
    o.VICReg(weight=0.01),
]

# === Model ===
backbone = kd.models.DinoLMBackbone.from_size(
    "nano", tokenizer.vocabulary_size(), embedding_stddev=0.05
)
model = kd.models.DinoLM(
    backbone,
    objectives,
    num_prototypes=256,
    momentum=kd.schedules.Cosine(0.95, 0.99, args.steps),
    roles=views.roles,
)
model.compile(
    kd.optimizers.adamw(
        2e-3, warmup_steps=args.steps // 10, total_steps=args.steps
    )
)

epochs = min(args.steps, 4)
history = model.fit(
    dataset,
    epochs=epochs,
    steps_per_epoch=args.steps // epochs,
    callbacks=[kd.callbacks.CollapseMonitor()],
    verbose=2,
).history

# === Report ===
print(
    f"\n{'objective, mean of an epoch':32}{'weight':>8}{'first':>9}{'last':>9}"
)
for objective in objectives:
    # NaN in epochs in which it does not act yet.
    terms = np.array(history[objective.name])
    terms = terms[np.isfinite(terms)]
    print(
        f"{objective.name:32}{objective.weight:8.2f}"
        f"{terms[0]:9.3f}{terms[-1]:9.3f}"
    )
