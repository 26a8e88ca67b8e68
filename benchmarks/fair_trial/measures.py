"""What an encoder of the trial is worth, on dev files."""

import gzip
import json
import re
import warnings

import numpy as np

import keras_dinolm as kd
from keras_dinolm.recipes.phase import with_pooled_layers

# The nine tasks of the contest without the one on tokens.
TEXT_TASKS = [name for name in kd.evaluation.TASKS if name != "snips_slots"]
MAX_TRAIN = 1_000
LENGTH = 256
# Few texts of the tasks are longer, and all encoders read the same of them.
warnings.filterwarnings("ignore", ".*texts have more than")
NUM_PAIRS = 1_000


def embedder(backbone, tokenizer):
    return kd.models.DinoLMTextEmbedder(
        backbone,
        kd.models.DinoLMTextPreprocessor(tokenizer, sequence_length=LENGTH),
    )


def measure(workshop, backbone, layers, slots=None, rows=MAX_TRAIN):
    """Scores in percent, by what is read.

    Args:
        workshop: `Workshop`.
        backbone: `DinoLMBackbone`.
        layers: dict of name to `(layers, weighted)`: whose features are
            averaged, and whether tokens have their weights in the mean.
        slots: int or `None`. Training rows of the probe of tokens.
        rows: int. Training rows of the others.

    Returns:
        A dict: for each name of `layers` the scores of eight tasks, their
        mean `avg8`, and `in_domain`; and `slots`.
    """
    scores = {}
    for name, (pooled, weighted) in layers.items():
        reader = with_pooled_layers(backbone, pooled)
        if not weighted:
            weights = reader.pooler.log_weights
            weights.assign(np.zeros(weights.shape))
        encoder = embedder(reader, workshop.tokenizer)
        found = evaluate(encoder, workshop.data, TEXT_TASKS, rows)
        found["avg8"] = float(np.mean([found[task] for task in TEXT_TASKS]))
        found["in_domain"] = in_domain(encoder, workshop.data)
        scores[name] = found
    if slots:
        found = evaluate(
            embedder(backbone, workshop.tokenizer),
            workshop.data,
            ["snips_slots"],
            slots,
        )
        scores["slots"] = found["snips_slots"]
    return scores


def evaluate(encoder, data, tasks, max_train):
    found = kd.evaluation.evaluate(
        encoder, data, tasks=tasks, max_train=max_train, verbose=False
    )
    return {task: 100 * float(score) for task, score in found.items()}


def in_domain(encoder, data):
    """nDCG@10: the first sentence of a held-out paragraph finds its rest."""
    features = [
        np.asarray(encoder.encode(list(texts)))
        for texts in zip(*paragraphs(data, "valid", NUM_PAIRS), strict=True)
    ]
    found = kd.evaluation.retrieval_ndcg(
        *features, relevant=range(len(features[0]))
    )
    return 100 * float(found)


def paragraphs(data, split, count=None):
    """Pairs of a paragraph's first sentence and its rest.

    Args:
        data: path, of corpus and tasks.
        split: string, `"train"` or `"valid"`.
        count: int or `None`. The most pairs, drawn with seed 0.

    Returns:
        A list of pairs of strings.
    """
    pairs = []
    path = data / "corpus" / f"{split}.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            for text in json.loads(line)["text"].split("\n"):
                first, *rest = re.split(r"(?<=[.?!])\s+", text, maxsplit=1)
                rest = "".join(rest)
                if 30 <= len(first) <= 300 and len(rest) >= 150:
                    pairs.append((first, rest[:1_000]))
    order = np.random.default_rng(0).permutation(len(pairs))[:count]
    return [pairs[i] for i in order]
