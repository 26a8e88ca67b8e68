"""Searches texts by meaning, with a preset that was trained without labels.

    python examples/search.py --query "read a table from a csv file"
    python examples/search.py                       # asks for queries
    python examples/search.py --corpus notes/ papers.jsonl.gz

Reads the preset that `examples/pretrain.py` writes, embeds each document of the
corpus once, and lists those whose feature has the largest cosine with that of
the query. The default corpus is the documentation on this machine, of modules
that were held out of training; `--split all` searches all of it.

Cost: with 2,170 held-out documents, 24 s on two cores, once. The features are
kept in the preset's folder (`search/`), under a fingerprint of weights and
texts: the next query takes seconds. A preset that is written anew takes them
away with the old one.

Result, with the preset of `examples/pretrain.py` as of commit 330cfa6
(2026-11-29, jax), for `--query "sort an array" --top 3`:

   0.545  bisect:insort_right
          Insert item x in list a, and keep it sorted assuming a is sorted.
   0.542  numpy.lib._shape_base_impl:put_along_axis
          Put values into the destination array by matching 1d index and data...
   0.541  numpy.lib._shape_base_impl:take_along_axis
          Take values from the input array by matching 1d index and data slices.

An encoder of a few minutes knows what a text is about, and not much more: where
a query shares its words with the text, TF-IDF finds it sooner.

The backend is chosen by `KERAS_BACKEND` (default here: jax).
"""

import argparse
import hashlib
import os
import pathlib
import re
import sys

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import keras_dinolm as kd


def main():
    args = parse_arguments()
    embedder = load(args)
    documents = read_corpus(args)
    features = embed(embedder, documents, args)
    if args.query:
        search(args.query, embedder, documents, features, args.top)
        return
    print("Type a query; an empty line ends.")
    while query := ask():
        search(query, embedder, documents, features, args.top)


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
    add("--query", help="what to look for; without it, queries are asked for")
    add("--top", type=int, default=5, help="documents to list (default: 5)")
    add(
        "--corpus",
        nargs="+",
        metavar="FILE",
        help="texts or JSON lines, or folders of texts, may be gzipped",
    )
    add(
        "--unit",
        default="paragraph",
        choices=["file", "paragraph", "line"],
        help="what is a document of a text file (default: %(default)s)",
    )
    add(
        "--text-key",
        default="text",
        help="where JSON lines have their text (default: %(default)s)",
    )
    add(
        "--split",
        default="held_out",
        choices=["held_out", "train", "all"],
        help="of the documentation, without --corpus (default: %(default)s)",
    )
    add(
        "--length",
        type=int,
        default=128,
        help="tokens of a document that are read (default: %(default)s)",
    )
    args = parser.parse_args()
    if args.top < 1 or args.length < 2:
        parser.error("--top must be at least 1, and --length at least 2")
    return args


def load(args):
    if not pathlib.Path(args.preset).is_dir():
        sys.exit(
            f"There is no preset folder '{args.preset}'. Train an encoder with "
            "`python examples/pretrain.py` (its preset is in "
            "runs/pretrain/preset), or name a preset by --preset."
        )
    try:
        embedder = kd.models.DinoLMTextEmbedder.from_preset(args.preset)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(str(error))
    embedder.preprocessor.sequence_length = args.length
    return embedder


# === Documents and their features ===


def read_corpus(args):
    if not args.corpus:
        return list(kd.data.installed_docs(args.split))
    documents = []
    try:
        for path in args.corpus:
            if re.search(r"\.(jsonl|ndjson)(\.gz)?$", path):
                documents += kd.data.read_jsonl(path, text_key=args.text_key)
            else:
                documents += kd.data.read_text(path, split=args.unit)
    except FileNotFoundError as error:
        sys.exit(str(error))
    if not documents:
        sys.exit(
            f"No document in {', '.join(args.corpus)}: see the warnings above. "
            "Files are UTF-8 text, or JSON lines with their text under "
            f"'{args.text_key}' (--text-key)."
        )
    return documents


def embed(embedder, documents, args):
    """Features of unit length, from the preset's folder if they are there."""
    texts = [document.text for document in documents]
    folder = pathlib.Path(args.preset) / "search"
    path = folder / f"{fingerprint(args, texts)}.npy"
    if path.exists():
        print(f"{len(texts):,} documents, embedded before ({path}).")
        return np.load(path)
    print(f"Embedding {len(texts):,} documents, this once ...")
    features = embedder.encode(texts, normalize_embeddings=True)
    try:
        folder.mkdir(exist_ok=True)
        # Under its name only when complete.
        unfinished = path.with_suffix(f".{os.getpid()}.tmp")
        with open(unfinished, "wb") as file:
            np.save(file, features)
        unfinished.replace(path)
        print(f"Kept in {path}.")
    except OSError as error:
        print(f"They cannot be kept for the next time: {error}")
    return features


def fingerprint(args, texts):
    """Differs if any feature may differ."""
    digest = hashlib.sha256(f"{args.length}\n".encode())
    preset = pathlib.Path(args.preset)
    assets = (preset / "assets").rglob("*")
    for path in sorted([*preset.glob("*.*"), *assets]):
        if path.is_file():
            digest.update(path.read_bytes())
    for text in texts:
        text = text.encode("utf-8", "replace")
        digest.update(b"%d\n" % len(text) + text)
    return digest.hexdigest()[:16]


# === Queries ===


def ask():
    try:
        return input("\nquery> ").strip()
    except EOFError:
        print()
        return ""


def search(query, embedder, documents, features, top):
    feature = embedder.encode(query, normalize_embeddings=True)
    cosines = features @ feature
    for index in np.argsort(-cosines, kind="stable")[:top]:
        document = documents[index]
        lines = document.text.strip().splitlines() or [""]
        print(f"  {cosines[index]:6.3f}  {document.id}")
        print(f"          {shorten(lines[0])}")


def shorten(line, width=70):
    return line if len(line) <= width else line[: width - 3] + "..."


if __name__ == "__main__":
    main()
