"""Adapts an encoder that was trained on short windows to longer texts.

    python examples/long_context.py                    # trains both phases
    python examples/long_context.py --preset DIR       # the second alone

The first phase trains a small encoder on windows of 64 tokens of this
machine's documentation, as examples/pretrain.py does; or it comes from a
preset that was exported with `heads=True`. The second phase,
`LongContextAdaptation`, goes on at 4 times the length: views of all lengths
between, rotary positions rescaled, and Gram anchoring against the encoder as
it was. On held-out modules it measures

    long    of texts with at least 126 tokens: find one by a sentence taken
            from anywhere in it, among all others (nDCG@10), and tell its
            package by its neighbours in training (k-NN);
    short   the same of all texts, of which 64 tokens are read, by their
            first sentence,

for the short encoder reading 64 tokens of long texts, the same reading 256
(positions as they are, and rescaled, without training), and the adapted one.
It writes `short` and `long`, two presets, to `--output`; started again, the
same command goes on where it was.

The backend is chosen by `KERAS_BACKEND` (default here: jax).

Cost: 11 minutes on one shared core of an AMD EPYC for `--sequence-length 32
--short-steps 600 --long-steps 150` (`KERAS_BACKEND=tensorflow`, 2026-11-21).

Result of that command, one seed, in percent:

                               long nDCG   long k-NN  short nDCG  short k-NN
    short, reads 32                 11.2        46.7        18.5        41.7
    short, reads 128                16.5        54.9        18.5        41.7
    short, ntk, reads 128           16.4        57.5        18.5        41.7
    adapted, reads 128              18.5        57.8        19.9        45.0

The adapted encoder was trained for a quarter longer than the short one.
"""

import argparse
import os
import pathlib
import re
import warnings

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_dinolm as kd

NUM_TEXTS = 1_000


def main():
    args = parse_arguments()
    output = pathlib.Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(args.seed)

    # === Text ===
    train, held_out = read_corpus(args)
    if args.preset:
        tokenizer = kd.models.DinoLMTokenizer.from_preset(args.preset)
    else:
        tokenizer = kd.data.train_tokenizer(train, args.vocabulary_size)
    tokens = kd.data.tokenize(train, tokenizer, output / "tokens")
    tasks = make_tasks(args, tokenizer, train, held_out)
    for name, task in tasks.items():
        print(
            f"{name}: {len(task['queries'])} texts to find, "
            f"{len(task['bank'])} labelled ones"
        )

    # === The first phase ===
    views = make_views(args, tokenizer)
    if args.preset:
        model = kd.models.DinoLM.from_preset(
            args.preset, make_objectives(args, 0), roles=views.roles
        )
    else:
        model = train_short(args, tokenizer, tokens, views, output)
        model.export_preset(
            output / "short", tokenizer, args.sequence_length, heads=True
        )

    # === The second phase ===
    adaptation = kd.recipes.LongContextAdaptation(
        model,
        views,
        factor=args.factor,
        rope=args.rope,
        position_jitter=args.position_jitter,
        gram_weight=args.gram_weight,
        momentum=0.99,
    )
    longer = adaptation.views.sequence_length
    old = model.learned().encoder.backbone
    rescaled = kd.models.extend_context(old, args.factor, args.rope)
    rows = {
        f"short, reads {args.sequence_length}": (old, args.sequence_length),
        f"short, reads {longer}": (old, longer),
        f"short, {args.rope}, reads {longer}": (rescaled, longer),
    }
    rows = {
        name: evaluate(args, backbone, tokenizer, length, tasks)
        for name, (backbone, length) in rows.items()
    }
    print_table(rows, tasks)
    train_long(args, adaptation, tokens, output)
    adaptation.model.export_preset(
        output / "long", tokenizer, longer, heads=True
    )
    adapted = adaptation.model.learned().encoder.backbone
    rows[f"adapted, reads {longer}"] = evaluate(
        args, adapted, tokenizer, longer, tasks
    )
    print_table(rows, tasks)
    print(f"\nThe encoders are in {output / 'short'} and {output / 'long'}.")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--corpus", nargs="+", metavar="FILE", help="text files to read")
    add("--preset", help="go on from this one, exported with heads=True")
    add("--output", default="runs/long_context", help="folder to write")
    add("--short-steps", type=int, default=2_000, help="of the first phase")
    add("--long-steps", type=int, default=500, help="of the second phase")
    add("--factor", type=int, default=4)
    add("--rope", default="ntk", choices=["ntk", "interpolation"])
    add("--position-jitter", type=float, default=1.0)
    add("--gram-weight", type=float, default=2.0)
    add("--size", default="nano", choices=list(kd.models.SIZES))
    add("--vocabulary-size", type=int, default=8_192)
    add("--sequence-length", type=int, default=64, help="of the first phase")
    add("--batch-size", type=int, default=64)
    add("--long-batch-size", type=int, default=32)
    add("--learning-rate", type=float, default=2e-3)
    add("--long-learning-rate", type=float, default=5e-4)
    add("--num-prototypes", type=int, default=512)
    add("--seed", type=int, default=0)
    return parser.parse_args()


def read_corpus(args):
    """Documents to train on, and documents held out."""
    if not args.corpus:
        return (
            list(kd.data.installed_docs("train")),
            list(kd.data.installed_docs("held_out")),
        )
    documents = list(kd.data.read_text(args.corpus, split="paragraph"))
    order = np.random.default_rng(0).permutation(len(documents))
    cut = max(len(documents) // 10, 1)
    held_out = [documents[i] for i in order[:cut]]
    return [documents[i] for i in order[cut:]], held_out


# === Training ===


def make_views(args, tokenizer):
    return kd.views.TextViews(
        tokenizer,
        args.sequence_length,
        groups=[
            kd.views.ViewGroup(
                "global", 2, span=(0.8, 1.0), mask_probability=0.5
            ),
            kd.views.ViewGroup("local", 2, span=(0.2, 0.4), roles="student"),
        ],
    )


def make_objectives(args, start):
    o = kd.objectives
    return [
        o.InfoNCE(),
        o.SequenceDistillation(weight=0.5, start=start),
        o.TokenDistillation(weight=0.5, start=start),
    ]


def train_short(args, tokenizer, tokens, views, output):
    """InfoNCE alone for the first 60 %, then with distillation."""
    steps = args.short_steps
    model = kd.models.DinoLM(
        kd.models.DinoLMBackbone.from_size(
            args.size, tokenizer.vocabulary_size(), embedding_stddev=0.05
        ),
        make_objectives(args, int(0.6 * steps)),
        num_prototypes=args.num_prototypes,
        momentum=kd.schedules.Cosine(0.98, 0.998, steps),
        roles=views.roles,
    )
    model.compile(
        kd.optimizers.adamw(
            args.learning_rate,
            warmup_steps=min(100, steps // 10),
            total_steps=steps,
        )
    )

    def make_dataset(start_step):
        return kd.data.view_dataset(
            tokens,
            views,
            args.batch_size,
            seed=args.seed,
            start_step=start_step,
            buckets=[args.sequence_length - 1],
        )

    fit(model, make_dataset, output / "short_checkpoints", steps)
    return model


def train_long(args, adaptation, tokens, output):
    """A low rate, with a warm-up; batches of several widths."""
    steps = args.long_steps
    adaptation.model.compile(
        kd.optimizers.adamw(
            args.long_learning_rate,
            warmup_steps=steps // 10,
            total_steps=steps,
        )
    )

    def make_dataset(start_step):
        return kd.data.view_dataset(
            tokens,
            adaptation.views,
            args.long_batch_size,
            seed=args.seed,
            start_step=start_step,
            buckets=adaptation.buckets,
        )

    fit(adaptation.model, make_dataset, output / "long_checkpoints", steps)


def fit(model, make_dataset, folder, steps):
    kd.runs.fit(
        model,
        make_dataset,
        folder,
        steps=steps,
        steps_per_epoch=max(steps // 10, 1),
        callbacks=[kd.callbacks.CollapseMonitor()],
        verbose=2,
    )


# === What is measured ===


def make_tasks(args, tokenizer, train, held_out):
    """Long and short texts: a sentence of each to find it by, and labels."""
    short = args.sequence_length - 1
    rng = np.random.default_rng(0)
    held_out, train = (
        [documents[i] for i in rng.permutation(len(documents))]
        for documents in (held_out, train)
    )
    tasks = {}
    for name, least in (("long", args.factor * short // 2), ("short", 1)):
        made = [take_sentence(rng, d.text, name == "short") for d in held_out]
        found = [(*pair, d.label) for pair, d in zip(made, held_out) if pair]
        found = of_length(tokenizer, found, 1, least)[:NUM_TEXTS]
        bank = [(d.text, d.label) for d in train]
        bank = of_length(tokenizer, bank, 0, least)[: 2 * NUM_TEXTS]
        if not found or not bank:
            raise SystemExit(
                f"The corpus has no {name} texts to measure on, of at least "
                f"{least} tokens."
            )
        names = ("queries", "texts", "labels", "bank", "bank_labels")
        columns = [*zip(*found), *zip(*bank)]
        tasks[name] = dict(zip(names, columns, strict=True))
    return tasks


def take_sentence(rng, text, first):
    """A sentence of a text, and the rest; `None` where there is none."""
    sentences = re.split(r"(?<=\.)\s+|\n\s*\n", text)
    good = [i for i, s in enumerate(sentences) if 20 <= len(s) <= 300]
    if first:
        good = good[:1]
    if not good or len(sentences) < 2:
        return None
    chosen = good[rng.integers(len(good))]
    rest = " ".join(s for i, s in enumerate(sentences) if i != chosen)
    return sentences[chosen], rest


def of_length(tokenizer, rows, place, least):
    """The rows whose text has enough tokens."""
    lengths = map(len, tokenizer.tokenize([row[place] for row in rows]))
    return [row for row, length in zip(rows, lengths) if length >= least]


def evaluate(args, backbone, tokenizer, length, tasks):
    row = {}
    for name, task in tasks.items():
        # Short texts are short for all.
        read = length if name == "long" else args.sequence_length
        preprocessor = kd.models.DinoLMTextPreprocessor(tokenizer, read)
        embedder = kd.models.DinoLMTextEmbedder(backbone, preprocessor)
        with warnings.catch_warnings():
            # Texts are cut at `length`: that is what is compared.
            warnings.simplefilter("ignore")
            queries, texts, bank = (
                embedder.encode(list(task[key]))
                for key in ("queries", "texts", "bank")
            )
        row[f"{name} nDCG"] = kd.evaluation.retrieval_ndcg(
            queries, texts, relevant=range(len(texts))
        )
        if len(set(task["bank_labels"])) > 1:
            row[f"{name} k-NN"] = kd.evaluation.knn_accuracy(
                bank, task["bank_labels"], texts, task["labels"]
            )
    return row


def print_table(rows, tasks):
    columns = [f"{name} {what}" for name in tasks for what in ("nDCG", "k-NN")]
    print("\n" + " " * 28 + "".join(f"{c:>12}" for c in columns))
    for name, row in rows.items():
        cells = "".join(
            f"{100 * row[c]:12.1f}" if c in row else f"{'-':>12}"
            for c in columns
        )
        print(f"{name:28}{cells}", flush=True)


if __name__ == "__main__":
    main()
