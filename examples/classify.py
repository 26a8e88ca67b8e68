"""Trains a text classifier on a pretrained encoder, from few labelled texts.

    python examples/classify.py --preset runs/pretrain/preset
    python examples/classify.py --train train.tsv --test test.tsv

The preset comes from `python examples/pretrain.py`. Files have a header line
`text<TAB>label`. Without files, the task is to tell which Python package a
piece of documentation is from: 64 texts of each of the 8 largest packages to
learn from, and modules that were held out of pretraining to test on.

There are two ways to use an encoder. *Frozen*: only a linear head learns, and
many heads can share one encoder. *Fine-tuned*: from there, the encoder learns
as well, at a small rate. An encoder has to beat the largest class and TF-IDF
with logistic regression, so both are printed.

Cost: 79 s on one busy core of an AMD EPYC (torch, 2026-11-30).

Result, with the preset of 2 minutes of `examples/pretrain.py` on that core:

    largest class                   13.4
    TF-IDF + logistic regression    76.8
    frozen encoder + linear head    71.4
    fine-tuned                      72.1

Packages are told apart by their words, which TF-IDF sees; an encoder of two
minutes does not reach it on this task.
"""

import argparse
import collections
import os

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import keras_hub
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import keras_dinolm as kd

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("--preset", default="runs/pretrain/preset")
parser.add_argument("--train", help="TSV file; default: documentation")
parser.add_argument("--test", help="TSV file; needed with --train")
args = parser.parse_args()
if bool(args.train) != bool(args.test):
    parser.error("Give both --train and --test, or neither.")
if not os.path.isdir(args.preset):
    parser.error(
        f"There is no preset folder '{args.preset}'. Make one with "
        "`python examples/pretrain.py`."
    )
keras.utils.set_random_seed(0)


# === Texts and labels ===
def documentation(split, packages, most):
    """At most so many texts of each package, drawn at random."""
    texts, labels, seen = [], [], collections.Counter()
    documents = list(kd.data.installed_docs(split))
    for index in np.random.default_rng(0).permutation(len(documents)):
        document = documents[index]
        seen[document.label] += 1
        if document.label in packages and seen[document.label] <= most:
            texts.append(document.text)
            labels.append(document.label)
    return texts, labels


if args.train:
    x_train, train_labels = kd.evaluation.read_labelled_texts(args.train)
    x_test, test_labels = kd.evaluation.read_labelled_texts(args.test)
else:
    sizes = collections.Counter(
        document.label for document in kd.data.installed_docs("held_out")
    )
    packages = [name for name, _ in sizes.most_common(8)]
    x_train, train_labels = documentation("train", packages, 64)
    x_test, test_labels = documentation("held_out", packages, 125)
classes = sorted({*train_labels, *test_labels})
y_train = np.array([classes.index(label) for label in train_labels])
y_test = np.array([classes.index(label) for label in test_labels])
print(f"{len(x_train):,} texts to learn from, {len(x_test):,} to test on.")

# === What an encoder has to beat ===
tfidf = make_pipeline(
    TfidfVectorizer(sublinear_tf=True),
    LogisticRegression(C=10.0, max_iter=1_000),
)
rows = {
    "largest class": np.bincount(y_test).max() / len(y_test),
    "TF-IDF + logistic regression": tfidf.fit(x_train, y_train).score(
        x_test, y_test
    ),
}

# === Frozen: the head alone learns ===
# Using `kd.models` is what lets keras-hub find the preset's classes.
kd.models.check_preset(args.preset)
classifier = keras_hub.models.TextClassifier.from_preset(
    args.preset, num_classes=len(classes)
)
classifier.preprocessor.sequence_length = 64
classifier.backbone.trainable = False  # before `compile`


def learn(rate, epochs):
    # keras-hub adds the loss and the accuracy that go with the logits.
    classifier.compile(keras.optimizers.Adam(rate))
    classifier.fit(x_train, y_train, batch_size=32, epochs=epochs, verbose=2)
    logits = classifier.predict(x_test, verbose=0)
    return np.mean(np.argmax(logits, axis=1) == y_test)


rows["frozen encoder + linear head"] = learn(rate=1e-2, epochs=20)

# === Fine-tuned: the encoder learns as well ===
classifier.backbone.trainable = True
if getattr(classifier.backbone, "pooled_layers", None) == (0,):
    # The default recipe averages embeddings into a text's feature, and the
    # blocks serve tokens. No gradient would reach them here.
    for block in classifier.backbone.blocks:
        block.trainable = False
    classifier.backbone.registers.trainable = False
rows["fine-tuned"] = learn(rate=3e-4, epochs=5)

print(f"\n{'Accuracy, %':30}")
for name, value in rows.items():
    print(f"  {name:30}{100 * value:6.1f}")
classifier.save_to_preset("runs/classify")
print(
    "\nSaved to runs/classify. To use it:\n"
    "  import keras_hub, keras_dinolm.models\n"
    "  keras_hub.models.TextClassifier.from_preset('runs/classify')\n"
    f"Its classes, in order: {', '.join(classes)}"
)
