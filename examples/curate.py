"""Cleans a corpus and balances it, and shows how well that works.

    python examples/curate.py
    python examples/curate.py --preset runs/pretrain/preset
    python examples/curate.py --corpus notes.txt papers.jsonl.gz --tests t.txt

Reads the documentation strings on this machine and plants among them what does
not belong there: exact copies, near copies (one word in twenty replaced),
gibberish (random letters, symbols, numbers, one phrase again and again) and
lines of a test set (sentences from held-out modules, put into documents). Then
it removes copies, junk and leaks, and prints how much of what was planted each
step found (recall) and how much of what it removed was planted (precision).
What remains is clustered by hierarchical k-means, on features of a preset or,
without one, TF-IDF and a singular value decomposition; a balanced half of it
is drawn, and the neighbours of a few documents are looked up.

It writes, to `--output`,

    curated.jsonl  the balanced half, for `examples/pretrain.py --corpus`
    clusters.npy   the cluster of each of its documents, for
                   `kd.data.HomogeneousBatches`

Your own files (`--corpus`) are cleaned in the same way, with nothing planted.

Cost: 41 s on 2 virtual cores of an AMD EPYC, one of them busy, without
`--preset` (2026-11-21, 21,291 documents).

Result, of what was planted and still there when a step began:

    quality (Gopher's limits)   recall 100.0 %   precision   5.0 %
    quality (wider limits)      recall 100.0 %   precision  40.2 %
    exact copies                recall 100.0 %   precision 100.0 %
    near copies                 recall  95.9 %   precision 100.0 %
    leaked lines                recall  99.5 %   precision 100.0 %

    entropy of the 38 top clusters, of at most 3.64 nats: 3.30 before balanced
    sampling, 3.60 after; of the 382 small ones, of 5.95: 5.80 and 5.68

Junk that was not planted counts against precision here: the wider limits drop
2.9 % of the documents, most for few words of English or for one phrase again
and again. Gopher's limits are for web pages, and drop a third.
"""

import argparse
import json
import os
import pathlib
import re
import sys
import time

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import keras_dinolm as kd

# One document in fifty of each kind is planted.
SHARE = 50


def main():
    args = parse_arguments()
    generator = np.random.default_rng(args.seed)
    if args.corpus:
        documents = read_corpus(args)
        planted = [""] * len(documents)
        tests = args.tests
    else:
        documents, planted, tests = make_corpus(args, generator)

    # === Junk, copies, leaks ===
    print("\nThe rules of Gopher as they are, for web pages of 50 words:")
    report = timed(kd.curation.filter_quality, documents)
    score(report, planted, "gibberish")
    print("\nWider ones, for short texts with code in them:")
    report = timed(kd.curation.filter_quality, documents, make_rules(args))
    score(report, planted, "gibberish")
    documents, planted = report.select(documents), report.select(planted)

    report = timed(kd.curation.find_duplicates, documents)
    score(report, planted, "exact copy", rule="exact copy")
    score(report, planted, "near copy", rule="near copy")
    documents, planted = report.select(documents), report.select(planted)

    if tests:
        report = timed(kd.curation.find_leaks, documents, tests)
        score(report, planted, "leak")
        documents, planted = report.select(documents), report.select(planted)

    # === Balance ===
    features = embed(documents, args)
    num_clusters = [len(documents) // args.cluster_size]
    num_clusters.append(num_clusters[0] // 10)
    if num_clusters[-1] < 1:
        sys.exit(f"{len(documents)} documents are too few to cluster.")
    clusters = timed(
        kd.curation.hierarchical_kmeans,
        features,
        num_clusters,
        num_resampling=args.resampling,
        seed=args.seed,
    )
    report = timed(
        kd.curation.balanced_sample, clusters, len(documents) // 2, args.seed
    )

    # === Neighbours ===
    near = kd.curation.retrieve_near(features, features[:20], k=2)
    print(f"\n{near}")
    for seed, (_, other) in list(enumerate(near.details["neighbors"]))[:5]:
        cosine = near.details["cosines"][seed, 1]
        print(f"  {documents[seed].id}  --  {documents[other].id} {cosine:.2f}")

    write(report.select(documents), clusters.labels()[report.kept], args)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--corpus", nargs="+", metavar="FILE", help="text or JSONL files")
    add("--tests", nargs="+", metavar="FILE", help="test texts, one a line")
    add("--preset", metavar="DIR", help="written by examples/pretrain.py")
    add("--output", default="runs/curate", help="folder (%(default)s)")
    add(
        "--packages",
        nargs="+",
        metavar="NAME",
        help="whose documentation to read (default: a fixed list)",
    )
    add(
        "--minimum-words",
        type=int,
        default=20,
        help="of a document; Gopher's 50 is for web pages (%(default)s)",
    )
    add(
        "--cluster-size",
        type=int,
        default=50,
        help="documents of a small cluster, on average (%(default)s)",
    )
    add(
        "--resampling",
        type=int,
        default=3,
        help="steps of resampling; the paper has 10 (%(default)s)",
    )
    add("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.tests and not args.corpus:
        parser.error("--tests goes with --corpus")
    return args


def read_corpus(args):
    documents = []
    for path in args.corpus:
        if re.search(r"\.(jsonl|ndjson)(\.gz)?$", path):
            documents += kd.data.read_jsonl(path)
        else:
            documents += kd.data.read_text(path, split="paragraph")
    return documents


# === What is planted ===


def make_corpus(args, generator):
    """Documents, what kind of plant each is (or ""), and the test set."""
    documents = list(kd.data.installed_docs("train", args.packages))
    held_out = kd.data.installed_docs("held_out", args.packages)
    tests = make_tests(held_out, documents, generator)
    count = max(len(documents) // SHARE, 8)
    choose = generator.permutation(len(documents))[: 3 * count]
    plants = []
    for i in choose[:count]:
        text = "  " + documents[i].text.replace(" ", "  ") + "\n"
        plants.append((text, "exact copy"))
    for i in choose[count : 2 * count]:
        plants.append((alter(documents[i].text, generator), "near copy"))
    for i in choose[2 * count :]:
        lines = documents[i].text.splitlines()
        line = tests[int(generator.integers(len(tests)))]
        lines.insert(int(generator.integers(1, len(lines) + 1)), line)
        # The document itself is spoilt: its copy would be found as a copy.
        documents[i] = kd.data.Document("\n".join(lines), documents[i].id)
    leaky = set(choose[2 * count :].tolist())
    planted = ["leak" if i in leaky else "" for i in range(len(documents))]
    plants += [(babble(kind, generator), "gibberish") for kind in range(count)]
    documents += [
        kd.data.Document(text, f"planted:{number}")
        for number, (text, _) in enumerate(plants)
    ]
    planted += [kind for _, kind in plants]
    print(
        f"{len(documents):,} documents, of which {count:,} each are exact "
        f"copies, near copies, gibberish, and hold one of {len(tests):,} test "
        "lines."
    )
    return documents, planted, {"held-out lines": tests}


def make_tests(held_out, documents, generator):
    """Sentences of held-out documents of which training has no word run.

    Documentation repeats itself: some sentences are in training anyway, and
    finding them there would be no mistake.
    """
    sentences = {
        " ".join(sentence.split())
        for document in held_out
        for sentence in re.findall(r"[A-Z][^.]{30,200}\.", document.text)
    }
    sentences = sorted(s for s in sentences if len(s.split()) >= 5)
    known = kd.curation.find_leaks(
        documents, {"all": sentences}, show_progress=False
    ).details["leaked"]["all"]
    unknown = sorted(set(range(len(sentences))) - set(known.tolist()))
    if not unknown:
        sys.exit("No sentence is left for a test set: name more --packages.")
    chosen = generator.permutation(unknown)[:1_000]
    return [sentences[i] for i in chosen]


def alter(text, generator):
    """A text with one word in twenty replaced, and at least one."""
    words = text.split()
    chosen = generator.random(len(words)) < 0.05
    chosen[int(generator.integers(len(words)))] = True
    for i in np.flatnonzero(chosen):
        words[i] = "another" if words[i] != "another" else "one"
    return " ".join(words)


def babble(number, generator):
    """Four kinds of text that say nothing."""
    length = int(generator.integers(30, 120))
    if number % 4 == 0:
        letters = generator.choice(
            list("abcdefghijklmnopqrstuvwxyz"), 6 * length
        )
        return re.sub("(.{6})", r"\1 ", "".join(letters))
    if number % 4 == 1:
        return " ".join(generator.choice(list("#$%&*+-/<=>@^_|~"), 3 * length))
    if number % 4 == 2:
        return " ".join(map(str, generator.integers(0, 10_000, length)))
    words = generator.choice(["the", "array", "and", "shape", "of", "axis"], 6)
    return f"{' '.join(words)} " * (length // 6)


# === Steps ===


def make_rules(args):
    """Gopher's rules with limits that documentation keeps.

    It names arguments and repeats phrases more than web pages do.
    """
    return kd.curation.gopher_quality(
        minimum_words=args.minimum_words,
        minimum_alphabetic_words=0.6,
        minimum_stop_words=1,
    ) + kd.curation.gopher_repetition(
        maximum_top_ngram=((2, 0.3), (3, 0.3), (4, 0.3)),
        maximum_repeated_ngrams=((5, 0.5), (10, 0.4)),
    )


def timed(step, *arguments, **options):
    """The result of a step, printed, with its time."""
    start = time.monotonic()
    result = step(*arguments, **options)
    print(f"\n{result}\n  {time.monotonic() - start:.0f} s", flush=True)
    return result


def score(report, planted, kind, rule=None):
    """Prints precision and recall for one kind of what was planted."""
    if not any(planted):
        return
    removed = report.removed if rule is None else report.rules[rule]
    right = sum(planted[i] == kind for i in removed)
    clean = sum(planted[i] == "" for i in removed) / planted.count("")
    print(
        f"  {kind}: precision {100 * right / max(len(removed), 1):.1f} %, "
        f"recall {100 * right / max(planted.count(kind), 1):.1f} % of "
        f"{planted.count(kind):,}; {100 * clean:.1f} % of the clean ones go"
    )


def embed(documents, args):
    """Features, of a preset or of what everybody has."""
    texts = [document.text for document in documents]
    if args.preset:
        embedder = kd.models.DinoLMTextEmbedder.from_preset(args.preset)
        return embedder.encode(texts)
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    tfidf = TfidfVectorizer(sublinear_tf=True, min_df=2).fit_transform(texts)
    width = min(64, tfidf.shape[1] - 1)
    return TruncatedSVD(width, random_state=args.seed).fit_transform(tfidf)


def write(documents, labels, args):
    output = pathlib.Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    with open(output / "curated.jsonl", "w", encoding="utf-8") as file:
        for document in documents:
            record = {"text": document.text, "id": document.id}
            print(json.dumps(record), file=file)
    np.save(output / "clusters.npy", labels)
    print(f"\nWrote {len(documents):,} documents to {output}/curated.jsonl.")


if __name__ == "__main__":
    main()
