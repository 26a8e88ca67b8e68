"""Pretrains a text encoder without labels, on this machine's documentation.

    python examples/pretrain.py              # about 4 minutes of training
    python examples/pretrain.py --minutes 1  # a glance
    python examples/pretrain.py --corpus notes.txt papers.jsonl.gz

Reads the documentation strings of the standard library and of the installed
packages, trains a vocabulary, then a small encoder. Its token embeddings start
from which tokens stand near which; as a bag, without any block, they learn to
tell apart short spans of different texts (InfoNCE); then blocks come on top,
which predict words that are masked in a window (masked LM), while the
embeddings go on with both. A text's feature is the average of its embeddings, a
token's what the blocks make of it. Kept is the moving average, the teacher.
Whole modules are held out; on them it measures, before and after,

    nDCG@10   find the rest of a documentation string by its first sentence,
              among 1,000 others;
    k-NN      which package is a document from? by its neighbours in training.

and prints both beside TF-IDF. It writes, to `--output`,

    preset/        the teacher as a keras-hub preset (examples/search.py)
    pretrain.png   loss terms and monitors over time, and a map of held-out
                   documents; monitors read windows with their masks, which
                   make the features of texts alike (mean cosine)
    checkpoints/   started again, the same command goes on where it was.

Results on two cores stand in README.md. The backend is chosen by
`KERAS_BACKEND` (default here: jax).
"""

import argparse
import json
import os
import pathlib
import re
import time

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_dinolm as kd

NUM_QUERIES = 1_000
NUM_LABELLED = 2_000
START_BATCHES = 4  # batches a step, while a step is cheap


def main():
    args = parse_arguments()
    output = pathlib.Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(args.seed)

    # === Text ===
    train, held_out = read_corpus(args)
    print(f"{train}\n{held_out}" if not args.corpus else len(train), flush=True)
    tokenizer = kd.data.train_tokenizer(train, args.vocabulary_size)
    tokens = kd.data.tokenize(train, tokenizer, output / "tokens")
    views = make_views(args, tokenizer)

    # === Before ===
    print("Measuring TF-IDF and the untrained encoder ...", flush=True)
    tasks = make_tasks(args, train, held_out)
    rows = {"TF-IDF": evaluate_tfidf(tasks)}
    rows |= evaluate_untrained(args, tokenizer, tasks)

    # === Training ===
    start_steps, steps = plan(args, tokenizer, tokens, output)
    begin = time.monotonic()
    backbone = make_encoder(args, tokenizer)
    if start_steps:
        backbone = train_start(args, tokenizer, tokens, start_steps, output)
    model = make_model(args, backbone, views, steps)
    print(f"Training for {steps:,} steps of {args.batch_size} texts.")
    history = fit(args, model, tokens, views, steps, output / "checkpoints")
    print(f"Trained for {time.monotonic() - begin:.0f} s.")

    # === After ===
    model.export_preset(
        output / "preset", tokenizer, args.sequence_length, heads=True
    )
    embedder = kd.models.DinoLMTextEmbedder.from_preset(output / "preset")
    features, rows["teacher"] = evaluate(embedder.encode, tasks)
    print_table(rows, features["documents"], history.history)
    plot(history.history, features["documents"], tasks, output)
    write_results(args, output, rows, history.history, start_steps, steps)
    print(
        f"\nThe encoder is in {output / 'preset'}. Try\n"
        f"  python examples/search.py --preset {output / 'preset'}"
    )


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
    add("--output", default="runs/pretrain", help="folder to write")
    add("--minutes", type=float, default=4.0, help="of training proper")
    add("--steps", type=int, help="train for so many steps instead")
    add(
        "--recipe",
        default="default",
        choices=["default", "info_nce", "distillation"],
        help="the default, InfoNCE alone, or DINO, iBOT and KoLeo",
    )
    add(
        "--start-steps",
        type=int,
        default=2_000,
        help="without blocks, at most half of the time (default recipe)",
    )
    add("--size", default="nano", choices=list(kd.models.SIZES))
    add("--pooling", default="mean", choices=["mean", "cls", "attention"])
    add("--vocabulary-size", type=int, default=8_192)
    add("--sequence-length", type=int, default=64, help="tokens of a window")
    add(
        "--embedding-stddev",
        type=float,
        default=0.05,
        help="of the token embeddings at the start",
    )
    add("--batch-size", type=int, default=64)
    add("--learning-rate", type=float, default=2e-3)
    add("--weight-decay", type=float, default=0.04)
    add("--num-prototypes", type=int, default=512)
    add("--sequence-weight", type=float, default=0.5)
    add("--token-weight", type=float, default=0.5)
    add("--koleo-weight", type=float, default=0.1)
    add("--masked-lm-weight", type=float, default=1.0)
    add("--mask-ratio", type=float, default=0.3, help="default recipe")
    add(
        "--local-span",
        type=float,
        nargs=2,
        default=(0.2, 0.4),
        help="short views, as shares of a window",
    )
    add("--num-local", type=int, default=4)
    add("--word-deletion", type=float, default=0.0)
    add("--temperature", type=float, default=0.05, help="of InfoNCE")
    add(
        "--momentum",
        type=float,
        nargs=2,
        default=(0.98, 0.998),
        help="of the teacher, at the start and the end",
    )
    add("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.recipe == "default" and args.pooling == "cls":
        parser.error(
            "--pooling cls reads the first token, whose embedding is the same "
            "in every text. Take mean or attention, or another --recipe."
        )
    return args


def read_corpus(args):
    """Documents to train on, and documents held out."""
    if not args.corpus:
        return (
            kd.data.installed_docs("train"),
            kd.data.installed_docs("held_out"),
        )
    jsonl = [f for f in args.corpus if re.search(r"\.jsonl?(\.gz)?$", f)]
    plain = [f for f in args.corpus if f not in jsonl]
    documents = []
    if jsonl:
        documents += kd.data.read_jsonl(jsonl, label_key="source")
    if plain:
        documents += kd.data.read_text(plain, split="paragraph")
    if len(documents) < 100:
        raise SystemExit(
            f"--corpus holds {len(documents)} documents; at least 100 are "
            "needed, a tenth of them to measure."
        )
    order = np.random.default_rng(0).permutation(len(documents))
    cut = len(documents) // 10
    held_out = [documents[i] for i in order[:cut]]
    return [documents[i] for i in order[cut:]], held_out


def make_views(args, tokenizer):
    distils = args.recipe == "distillation"
    groups = [
        kd.views.ViewGroup(
            "local",
            count=args.num_local,
            span=tuple(args.local_span),
            # Without long views the short ones are all there is to read.
            roles="student" if distils else ("student", "teacher"),
            word_deletion=args.word_deletion,
        )
    ]
    if distils:
        whole = kd.views.ViewGroup(
            "global",
            count=2,
            span=(0.8, 1.0),
            mask_probability=0.5,
            mask_ratio=(0.1, 0.5),
        )
        groups.insert(0, whole)
    elif args.recipe == "default":
        whole = kd.views.ViewGroup(
            "whole",
            count=1,
            mask_probability=1.0,
            mask_ratio=args.mask_ratio,
            mask_span=1.0,
            mask_unit="word",
        )
        groups.insert(0, whole)
    return kd.views.TextViews(tokenizer, args.sequence_length, groups=groups)


def make_backbone(args, tokenizer, pooling, **overrides):
    keras.utils.set_random_seed(args.seed)
    return kd.models.DinoLMBackbone.from_size(
        args.size,
        tokenizer.vocabulary_size(),
        pooling=pooling,
        embedding_stddev=args.embedding_stddev,
        **overrides,
    )


def make_encoder(args, tokenizer, **overrides):
    """The backbone to train."""
    if args.recipe == "default":
        # The text's feature is that of its embeddings: InfoNCE does not reach
        # the blocks, which learn from masked LM alone.
        overrides = {"pooled_layers": (0,), **overrides}
    return make_backbone(args, tokenizer, args.pooling, **overrides)


def make_start(args, tokenizer, steps):
    """Embeddings without blocks: a step costs a fraction of a full one."""
    backbone = make_encoder(args, tokenizer, num_layers=0, num_registers=0)
    bag = argparse.Namespace(**{**vars(args), "recipe": "info_nce"})
    views = make_views(bag, tokenizer)
    return make_model(bag, backbone, views, steps), views


def train_start(args, tokenizer, tokens, steps, output):
    """A backbone whose embeddings are counted, and trained as a bag."""
    print("Counting which tokens stand near which ...", flush=True)
    model, views = make_start(args, tokenizer, steps)
    bag = model.student.encoder.backbone
    bag.token_embedding.embeddings.assign(
        kd.data.ppmi_embeddings(
            tokens,
            bag.vocabulary_size,
            bag.hidden_dim,
            stddev=args.embedding_stddev,
        )
    )
    texts = START_BATCHES * args.batch_size
    print(f"Training without blocks for {steps:,} steps of {texts} texts.")
    fit(args, model, tokens, views, steps, output / "start", START_BATCHES)
    full = make_encoder(args, tokenizer)
    return kd.models.extend_depth(
        bag,
        full.num_layers,
        layer_scale=0.1,
        num_registers=full.num_registers,
        pooled_layers=full.pooled_layers,
    )


def fit(args, model, tokens, views, steps, checkpoints, batches=1):
    return kd.runs.fit(
        model,
        lambda step: make_dataset(args, tokens, views, step, batches),
        checkpoints,
        steps=steps,
        steps_per_epoch=-(-steps // 20),
        callbacks=[kd.callbacks.CollapseMonitor()],
        verbose=2,
    )


def make_dataset(args, tokens, views, start_step=0, batches=1):
    return kd.data.view_dataset(
        tokens,
        views,
        batches * args.batch_size,
        seed=args.seed,
        start_step=start_step,
        buckets=[args.sequence_length - 1],
    )


def make_model(args, backbone, views, steps):
    """The student, its teacher and what is learned."""
    temperature = kd.schedules.Linear(0.04, 0.07, max(steps // 5, 1))
    o = kd.objectives
    if args.recipe == "distillation":
        objectives = [
            o.SequenceDistillation(
                weight=args.sequence_weight, teacher_temperature=temperature
            ),
            o.TokenDistillation(
                weight=args.token_weight, teacher_temperature=temperature
            ),
            o.KoLeo(args.koleo_weight),
        ]
    else:
        objectives = [o.InfoNCE(args.temperature)]
    if args.recipe == "default":
        objectives.append(o.MaskedLM(weight=args.masked_lm_weight))
    model = kd.models.DinoLM(
        backbone,
        objectives,
        num_prototypes=args.num_prototypes,
        momentum=kd.schedules.Cosine(*args.momentum, steps),
        roles=views.roles,
    )
    model.compile(
        kd.optimizers.adamw(
            args.learning_rate,
            warmup_steps=min(100, steps // 10),
            total_steps=steps,
            weight_decay=args.weight_decay,
        )
    )
    return model


def plan(args, tokenizer, tokens, output):
    """How many steps fit into the time, without blocks and with them."""
    path = output / "plan.json"
    if path.exists():  # a run that was begun keeps its plan
        return json.loads(path.read_text())
    starts = args.recipe == "default" and args.start_steps > 0
    if args.steps:
        steps = min(args.start_steps, args.steps) if starts else 0, args.steps
    else:
        print("Measuring the time of a step ...", flush=True)
        backbone = make_encoder(args, tokenizer)
        views = make_views(args, tokenizer)
        full = make_model(args, backbone, views, 10_000), views
        left, start = 60 * args.minutes, 0
        if starts:
            shallow = make_start(args, tokenizer, 10_000)
            second = step_seconds(args, *shallow, tokens, START_BATCHES)
            start = min(args.start_steps, max(round(left / 2 / second), 20))
            left -= start * second
        second = step_seconds(args, *full, tokens)
        steps = start, max(round(left / second), 20)
    path.write_text(json.dumps(steps))
    return steps


def step_seconds(args, model, views, tokens, batches=1):
    """Median seconds of a step."""
    data = iter(make_dataset(args, tokens, views, batches=batches))
    times = []
    for _ in range(12):
        batch = keras.tree.map_structure(np.asarray, next(data))
        begin = time.perf_counter()
        model.train_on_batch(batch)
        times.append(time.perf_counter() - begin)
    return float(np.median(times[3:]))


def make_tasks(args, train, held_out):
    """Held-out queries and their documents; labelled documents to compare."""
    rng = np.random.default_rng(0)
    pairs = []
    for document in held_out:
        # The first sentence ends with a full stop, or with its paragraph.
        first, *rest = re.split(
            r"(?<=\.)\s+|\n\s*\n", document.text, maxsplit=1
        )
        rest = "".join(rest)
        if 20 <= len(first) <= 300 and len(rest) >= 100:
            pairs.append((first, rest, document.label))
    chosen = rng.permutation(len(pairs))[:NUM_QUERIES]
    pairs = [pairs[i] for i in chosen]
    train = list(train)
    bank = [train[i] for i in rng.permutation(len(train))[:NUM_LABELLED]]
    return {
        "queries": [first for first, _, _ in pairs],
        "documents": [rest for _, rest, _ in pairs],
        "labels": [label for _, _, label in pairs],
        "bank": [d.text for d in bank],
        "bank_labels": [d.label for d in bank],
    }


def evaluate(encode, tasks):
    features = {
        key: encode(tasks[key]) for key in ("queries", "documents", "bank")
    }
    return features, score(features, tasks)


def score(features, tasks):
    row = {
        "ndcg": kd.evaluation.retrieval_ndcg(
            features["queries"],
            features["documents"],
            relevant=range(len(tasks["queries"])),
        )
    }
    if len(set(tasks["bank_labels"])) > 1:
        row["knn"] = kd.evaluation.knn_accuracy(
            features["bank"],
            tasks["bank_labels"],
            features["documents"],
            tasks["labels"],
        )
    return row


def evaluate_untrained(args, tokenizer, tasks):
    """The encoder as it starts, with each pooler that has no weights."""
    rows = {}
    for pooling in ("mean", "cls"):
        backbone = make_backbone(args, tokenizer, pooling)
        embedder = kd.models.DinoLMTextEmbedder(
            backbone,
            kd.models.DinoLMTextPreprocessor(
                tokenizer, sequence_length=args.sequence_length
            ),
        )
        _, rows[f"untrained, {pooling} pooling"] = evaluate(
            embedder.encode, tasks
        )
    return rows


def evaluate_tfidf(tasks):
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True)
    vectorizer.fit(tasks["bank"] + tasks["documents"])
    features = {
        key: vectorizer.transform(tasks[key]).toarray().astype("float32")
        for key in ("queries", "documents", "bank")
    }
    return score(features, tasks)


def print_table(rows, features, history):
    print(f"\n{'':28}{'nDCG@10':>9}{'k-NN':>9}")
    for name, row in rows.items():
        cells = "".join(
            f"{100 * row[key]:9.1f}" if key in row else f"{'-':>9}"
            for key in ("ndcg", "knn")
        )
        print(f"{name:28}{cells}")
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    spread = np.sqrt(unit.var(axis=0).sum())
    print(
        f"\nHeld-out documents: RankMe {kd.evaluation.rankme(features):.1f} "
        f"of {features.shape[1]}, feature std {spread:.2f} (1 is isotropic)."
    )
    if "prototype_perplexity" in history:
        used = history["prototype_perplexity"][-1]
        print(f"Prototypes used in the last epoch (perplexity): {used:.0f}.")


def plot(history, features, tasks, output):
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    from sklearn.manifold import TSNE

    figure, axes = plt.subplots(1, 3, figsize=(18, 5.5), layout="constrained")
    losses = [
        "info_nce",
        "masked_lm",
        "sequence_distillation",
        "token_distillation",
        "koleo",
    ]
    monitors = [
        "teacher_entropy",
        "student_entropy",
        "feature_std",
        "mean_cosine",
        "token_sequence_cosine",
    ]
    for axis, names, title in (
        (axes[0], losses, "loss terms"),
        (axes[1], monitors, "monitors"),
    ):
        for name in names:
            if name in history:
                curve = history[name]  # NaN before its objective acts
                axis.plot(np.arange(1, len(curve) + 1), curve, label=name)
        axis.set(title=title, xlabel="epoch")
        axis.legend(frameon=False)
    labels = np.array(tasks["labels"])
    names, counts = np.unique(labels, return_counts=True)
    shown = names[np.argsort(-counts)][:10]
    perplexity = min(30, (len(features) - 1) / 3)
    places = TSNE(
        metric="cosine", init="pca", random_state=0, perplexity=perplexity
    ).fit_transform(features)
    others = ~np.isin(labels, shown)
    axes[2].scatter(*places[others].T, s=6, color="lightgray")
    for color, name in enumerate(shown):
        axes[2].scatter(
            *places[labels == name].T, s=8, color=f"C{color}", label=name
        )
    axes[2].set(title="held-out documents (t-SNE)", xticks=[], yticks=[])
    axes[2].legend(
        markerscale=2,
        fontsize=8,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        frameon=False,
    )
    figure.savefig(output / "pretrain.png", dpi=110)


def write_results(args, output, rows, history, start_steps, steps):
    last = {name: values[-1] for name, values in history.items()}
    (output / "results.json").write_text(
        json.dumps(
            {
                "arguments": vars(args),
                "start_steps": start_steps,
                "steps": steps,
                "rows": rows,
                "last_epoch": last,
            },
            indent=2,
            default=float,
        )
    )


if __name__ == "__main__":
    main()
