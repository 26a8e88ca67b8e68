"""One run: an encoder is made, and all there is to say of it measured."""

import functools
import pathlib

import numpy as np
from contest import tfidf
from sklearn.feature_extraction.text import TfidfVectorizer

import keras_dinolm as kd
from distilling import ours
from distilling import rivals
from distilling import speed
from distilling import teacher
from distilling.clock import Clock
from distilling.texts import domain_ndcg
from distilling.texts import domain_pairs
from distilling.texts import sentences

MAKERS = {
    "scratch_old": ours.scratch,
    "scratch": ours.scratch,
    "model2vec": rivals.model2vec,
    "tokenlearn": rivals.tokenlearn,
    "regression_bag": rivals.regression_bag,
    "regression_blocks": rivals.regression_blocks,
    "table": functools.partial(ours.distill, size="table"),
    "nano": functools.partial(ours.distill, size="nano"),
    "mini": functools.partial(ours.distill, size="mini"),
}


def run(args, method, seed, folder, timed_texts):
    """Makes the encoder of a method, and measures it.

    Args:
        args: arguments of the command.
        method: string.
        seed: int.
        folder: `pathlib.Path`, new.
        timed_texts: int. How many texts are encoded for the speed.

    Returns:
        Dict: scores of the tasks and of the domain, speed, size, cost.
    """
    if method == "tfidf":
        return {
            "scores": tfidf.evaluate(args.data, args.split, args.max_train),
            "in_domain": _tfidf_in_domain(args.data),
        }
    model = teacher.load(args.teacher)
    if method == "teacher":
        encoder, path, details, seconds = model, None, {}, None
    else:
        clock = Clock()
        encoder, path, details = MAKERS[method](args, clock, seed, folder)
        seconds = clock.seconds()
        kd.files.write_json(
            folder / "made.json", {**details, "seconds": seconds}
        )
    found = {
        "scores": kd.evaluation.evaluate(
            encoder,
            args.data,
            split=args.split,
            max_train=args.max_train,
        ),
        "in_domain": domain_ndcg(encoder, args.data),
        "megabytes": speed.megabytes(pathlib.Path(path or args.teacher)),
        **speed.side_by_side(
            encoder, model, sentences(args.data, "valid")[:timed_texts]
        ),
        **details,
    }
    return found if seconds is None else {**found, "seconds": seconds}


def _tfidf_in_domain(folder):
    first, rest = domain_pairs(folder)
    vectorizer = TfidfVectorizer(sublinear_tf=True).fit(rest)
    features = [vectorizer.transform(part).toarray() for part in (first, rest)]
    return float(
        kd.evaluation.retrieval_ndcg(*features, relevant=np.arange(len(first)))
    )
