"""Every objective at once: how each is made, what it reads, what it reports.

    python examples/all_objectives.py
    python examples/all_objectives.py --steps 50  # a glance
    python examples/all_objectives.py --corpus notes.txt papers.jsonl.gz

Trains one small encoder on the documentation strings of the installed
packages by all eleven objectives. That is no recipe (examples/pretrain.py has
one), but a place to copy from: the list in `make_objectives` says in a line
each what the objective is for, and taking a line away takes the objective
away. All share one student pass over each group of views and one teacher pass.

It prints each term at the first and the last epoch in which it acts, and, on
modules held out of training, what examples/pretrain.py measures. The backend
is chosen by `KERAS_BACKEND` (default here: jax).

Cost: 6 minutes of training on half of one core of an AMD EPYC
(`KERAS_BACKEND=tensorflow`, 2026-11-21).

Result, one seed:

    objective                         weight     first      last
    sequence_distillation               1.00    5.1735    5.0182
    mean_entropy_maximization           0.10    0.0570    0.0259
    token_distillation                  1.00    5.4735    5.3484
    cross_view_token_distillation       0.50    4.3869    1.3242
    feature_regression                  0.50    0.1083    0.0850
    masked_lm                           0.20    8.3567    5.8024
    gram_anchoring                      2.00    0.0217    0.0209
    info_nce                            1.00    1.7344    1.1628
    similarity_distillation             0.20    3.3202    2.8583
    koleo                               0.10    0.4450    0.3245
    vicreg                              0.01   20.7635   20.0544

                                      nDCG@10     k-NN
    untrained                             7.7     33.2
    teacher                              14.3     42.9
"""

import argparse
import os
import pathlib
import sys

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_dinolm as kd

# The tasks are those of the main example, beside this file.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import pretrain  # noqa: E402

EPOCHS = 10


def main():
    args = parse_arguments()
    output = pathlib.Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(args.seed)

    # === Text ===
    train, held_out = pretrain.read_corpus(args)
    tokenizer = kd.data.train_tokenizer(train, args.vocabulary_size)
    tokens = kd.data.tokenize(train, tokenizer, output / "tokens")
    tasks = pretrain.make_tasks(args, train, held_out)
    views = make_views(args, tokenizer)

    def make_dataset(start_step):
        return kd.data.view_dataset(
            tokens,
            views,
            args.batch_size,
            seed=args.seed,
            start_step=start_step,
            buckets=[args.sequence_length - 1],
        )

    # === Model ===
    objectives = make_objectives(args.steps)
    model = kd.models.DinoLM(
        kd.models.DinoLMBackbone.from_size(
            args.size, tokenizer.vocabulary_size(), embedding_stddev=0.05
        ),
        objectives,
        num_prototypes=args.num_prototypes,
        momentum=kd.schedules.Cosine(0.95, 0.99, args.steps),
        roles=views.roles,
    )
    model.compile(
        kd.optimizers.adamw(
            args.learning_rate,
            warmup_steps=args.steps // 10,
            total_steps=args.steps,
        )
    )
    rows = {"untrained": measure(model, tokenizer, tasks)}

    # === Training ===
    history = kd.runs.fit(
        model,
        make_dataset,
        output / "checkpoints",
        steps=args.steps,
        steps_per_epoch=max(args.steps // EPOCHS, 1),
        callbacks=[kd.callbacks.CollapseMonitor()],
        verbose=2,
    ).history
    rows["teacher"] = measure(model, tokenizer, tasks)

    # === Report ===
    print(f"\n{'objective':32}{'weight':>8}{'first':>10}{'last':>10}")
    for objective in objectives:
        # NaN in epochs in which it does not act.
        terms = np.array(history.get(objective.name, ()))
        terms = terms[np.isfinite(terms)]
        if len(terms):
            print(
                f"{objective.name:32}{objective.weight:8.2f}"
                f"{terms[0]:10.4f}{terms[-1]:10.4f}"
            )
    titles = {"ndcg": "nDCG@10", "knn": "k-NN"}
    measured = [key for key in titles if key in rows["teacher"]]
    head = "".join(f"{titles[key]:>9}" for key in measured)
    print(f"\n{'':32}{head}")
    for name, row in rows.items():
        cells = "".join(f"{100 * row[key]:9.1f}" for key in measured)
        print(f"{name:32}{cells}")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--corpus",
        nargs="+",
        metavar="FILE",
        help="text or JSONL files, may be gzipped; default: documentation",
    )
    add("--output", default="runs/all_objectives", help="folder to write")
    add("--steps", type=int, default=400)
    add("--size", default="nano", choices=list(kd.models.SIZES))
    add("--vocabulary-size", type=int, default=8_192)
    add("--sequence-length", type=int, default=32, help="tokens of a window")
    add("--batch-size", type=int, default=32)
    add("--learning-rate", type=float, default=2e-3)
    add("--num-prototypes", type=int, default=256)
    add("--seed", type=int, default=0)
    return parser.parse_args()


def make_views(args, tokenizer):
    """Two long views, half of them masked, and two short ones."""
    return kd.views.TextViews(
        tokenizer,
        args.sequence_length,
        groups=[
            kd.views.ViewGroup(
                "global",
                count=2,
                span=(0.6, 1.0),
                mask_probability=0.5,
                mask_ratio=(0.1, 0.5),
            ),
            kd.views.ViewGroup(
                "local", count=2, span=(0.2, 0.5), roles="student"
            ),
        ],
    )


def make_objectives(steps):
    o = kd.objectives
    targets = kd.layers
    temperature = kd.schedules.Linear(0.04, 0.07, max(steps // 5, 1))
    return [
        # === Between views of a text, through the prototypes ===
        # DINO: each student view predicts the teacher's other views.
        o.SequenceDistillation(teacher_temperature=temperature),
        # MSN: all prototypes shall be used over a batch.
        o.MeanEntropyMaximization(weight=0.1),
        # === Of tokens, through the prototypes ===
        # iBOT: masked tokens predict what the teacher makes of the whole text.
        o.TokenDistillation(teacher_temperature=temperature),
        # Tokens that two views share predict one another.
        o.CrossViewTokenDistillation(
            teacher_temperature=temperature,
            targets=targets.Centering(),
            weight=0.5,
        ),
        # === Of tokens, without prototypes ===
        # data2vec: masked tokens predict the mean of the teacher's layers.
        o.FeatureRegression(num_layers=2, weight=0.5),
        # BERT: and which token it was.
        o.MaskedLM(weight=0.2),
        # DINOv3: token similarities stay those of an earlier teacher, late in
        # a run, when they decay.
        o.GramAnchoring(
            refresh_every=max(steps // 4, 1), start=steps // 2, weight=2.0
        ),
        # === Between texts of a batch ===
        # SimCSE, Contriever: the two short views of a text find each other.
        o.InfoNCE(),
        # SEED: a text has the neighbours that the teacher gives it.
        o.SimilarityDistillation(weight=0.2),
        # DINOv2: no two texts at the same place.
        o.KoLeo(0.1),
        # VICReg: every feature varies, no two alike.
        o.VICReg(weight=0.01),
    ]


def measure(model, tokenizer, tasks):
    embedder = kd.models.DinoLMTextEmbedder(
        model.teacher.encoder.backbone,
        kd.models.DinoLMTextPreprocessor(tokenizer, sequence_length=64),
    )
    return pretrain.evaluate(embedder.encode, tasks)[1]


if __name__ == "__main__":
    main()
