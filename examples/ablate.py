"""What each part of DINO is for: leave one out, and see how it collapses.

    python examples/ablate.py
    python examples/ablate.py --steps 400 --seeds 0 1 2

Trains the same small encoder again and again, each time without one of the
parts that keep self-distillation from collapsing, as the DINO paper did on
images. The whole recipe is DINO with iBOT's token loss and targets by
centering. InfoNCE, KoLeo and masked LM are left out, because they push texts
apart whatever else is missing. So few steps do not make a useful encoder, but
they show what `CollapseMonitor` sees and how it names it.

`--output` receives `table.md`, `ablation.png` and `results.jsonl`. Stopped or
killed, the same command continues. To compare your own objective, add a change
to `CHANGES` and a score to `measure`.

Cost: 6.5 minutes on one busy core of an AMD EPYC (torch, 2026-11-30).

Result, one seed (teacher entropy of at most ln 256 = 5.55; 256 prototypes):

                             entropy   prototypes   RankMe   feature std
    all parts                   2.80          110     49.0         0.934
    without EMA                 5.07          126      7.4         0.233
    without centering           0.17            2     41.8         0.793
    without sharpening          5.48          255     47.7         0.791
    without either              5.25          202     46.8         0.770
    Sinkhorn, without EMA       4.41          248     25.5         0.959

It names constant assignment without EMA and without either, one prototype
without centering, and constant and uniform assignment without sharpening; the
other two runs get no name. `benchmarks/RESULTS.md` has a longer run with three
seeds and scores.
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
parser.add_argument("--steps", type=int, default=100, help="of 16 texts a run")
parser.add_argument("--seeds", type=int, nargs="+", default=[0])
parser.add_argument("--output", default="runs/ablate")
args = parser.parse_args()

CONFIG = {
    "targets": "centering",
    "momentum": 0.99,  # of the moving average (EMA)
    "teacher_temperature": 0.04,  # sharper than the student's, 0.1
}
CHANGES = {
    "all parts": {},
    "without EMA": {"momentum": 0.0},
    "without centering": {"targets": "none"},
    "without sharpening": {"teacher_temperature": 0.1},
    "without either": {"targets": "none", "teacher_temperature": 0.1},
    "Sinkhorn, without EMA": {"targets": "sinkhorn", "momentum": 0.0},
}


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

# === Text ===
train = kd.data.installed_docs("train")
tokenizer = kd.data.train_tokenizer(train, vocabulary_size=8_192)
tokens = kd.data.tokenize(train, tokenizer, f"{args.output}/tokens")
views = kd.views.TextViews(
    tokenizer,
    sequence_length=32,
    groups=[
        kd.views.ViewGroup("global", 2, span=(0.5, 1.0), mask_probability=0.5),
        kd.views.ViewGroup("local", 2, span=(0.2, 0.4), roles="student"),
    ],
)


# === One run ===
def recipe(config, seed):
    """The compiled model and the data of a run."""
    backbone = kd.models.DinoLMBackbone.from_size(
        "nano",
        tokenizer.vocabulary_size(),
        pooling="mean",
        embedding_stddev=0.05,
    )
    model = kd.models.DinoLM(
        backbone,
        [
            objective(
                teacher_temperature=config["teacher_temperature"],
                targets=TARGETS[config["targets"]](),
            )
            for objective in (
                kd.objectives.SequenceDistillation,
                kd.objectives.TokenDistillation,
            )
        ],
        num_prototypes=256,
        momentum=config["momentum"],
        roles=views.roles,
    )
    model.compile(
        kd.optimizers.adamw(
            2e-3, warmup_steps=args.steps // 10, total_steps=args.steps
        )
    )

    def make_dataset(start_step):
        return kd.data.view_dataset(
            tokens, views, batch_size=16, seed=seed, start_step=start_step
        )

    return model, make_dataset


def measure(model, history):
    """The columns of the table, from the last epoch."""
    return {
        "teacher entropy": history["sequence_distillation_teacher_entropy"][-1],
        "prototypes": history["sequence_distillation_prototype_perplexity"][-1],
        "RankMe": history["rankme"][-1],
        "feature std": history["feature_std"][-1],
    }


# === All runs ===
ablation = kd.runs.Ablation(
    recipe,
    CHANGES,
    measure,
    args.output,
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
    curves=["sequence_distillation_teacher_entropy", "feature_std"],
)
ablation.run()
print(f"\n{ablation.table()}\n\nThe picture is {args.output}/ablation.png.")
