"""Sentences to learn from, and a search in the user's own domain."""

import gzip
import json
import pathlib
import re

import numpy as np

import keras_dinolm as kd
from keras_dinolm.text.sentences import split_sentences

# Shorter ones are headings and fragments.
FEWEST_WORDS = 5
MOST_PAIRS = 1_000


def documents(folder, name="train"):
    """The texts of the corpus, one string a document.

    Args:
        folder: path of the data.
        name: string, `"train"` or `"valid"`.

    Returns:
        List of strings.
    """
    path = pathlib.Path(folder) / "corpus" / f"{name}.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def sentences(folder, name="train"):
    """The different sentences of the corpus, in an order drawn once.

    Args:
        folder: path of the data.
        name: string, `"train"` or `"valid"`.

    Returns:
        List of strings. Any first part of it is a sample of the corpus.
    """
    found = dict.fromkeys(
        sentence.strip()
        for text in documents(folder, name)
        for paragraph in text.split("\n")
        for sentence in split_sentences(paragraph)
    )
    kept = [s for s in found if len(s.split()) >= FEWEST_WORDS]
    order = np.random.default_rng(0).permutation(len(kept))
    return [kept[i] for i in order]


def domain_pairs(folder):
    """First sentences, and the rest of their paragraphs, of unseen modules.

    Args:
        folder: path of the data.

    Returns:
        Two lists of strings of the same length.
    """
    pairs = []
    for text in documents(folder, "valid"):
        for paragraph in text.split("\n"):
            first, *rest = re.split(r"(?<=[.?!])\s+", paragraph, maxsplit=1)
            rest = "".join(rest)
            if 30 <= len(first) <= 300 and len(rest) >= 150:
                pairs.append((first, rest[:1000]))
    order = np.random.default_rng(0).permutation(len(pairs))[:MOST_PAIRS]
    return tuple(list(part) for part in zip(*(pairs[i] for i in order)))


def domain_ndcg(encoder, folder):
    """nDCG@10 of finding a paragraph's rest by its first sentence.

    Args:
        encoder: object with `encode`.
        folder: path of the data.

    Returns:
        Float from 0 to 1.
    """
    first, rest = domain_pairs(folder)
    return float(
        kd.evaluation.retrieval_ndcg(
            np.asarray(encoder.encode(first)),
            np.asarray(encoder.encode(rest)),
            relevant=range(len(first)),
        )
    )
