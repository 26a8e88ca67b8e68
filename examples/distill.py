"""Distils a `mini` encoder into `tiny`, and compares with `tiny` alone.

    python examples/distill.py
    python examples/distill.py --teacher PRESET  # exported with heads=True

Trains a teacher on the documentation strings of the installed packages by
InfoNCE and then also by DINO and iBOT distillation from its own moving average,
and exports it with its heads; or takes yours. Then, for each seed, trains the
same small encoder for the same number of steps on the same texts in the same
order,

    alone, InfoNCE        telling apart short spans of different texts;
    alone, self-distilled then as the teacher was;
    distilled by ...      as students of the fixed teacher, beside InfoNCE: by
                          its prototypes (DINO), or by both these and the
                          similarities that it finds between the texts of a
                          batch (SEED). The two learn in one run, in which the
                          teacher reads each batch once; they read short spans
                          only.

and prints, on modules held out of training, in percent,

    nDCG@10   find the rest of a documentation string by its first sentence,
              among 1,000 others;
    k-NN      which package is a document from? by its neighbours in training.

Cost: some 45 minutes of processor time on one core of an AMD EPYC
(`KERAS_BACKEND=tensorflow`, 2026-11-21), beside other jobs 98 minutes.

Result, teacher of 1,500 steps, three seeds of 600 steps:

                                       nDCG@10          k-NN
    teacher                               17.8          39.6
    alone, InfoNCE                  15.4 ± 0.8    40.2 ± 0.9
    alone, self-distilled           14.2 ± 0.3    41.0 ± 1.2
    distilled by prototypes         16.8 ± 1.6    41.8 ± 1.6
    distilled by both               17.9 ± 0.9    43.0 ± 1.0

Seed by seed, the student by both gains 2.5 ± 0.1 and 2.9 ± 1.0 on InfoNCE
alone, 3.7 ± 0.6 and 2.1 ± 1.4 on the other alone. It is as good as its
teacher, which has four times the weights beside the embeddings.

Each run keeps checkpoints in `--output`: started again, the same command goes
on where it was. Students lie beside them as presets (examples/search.py).
"""

import argparse
import json
import os
import pathlib
import sys
import warnings

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_dinolm as kd

# The tasks are those of the main example, beside this file.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import pretrain  # noqa: E402

DISTILLED = ("prototypes", "both")


def main():
    args = parse_arguments()
    output = pathlib.Path(args.output)
    output.mkdir(parents=True, exist_ok=True)

    # === Text ===
    train, held_out = pretrain.read_corpus(args)
    teacher = args.teacher or output / "teacher-0" / "preset"
    if args.teacher:
        tokenizer = kd.models.DinoLMTokenizer.from_preset(args.teacher)
    else:
        tokenizer = kd.data.train_tokenizer(train, args.vocabulary_size)
    tokens = kd.data.tokenize(train, tokenizer, output / "tokens")
    tasks = pretrain.make_tasks(args, train, held_out)
    scores = Scores(output / "scores.json", tasks)

    # === Teacher ===
    if not pathlib.Path(teacher).exists():
        size, steps = args.teacher_size, args.teacher_steps
        model, views = make_alone(
            args, tokenizer, size, steps, "self-distilled", 0
        )
        fit(args, model, views, tokens, output / "teacher-0", steps, 0)
        model.export_preset(
            teacher, tokenizer, args.sequence_length, heads=True
        )
    scores.measure("teacher", 0, teacher)

    # === Students, alone and distilled ===
    for seed in range(args.seeds):
        for recipe in ("InfoNCE", "self-distilled"):
            folder = output / f"{recipe}-{seed}"
            if not (folder / "preset").exists():
                model, views = make_alone(
                    args, tokenizer, args.size, args.steps, recipe, seed
                )
                fit(args, model, views, tokens, folder, args.steps, seed)
                model.export_preset(
                    folder / "preset", tokenizer, args.sequence_length
                )
            scores.measure(f"alone, {recipe}", seed, folder / "preset")

        folder = output / f"distilled-{seed}"
        if not (folder / "preset-both").exists():
            model, views = make_students(args, tokenizer, teacher, seed)
            fit(args, model, views, tokens, folder, args.steps, seed)
            for student in model.students:
                student.export_preset(
                    folder / f"preset-{student.name}",
                    tokenizer,
                    args.sequence_length,
                )
        for name in DISTILLED:
            preset = folder / f"preset-{name}"
            scores.measure(f"distilled by {name}", seed, preset)
    scores.print()


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--teacher", metavar="PRESET", help="of the same corpus, with heads")
    add(
        "--corpus",
        nargs="+",
        metavar="FILE",
        help="text or JSONL files, may be gzipped; default: documentation",
    )
    add("--output", default="runs/distill", help="folder to write")
    add("--teacher-size", default="mini", choices=list(kd.models.SIZES))
    add("--size", default="tiny", choices=list(kd.models.SIZES))
    add("--teacher-steps", type=int, default=1_500)
    add("--steps", type=int, default=600, help="of each student")
    add("--seeds", type=int, default=3)
    add(
        "--bootstrap",
        type=float,
        default=0.85,
        help="share of steps by InfoNCE alone, before self-distillation",
    )
    add("--vocabulary-size", type=int, default=8_192)
    add("--sequence-length", type=int, default=32, help="tokens of a window")
    add("--batch-size", type=int, default=64)
    add("--learning-rate", type=float, default=2e-3)
    add("--num-prototypes", type=int, default=512)
    return parser.parse_args()


# === Models ===


def make_backbone(args, tokenizer, size):
    return kd.models.DinoLMBackbone.from_size(
        size,
        tokenizer.vocabulary_size(),
        pooling="mean",
        embedding_stddev=0.05,
    )


def make_optimizer(args, steps):
    return kd.optimizers.adamw(
        args.learning_rate,
        warmup_steps=min(100, steps // 10),
        total_steps=steps,
    )


def make_alone(args, tokenizer, size, steps, recipe, seed):
    """A model that is its own teacher, and what it reads."""
    keras.utils.set_random_seed(seed)
    views = kd.views.TextViews(
        tokenizer,
        args.sequence_length,
        groups=[
            kd.views.ViewGroup(
                "global",
                count=2,
                span=(0.8, 1.0),
                mask_probability=0.5,
                mask_ratio=(0.1, 0.5),
            ),
            short_spans(),
        ],
    )
    o = kd.objectives
    objectives = [o.InfoNCE()]
    if recipe == "self-distilled":
        temperature = kd.schedules.Linear(0.04, 0.07, max(steps // 5, 1))
        objectives += [
            distillation(
                weight=0.5,
                teacher_temperature=temperature,
                start=int(args.bootstrap * steps),
            )
            for distillation in (o.SequenceDistillation, o.TokenDistillation)
        ]
    model = kd.models.DinoLM(
        make_backbone(args, tokenizer, size),
        objectives,
        num_prototypes=args.num_prototypes,
        # Short runs: an average over many steps would lag.
        momentum=kd.schedules.Cosine(0.9, 0.97, steps),
        roles=views.roles,
    )
    model.compile(make_optimizer(args, steps))
    return model, views


def make_students(args, tokenizer, preset, seed):
    """Two students of one teacher, and what both read."""
    views = kd.views.TextViews(
        tokenizer,
        args.sequence_length,
        groups=[
            kd.views.ViewGroup("global", 1, span=(0.8, 1.0), roles="teacher"),
            short_spans(),
        ],
    )
    o = kd.objectives
    heads = [o.SequenceDistillation(), o.TokenDistillation()]
    teacher = kd.models.DinoLM.from_preset(preset, heads)
    students = []
    for name in DISTILLED:
        objectives = [o.InfoNCE(), o.SequenceDistillation()]
        if name == "both":
            objectives.append(o.SimilarityDistillation())
        keras.utils.set_random_seed(seed)
        student = kd.models.DinoLM(
            make_backbone(args, tokenizer, args.size),
            objectives,
            roles=views.roles,
            teacher=students[0].teacher if students else teacher,
            name=name,
        )
        students.append(student)
    model = kd.models.MultiStudentDistillation(students)
    model.compile([make_optimizer(args, args.steps) for _ in students])
    return model, views


def short_spans():
    return kd.views.ViewGroup("local", 2, span=(0.2, 0.4), roles="student")


def fit(args, model, views, tokens, folder, steps, seed):
    def make_dataset(start_step):
        return kd.data.view_dataset(
            tokens,
            views,
            args.batch_size,
            seed=seed,
            start_step=start_step,
            buckets=[args.sequence_length - 1],
        )

    print(f"\n{folder}: {steps} steps", flush=True)
    kd.runs.fit(
        model,
        make_dataset,
        folder / "checkpoints",
        steps=steps,
        steps_per_epoch=max(steps // 10, 1),
        save_every=25,
        keep=1,
        verbose=2,
    )


# === Measuring ===


class Scores:
    """Measures presets, once each, and keeps the results in a file."""

    def __init__(self, path, tasks):
        self.path = path
        self.tasks = tasks
        self.rows = json.loads(path.read_text()) if path.exists() else {}

    def measure(self, name, seed, preset):
        row = self.rows.setdefault(name, {})
        if str(seed) not in row:
            row[str(seed)] = self._measure(preset)
            self.path.write_text(json.dumps(self.rows, indent=2))
        print(f"{name}, seed {seed}: {row[str(seed)]}", flush=True)

    def _measure(self, preset):
        # Long documents, for all models alike.
        warnings.filterwarnings("ignore", ".*texts have more than")
        encode = kd.models.DinoLMTextEmbedder.from_preset(preset).encode
        return pretrain.evaluate(encode, self.tasks)[1]

    def print(self):
        """A line for each model: mean and deviation over the seeds."""
        print(f"\n{'':28}{'nDCG@10':>14}{'k-NN':>14}")
        for name, by_seed in self.rows.items():
            cells = ""
            for key in ("ndcg", "knn"):
                found = [100 * s[key] for s in by_seed.values() if key in s]
                cell = f"{np.mean(found):.1f}" if found else "-"
                if len(found) > 1:
                    cell += f" ± {np.std(found, ddof=1):.1f}"
                cells += f"{cell:>14}"
            print(f"{name:28}{cells}")


if __name__ == "__main__":
    main()
