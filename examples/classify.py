"""Trains a text classifier on a preset, from few labelled texts.

    python examples/classify.py                    # which package is it from?
    python examples/classify.py --train a.tsv --test b.tsv --save classifier/

A TSV file holds a text, a tab and a label on each line. Without files, the task
is to tell the package of a documentation string: `--per-class` labelled texts
of each of the largest packages to learn from, and modules that were held out
of pretraining to test on.

It shows the two ways of using an encoder that was trained without labels.
*Frozen*: `classifier.backbone.trainable = False`, and only the linear head
learns; many heads can share one encoder. *Fine-tuned*: from there, all weights
that the text's feature is made of learn at a small rate. Beside both stand the
largest class and TF-IDF with logistic regression, which are what an encoder has
to beat.

Cost: 25 s on two cores with a `nano` encoder on jax.

Result, 8 packages with 64 texts each, 1,000 texts of held-out modules, with
the preset of `examples/pretrain.py` as of commit 330cfa6 (2026-11-29, 2 virtual
cores, jax):

    accuracy, %
      largest class                   27.1
      TF-IDF + logistic regression    80.1
      frozen encoder + linear head    72.3
      fine-tuned                      73.8

Packages are told apart by their words, which is what TF-IDF sees; an encoder of
a few minutes does not reach it on this task.

The backend is chosen by `KERAS_BACKEND` (default here: jax).
"""

import argparse
import collections
import os
import pathlib
import sys

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import keras_hub
import numpy as np

import keras_dinolm as kd


def main():
    args = parse_arguments()
    check_preset(args.preset)
    keras.utils.set_random_seed(args.seed)
    train, test = read_task(args)
    classes = sorted({label for _, label in train})
    print(
        f"{len(train):,} texts to learn from, {len(test):,} to test on, "
        f"{len(classes)} classes: {', '.join(classes)}"
    )
    rows = {
        "largest class": largest_class(test),
        "TF-IDF + logistic regression": tfidf(train, test),
    }

    classifier = load(args, len(classes))
    x = [text for text, _ in train]
    y = np.array([classes.index(label) for _, label in train])

    # === Frozen: the head alone ===
    # Set before `compile`, which looks at what is trainable.
    classifier.backbone.trainable = False
    compile_and_fit(classifier, x, y, args.head_rate, args.head_epochs)
    rows["frozen encoder + linear head"] = accuracy(classifier, classes, test)

    # === Fine-tuned: everything, from the trained head on ===
    if args.epochs:
        classifier.backbone.trainable = True
        freeze_unread_blocks(classifier.backbone)
        compile_and_fit(classifier, x, y, args.rate, args.epochs)
        rows["fine-tuned"] = accuracy(classifier, classes, test)

    print(f"\n{'accuracy, %':30}")
    for name, value in rows.items():
        print(f"  {name:30}{100 * value:6.1f}")
    if args.save:
        classifier.save_to_preset(args.save)
        pathlib.Path(args.save, "classes.txt").write_text("\n".join(classes))
        print(
            f"\nSaved to {args.save}. To use it: import keras_dinolm.models, "
            f"then keras_hub.models.TextClassifier.from_preset('{args.save}')."
        )


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--preset",
        default="runs/pretrain/preset",
        metavar="DIR",
        help="written by examples/pretrain.py (default: %(default)s)",
    )
    add("--train", metavar="FILE", help="TSV file: text, tab, label")
    add("--test", metavar="FILE", help="TSV file to test on")
    add(
        "--per-class",
        type=int,
        default=64,
        help="texts of each class to learn from (default: %(default)s)",
    )
    add(
        "--classes",
        type=int,
        default=8,
        help="packages, without --train (default: %(default)s)",
    )
    add("--test-size", type=int, default=1_000, help="texts, at most")
    add("--length", type=int, default=64, help="tokens of a text that are read")
    add("--head-epochs", type=int, default=30, help="with a frozen encoder")
    add("--head-rate", type=float, default=1e-2)
    add("--epochs", type=int, default=5, help="of fine-tuning; 0 for none")
    add("--rate", type=float, default=3e-4)
    add("--save", metavar="DIR", help="where to write the classifier")
    add("--seed", type=int, default=0)
    args = parser.parse_args()
    if bool(args.train) != bool(args.test):
        parser.error("--train and --test go together")
    if min(args.per_class, args.test_size, args.head_epochs) < 1:
        parser.error("--per-class, --test-size, --head-epochs: at least 1")
    if args.classes < 2 or args.length < 2:
        parser.error("--classes and --length must be at least 2")
    return args


def check_preset(preset):
    if not pathlib.Path(preset).is_dir():
        sys.exit(
            f"There is no preset folder '{preset}'. Train an encoder with "
            "`python examples/pretrain.py` (its preset is in "
            "runs/pretrain/preset), or name a preset by --preset."
        )
    try:
        kd.models.check_preset(preset)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(str(error))


def load(args, num_classes):
    # Touching `kd.models`, as above, is what lets keras-hub read our presets.
    classifier = keras_hub.models.TextClassifier.from_preset(
        args.preset, num_classes=num_classes
    )
    classifier.preprocessor.sequence_length = args.length
    return classifier


def freeze_unread_blocks(backbone):
    """Leaves out blocks that the text's feature is not made of.

    Presets of the default recipe pool the embeddings: blocks serve tokens, and
    no loss on the text's feature reaches them.
    """
    # Encoders of keras-hub itself pool the last layer.
    layers = getattr(backbone, "pooled_layers", (-1,))
    if -1 in layers:
        return
    deepest = max(layers)
    for block in backbone.blocks[deepest:]:
        block.trainable = False
    if not deepest:
        backbone.registers.trainable = False


def compile_and_fit(classifier, x, y, rate, epochs):
    count = sum(np.prod(w.shape) for w in classifier.trainable_weights)
    print(f"\nTraining {int(count):,} weights")
    # keras-hub adds the loss and the accuracy that go with the logits.
    classifier.compile(keras.optimizers.Adam(rate))
    classifier.fit(x, y, batch_size=32, epochs=epochs, verbose=2)


# === The task: pairs (text, label) ===


def read_task(args):
    rng = np.random.default_rng(args.seed)
    if args.train:
        train, test = read_tsv(args.train), read_tsv(args.test)
    else:
        train, test = read_documentation(args.classes)
    known = {label for _, label in train}
    if len(known) < 2:
        sys.exit(f"At least two labels are needed. Received: {sorted(known)}")
    new = {label for _, label in test} - known
    if new:
        sys.exit(
            f"Labels to test on without a text to learn from: {sorted(new)}"
        )
    chosen, seen = [], collections.Counter()
    for index in rng.permutation(len(train)):
        label = train[index][1]
        seen[label] += 1
        if seen[label] <= args.per_class:
            chosen.append(train[index])
    kept = rng.permutation(len(test))[: args.test_size]
    return chosen, [test[index] for index in kept]


def read_documentation(num_classes):
    """Documents of the packages with most of them; whole modules held out."""
    splits = [
        [(d.text, d.label) for d in kd.data.installed_docs(split)]
        for split in ("train", "held_out")
    ]
    counts = collections.Counter(label for _, label in splits[1])
    largest = {label for label, _ in counts.most_common(num_classes)}
    largest &= {label for _, label in splits[0]}
    return [[pair for pair in split if pair[1] in largest] for split in splits]


def read_tsv(path):
    pairs = []
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                text, tab, label = line.rstrip("\n").rpartition("\t")
                if not (tab and text.strip() and label.strip()):
                    sys.exit(
                        f"{path}:{number} is not a text, a tab and a label. "
                        f"Received: {line[:60]!r}"
                    )
                pairs.append((text, label.strip()))
    except OSError as error:
        sys.exit(f"Cannot read {path}: {error.strerror}")
    except UnicodeDecodeError as error:
        sys.exit(f"{path} is not UTF-8 text: {error.reason}")
    if not pairs:
        sys.exit(f"{path} is empty: it needs lines of text, tab, label.")
    return pairs


# === Rows of the table ===


def accuracy(classifier, classes, test):
    logits = classifier.predict([text for text, _ in test], verbose=0)
    found = [classes[index] for index in np.argmax(logits, axis=1)]
    return np.mean([a == b for a, (_, b) in zip(found, test)])


def largest_class(test):
    counts = collections.Counter(label for _, label in test)
    return counts.most_common(1)[0][1] / len(test)


def tfidf(train, test):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(
        TfidfVectorizer(sublinear_tf=True),
        LogisticRegression(C=10.0, max_iter=1_000),
    )
    model.fit(*zip(*train))
    return model.score(*zip(*test))


if __name__ == "__main__":
    main()
