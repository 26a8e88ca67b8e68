"""What each part of the method is for: the table of the DINO paper, on text.

    python examples/ablate.py                # ten recipes, three seeds each
    python examples/ablate.py --seeds 0 --steps 100  # a glance
    python examples/ablate.py --corpus notes.txt papers.jsonl.gz

Trains the same small encoder again and again, each time without one of the
parts that keep self-distillation from collapsing, or that make it better. The
whole recipe is DINO with iBOT's token loss, on targets by centering; no
InfoNCE, KoLeo or masked LM, which would push texts apart whatever else is
missing. Sinkhorn targets, which need no center, and the default objectives of
`DinoLM` stand beside it. On modules held out of training it measures nDCG@10
and k-NN as `examples/pretrain.py` does, and prints what the monitors saw and
which collapse `CollapseMonitor` named. It writes, to `--output`,

    results.jsonl  one line for each finished run, with its curves
    table.md       mean and deviation over the seeds, and the differences from
                   the whole recipe, paired by seed
    ablation.png   the same as a picture

Stopped or killed, the same command goes on where it was. The backend is chosen
by `KERAS_BACKEND` (default here: jax).

Cost: 2 to 3 minutes a run where four other jobs shared each of 2 virtual cores
of an AMD EPYC (`KERAS_BACKEND=tensorflow`, 2026-11-21). "Sinkhorn" and "default
objectives" were not run.

Result (mean and deviation, three seeds; entropy of
at most ln 256 = 5.55):

                             nDCG       k-NN  entropy  prot.  RankMe   std
    all parts             2.6 ± 0.5  33.6 ± 0.8    1.96     75      37   0.98
    without EMA           0.8 ± 0.3  24.1 ± 3.2    5.18     98       2   0.04
    without centering     1.6 ± 0.2  30.8 ± 1.6    0.16      3      27   0.83
    without sharpening    3.5 ± 0.5  34.0 ± 1.1    5.51    255      44   0.87
    without either        3.5 ± 0.4  34.3 ± 1.1    5.29    205      43   0.83
    without multi-crop    2.9 ± 1.0  33.8 ± 0.5    0.94     38      38   0.98
    without token loss    2.8 ± 0.7  33.4 ± 1.9    1.61     64      46   0.97
    Sinkhorn, without EMA 1.3 ± 0.3  28.5 ± 1.0    4.31    245      23   0.96

What the DINO paper found holds on text. Without the moving average the features
collapse (dimensional collapse, and two seeds constant features), without
centering all texts share 2 to 4 of 256 prototypes (one prototype), without
sharpening the teacher is uniform (uniform assignment), and without either it
gives each text the same assignment (constant assignment). Sinkhorn targets keep
a run without the moving average alive. All other runs were given no name.

The first two columns say little: 6,400 texts are too few for distillation alone
to learn from. The untrained encoder has 6.9 ± 0.3 and 32.4 ± 3.2
(`examples/pretrain.py`); no row reaches it on nDCG@10.
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

# Tokens of a text that are read when the encoder is measured.
TEXT_LENGTH = 64

CONFIG = {
    "targets": "centering",
    "momentum": 0.99,
    "teacher_temperature": 0.04,
    "student_temperature": 0.1,
    "num_local": 2,
    "token_loss": True,
    "koleo": 0.0,
    "info_nce": 0.0,
}

CHANGES = {
    "all parts": {},
    "without EMA": {"momentum": 0.0},
    "without centering": {"targets": "none"},
    # As warm as the student.
    "without sharpening": {"teacher_temperature": 0.1},
    "without either": {"targets": "none", "teacher_temperature": 0.1},
    "without multi-crop": {"num_local": 0},
    "without token loss": {"token_loss": False},
    "Sinkhorn": {"targets": "sinkhorn"},
    "Sinkhorn, without EMA": {"targets": "sinkhorn", "momentum": 0.0},
    "default objectives": {
        "targets": "sinkhorn",
        "koleo": 0.1,
        "info_nce": 1.0,
    },
}

# Of the last epoch, as the monitors log it.
LOGGED = {
    "teacher entropy": "teacher_entropy",
    "prototypes": "prototype_perplexity",
    "RankMe": "rankme",
    "feature std": "feature_std",
}


def main():
    args = parse_arguments()
    output = pathlib.Path(args.output)

    # === Text ===
    train, held_out = pretrain.read_corpus(args)
    tokenizer = kd.data.train_tokenizer(train, args.vocabulary_size)
    tokens = kd.data.tokenize(train, tokenizer, output / "tokens")
    tasks = pretrain.make_tasks(args, train, held_out)

    # === Runs ===
    def recipe(config, seed):
        views = make_views(args, config, tokenizer)

        def make_dataset(start_step):
            return kd.data.view_dataset(
                tokens,
                views,
                args.batch_size,
                seed=seed,
                start_step=start_step,
                buckets=[args.sequence_length - 1],
            )

        return make_model(args, config, tokenizer, views), make_dataset

    def measure(model, history):
        embedder = kd.models.DinoLMTextEmbedder(
            model.teacher.encoder.backbone,
            kd.models.DinoLMTextPreprocessor(
                tokenizer, sequence_length=TEXT_LENGTH
            ),
        )
        _, row = pretrain.evaluate(embedder.encode, tasks)
        numbers = {"nDCG@10": 100 * row["ndcg"]}
        if "knn" in row:
            numbers["k-NN"] = 100 * row["knn"]
        for heading, name in LOGGED.items():
            numbers[heading] = history.get(name, [np.nan])[-1]
        return numbers

    ablation = kd.runs.Ablation(
        recipe,
        {name: CHANGES[name] for name in args.changes},
        measure,
        output,
        steps=args.steps,
        steps_per_epoch=max(args.steps // 10, 1),
        config=CONFIG,
        seeds=args.seeds,
        make_callbacks=lambda: [
            kd.callbacks.CollapseMonitor(
                patience=max(args.steps // 8, 1),
                check_every=max(args.steps // 40, 1),
            )
        ],
        curves=["teacher_entropy", "feature_std", "rankme"],
    )
    ablation.run()
    print(f"\n{ablation.table()}\n\nAll of it is in {output}.")


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
    add("--output", default="runs/ablate", help="folder to write")
    add(
        "--changes",
        nargs="+",
        default=list(CHANGES),
        choices=list(CHANGES),
        metavar="NAME",
        help="only these; the first is what the others are compared with",
    )
    add("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add("--steps", type=int, default=400, help="of each run")
    add("--size", default="nano", choices=list(kd.models.SIZES))
    add("--vocabulary-size", type=int, default=8_192)
    add("--sequence-length", type=int, default=32, help="tokens of a window")
    add("--batch-size", type=int, default=16)
    add("--learning-rate", type=float, default=2e-3)
    add("--num-prototypes", type=int, default=256)
    return parser.parse_args()


def make_views(args, config, tokenizer):
    whole = kd.views.ViewGroup(
        "global",
        count=2,
        span=(0.5, 1.0),
        # Only the token loss looks at masks.
        mask_probability=0.5 if config["token_loss"] else 0.0,
    )
    groups = [whole]
    if config["num_local"]:
        groups.append(
            kd.views.ViewGroup(
                "local",
                count=config["num_local"],
                span=(0.2, 0.4),
                roles="student",
            )
        )
    return kd.views.TextViews(tokenizer, args.sequence_length, groups=groups)


@keras.saving.register_keras_serializable(package="ablate")
class Uncentered(kd.layers.Centering):
    """A softmax of the logits as they are: the center stays 0."""

    def after_step(self, statistics, finite, moved):
        pass


TARGETS = {
    "centering": kd.layers.Centering,
    "none": Uncentered,
    "sinkhorn": kd.layers.Sinkhorn,
}


def make_model(args, config, tokenizer, views):
    """The student, its teacher and what is learned."""
    o = kd.objectives

    def distillation(objective):
        return objective(
            student_temperature=config["student_temperature"],
            teacher_temperature=config["teacher_temperature"],
            targets=TARGETS[config["targets"]](),
        )

    objectives = [distillation(o.SequenceDistillation)]
    if config["token_loss"]:
        objectives.append(distillation(o.TokenDistillation))
    # Without local views there are the global ones to contrast.
    group = "local" if config["num_local"] else "global"
    for weight, objective in (
        (config["koleo"], lambda w: o.KoLeo(weight=w)),
        (config["info_nce"], lambda w: o.InfoNCE(group=group, weight=w)),
    ):
        if weight:
            objectives.append(objective(weight))
    model = kd.models.DinoLM(
        kd.models.DinoLMBackbone.from_size(
            args.size,
            tokenizer.vocabulary_size(),
            pooling="mean",
            embedding_stddev=0.05,
        ),
        objectives,
        num_prototypes=args.num_prototypes,
        momentum=config["momentum"],
        roles=views.roles,
    )
    model.compile(
        kd.optimizers.adamw(
            args.learning_rate,
            warmup_steps=args.steps // 10,
            total_steps=args.steps,
        )
    )
    return model


if __name__ == "__main__":
    main()
