"""Token features that decay in training, and Gram anchoring that repairs them.

    KERAS_BACKEND=tensorflow python benchmarks/gram_anchoring.py
    KERAS_BACKEND=tensorflow python benchmarks/gram_anchoring.py \
        --snips FOLDER/slots/snips --seeds 0 1 2

DINOv3's phenomenon and its remedy, on a small scale. A `nano` encoder learns
by masked LM, and by InfoNCE between the `[CLS]` features of short spans, until
`--anchor` steps. From then on it learns by InfoNCE alone, at a high rate, and
its token features come to resemble their text. Half-way, the run forks: one arm
continues as it was, the other with Gram anchoring, whose Gram teacher is the
teacher as it was at `--anchor` steps. Every `--every` steps it measures the
teacher:

    cosine    the mean cosine of a token's feature and its text's, on the
              views of training (`token_sequence_cosine`);
    code F1   names of code in held-out documentation: a linear probe on the
              frozen feature of each word finds the words that were in
              backticks, which are taken away (entity F1);
    slot F1   the same for the slots of SNIPS, on its dev file (`--snips` is a
              folder of train.jsonl and dev.jsonl, see `contest/DATA.md`);
    k-NN      which package is a held-out text from?

Prints the table as it grows, over all `--seeds`, and keeps it in `--output`.
Killed and started again, it continues.

Machine, date and result: `RESULTS.md`, "Gram anchoring".
"""

import argparse
import collections
import itertools
import json
import os
import pathlib
import re
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402

import keras_dinolm as kd  # noqa: E402

COLUMNS = ("cosine", "code F1", "slot F1", "k-NN")
CODE = re.compile(r"``([^`\n]+)``|`([^`\n]+)`")


def main():
    args = parse_arguments()
    output = pathlib.Path(args.output)
    kd.files.claim_folder(
        output, "Gram anchoring", ["vocabulary.txt", "tokens", "seed*"]
    )
    train = kd.data.installed_docs("train", show_progress=False)
    held_out = kd.data.installed_docs("held_out", show_progress=False)
    tokenizer = load_tokenizer(args, train, output / "vocabulary.txt")
    tokens = kd.data.tokenize(train, tokenizer, output / "tokens")
    tasks = make_tasks(args, train, held_out)
    for seed in args.seeds:
        run(args, output / f"seed{seed}", seed, tokens, tokenizer, tasks)
        print_table(args, output)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--output", default="runs/gram_anchoring", help="folder to write")
    add("--snips", metavar="DIR", help="folder of train.jsonl and dev.jsonl")
    add("--seeds", type=int, nargs="+", default=[0])
    add("--steps", type=int, default=1_200)
    add("--every", type=int, default=200, help="steps between measurements")
    add("--anchor", type=int, default=200, help="step of the Gram teacher")
    add("--gram-weight", type=float, default=300.0)
    add("--learning-rate", type=float, default=4e-3)
    add("--size", default="nano", choices=list(kd.models.SIZES))
    add("--pooling", default="cls", choices=["mean", "cls", "attention"])
    add("--batch-size", type=int, default=32)
    add("--sequence-length", type=int, default=48)
    add("--vocabulary-size", type=int, default=8_192)
    add("--probe-sentences", type=int, default=400, help="to train a probe on")
    return parser.parse_args()


def load_tokenizer(args, train, path):
    """Trained once, since the same command continues a run."""
    if not path.exists():
        tokenizer = kd.data.train_tokenizer(train, args.vocabulary_size)
        kd.files.write_text(path, "\n".join(tokenizer.get_vocabulary()))
    return kd.models.DinoLMTokenizer(str(path))


# === The run and its fork ===


def run(args, folder, seed, tokens, tokenizer, tasks):
    """Both arms; they share everything up to the half."""
    half = args.steps // 2
    common, arms = folder / "common", ("without", "with")
    advance(args, common, 0.0, 0, half, seed, tokens, tokenizer, tasks)
    for arm in arms:
        if not (folder / arm).exists():
            with kd.files.replace_folder(
                folder / arm, lambda _: "a run"
            ) as new:
                shutil.copytree(common, new, dirs_exist_ok=True)
        weight = args.gram_weight if arm == "with" else 0.0
        advance(
            args, folder / arm, weight, half, args.steps, seed, tokens,
            tokenizer, tasks,
        )  # fmt: skip


def advance(args, folder, weight, begin, end, seed, tokens, tokenizer, tasks):
    """Trains from one step to another and measures on the way."""
    path = folder / "measured.json"
    measured = kd.files.read_json_or_set_aside(path) or {}
    todo = [
        step
        for step in range(begin + args.every, end + 1, args.every)
        if str(step) not in measured
    ]
    if begin == 0 and "0" not in measured:
        todo.insert(0, 0)
    if not todo:
        return
    keras.utils.set_random_seed(seed)
    views = make_views(args, tokenizer)
    model = make_model(args, views, tokenizer, weight)

    def make_dataset(start_step):
        return kd.data.view_dataset(
            tokens,
            views,
            args.batch_size,
            seed=seed,
            start_step=start_step,
            buckets=[args.sequence_length - 1],
        )

    for step in todo:
        row = {}
        if step:
            history = kd.runs.fit(
                model,
                make_dataset,
                folder / "checkpoints",
                steps=step,
                steps_per_epoch=args.every,
                callbacks=[kd.callbacks.CollapseMonitor()],
                keep=1,
                verbose=0,
            ).history
            row["cosine"] = history["token_sequence_cosine"][-1]
            row["loss"] = history["info_nce"][-1]
            if weight:
                row["gram"] = history["gram_anchoring"][-1]
        row |= measure(model.teacher.encoder.backbone, tokenizer, tasks)
        print(f"{folder} {step}: " + json.dumps(row), flush=True)
        measured[str(step)] = row
        kd.files.write_json(path, measured)


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


def make_model(args, views, tokenizer, gram_weight):
    o = kd.objectives
    # The copy exists from `anchor` on; from half-way on, it has a weight.
    weight = keras.optimizers.schedules.PiecewiseConstantDecay(
        [args.steps // 2], [0.0, gram_weight]
    )
    model = kd.models.DinoLM(
        kd.models.DinoLMBackbone.from_size(
            args.size,
            tokenizer.vocabulary_size(),
            pooling=args.pooling,
            embedding_stddev=0.05,
        ),
        [
            o.MaskedLM(stop=args.anchor),
            o.InfoNCE(),
            o.GramAnchoring(start=args.anchor, weight=weight),
        ],
        momentum=0.99,
        roles=views.roles,
    )
    model.compile(
        kd.optimizers.adamw(
            args.learning_rate, warmup_steps=100, schedule="constant"
        )
    )
    return model


# === What is measured ===


def make_tasks(args, train, held_out):
    """Sentences as words with a tag each; labelled texts."""
    rng = np.random.default_rng(0)
    size = args.probe_sentences
    tagged = {
        "code F1": [
            pick(rng, list(code_sentences(split)), count)
            for split, count in ((train, size), (held_out, size // 2))
        ]
    }
    if args.snips:
        parts = []
        for name, count in (("train", size), ("dev", None)):
            path = pathlib.Path(args.snips) / f"{name}.jsonl"
            lines = path.read_text(encoding="utf-8").splitlines()
            rows = [json.loads(line) for line in lines]
            parts.append(
                pick(rng, [(r["tokens"], r["tags"]) for r in rows], count)
            )
        tagged["slot F1"] = parts
    labelled = [pick(rng, list(x), 1_000) for x in (train, held_out)]
    return tagged, labelled


def pick(rng, items, count):
    chosen = rng.permutation(len(items))[:count]
    return [items[i] for i in chosen]


def code_sentences(documents):
    """Yields `(words, tags)`: which words were in backticks."""
    for document in documents:
        for paragraph in re.split(r"\n\s*\n", document.text):
            words, tags, end = [], [], 0
            found = list(CODE.finditer(paragraph))
            for match in [*found, None]:
                start = match.start() if match else len(paragraph)
                plain = paragraph[end:start].replace("`", " ").split()
                words += plain
                tags += ["O"] * len(plain)
                if match:
                    code = (match[1] or match[2]).split()
                    words += code
                    tags += ["B-code", *["I-code"] * (len(code) - 1)][
                        : len(code)
                    ]
                    end = match.end()
            if found and 8 <= len(words) <= 30:
                yield words, tags


def measure(backbone, tokenizer, tasks):
    tagged, labelled = tasks
    row = {}
    for name, parts in tagged.items():
        data = []
        for sentences in parts:
            ids, first = word_rows(tokenizer, [s[0] for s in sentences])
            tokens = encode(backbone, ids, "sequence_output")
            data.append([x[places] for x, places in zip(tokens, first)])
            data.append(
                [tags[: len(p)] for (_, tags), p in zip(sentences, first)]
            )
        row[name] = kd.evaluation.token_probe(*data, max_iterations=200)
    features = []
    for documents in labelled:
        ids = tokenizer.tokenize([d.text for d in documents])
        ids = [[tokenizer.cls_token_id, *x] for x in ids]
        features.append(encode(backbone, ids, "pooled_output"))
    row["k-NN"] = kd.evaluation.knn_accuracy(
        features[0],
        [d.label for d in labelled[0]],
        features[1],
        [d.label for d in labelled[1]],
    )
    return row


def word_rows(tokenizer, sentences, length=64):
    """Ids of each sentence, and where the first piece of each word is."""
    words = list(itertools.chain(*sentences))
    pieces = iter(tokenizer.tokenize(words))
    rows, places = [], []
    for sentence in sentences:
        row, first = [tokenizer.cls_token_id], []
        for _ in sentence:
            ids = list(next(pieces))
            if len(row) < length:
                first.append(len(row))
            row += ids or [tokenizer.unk_token_id]
        rows.append(row)
        places.append(first)
    return rows, places


def encode(backbone, ids, output, length=64, batch_size=100):
    """Features of rows of ids, cut and padded to one length."""
    token_ids = np.zeros((len(ids), length), "int32")
    mask = np.zeros((len(ids), length), "bool")
    for i, row in enumerate(ids):
        row = row[:length]
        token_ids[i, : len(row)], mask[i, : len(row)] = row, True
    inputs = {"token_ids": token_ids, "padding_mask": mask}
    return backbone.predict(inputs, batch_size=batch_size, verbose=0)[output]


# === The table ===


def print_table(args, output):
    """Means over the seeds that are done, with deviations if several."""
    cells = collections.defaultdict(list)
    for seed in args.seeds:
        for arm in ("common", "without", "with"):
            path = output / f"seed{seed}" / arm / "measured.json"
            measured = kd.files.read_json_or_set_aside(path) or {}
            for step, row in measured.items():
                if arm == "common" or int(step) > args.steps // 2:
                    cells[int(step), arm].append(row)
    print(f"\n{'step':>6}  {'Gram':8}" + "".join(f"{c:>14}" for c in COLUMNS))
    for (step, arm), rows in sorted(cells.items()):
        line = f"{step:>6}  {'' if arm == 'common' else arm:8}"
        for column in COLUMNS:
            values = [r[column] for r in rows if column in r]
            scale = 1 if column == "cosine" else 100
            digits = 3 if column == "cosine" else 1
            text = "-"
            if values:
                text = f"{scale * np.mean(values):.{digits}f}"
            if len(values) > 1:
                deviation = scale * np.std(values, ddof=1)
                text += f" ± {deviation:.{digits}f}"
            line += f"{text:>14}"
        print(line + (f"  ({len(rows)} seeds)" if len(rows) > 1 else ""))
    print(flush=True)


if __name__ == "__main__":
    main()
