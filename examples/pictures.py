"""Draws what a trained encoder sees: token features, attention, prototypes.

    python examples/pictures.py --preset runs/pretrain/preset
    python examples/pictures.py --texts notes.txt --compare "a cat" "two dogs"

Reads a preset and texts (by default, documentation that was held out of
training) and writes, to `--output`,

    index.html   one page with all of it, which needs no other file
    *.png        the same pictures:
                 cosines between the tokens of two texts, and within the first
                 (its Gram matrix); the attention of each layer and head on it;
                 and for each head of the preset, what the most used prototypes
                 stand for: the spans, or words in context, nearest to them.

The two texts are those of `--compare`, or the first of the file and its nearest
neighbour, as far as they are drawn (`--max-tokens`). Prototypes need a preset
that was written with its heads, by `model.export_preset(..., heads=True)`;
without them the rest is drawn.

Cost: 33 to 43 s of one core on jax, with a `nano` encoder and 1,000 texts; most
of it goes into the 277,209 tokens of the prototype atlas.

Result, with the preset of `examples/pretrain.py --seed 1` as of commit 2e4cbae
(2026-11-21), which had prototypes as today's `--recipe distillation` has, and
the held-out documentation:

    sequence head: 12,034 spans of 1,000 texts, each with its nearest prototype:
      467 of 512 prototypes are used, with a perplexity of 226.8
    token head: 277,209 tokens of 1,000 texts, each with its nearest prototype:
      503 of 512 prototypes are used, with a perplexity of 194.9

In the heat maps of that encoder equal words stand out, and little else. Some
prototypes of tokens stand for a word or a mark ("specific", "at", the point in
a number), others for no one thing; those of spans are about a library or a kind
of argument, at cosines of 0.3 to 0.4.

The backend is chosen by `KERAS_BACKEND` (default here: jax).
"""

import argparse
import os
import pathlib
import re
import sys

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import keras_dinolm as kd

# A text of fewer tokens makes no picture.
SHORTEST = 8


def main():
    args = parse_arguments()
    reader = load(args)
    texts = read_texts(args)
    print(f"{len(texts):,} texts.")
    first, second = args.compare or choose(reader, texts, args.max_tokens)

    p = kd.pictures
    pictures = [
        p.token_similarity(reader, first, second, args.max_tokens),
        p.token_similarity(reader, first, max_tokens=args.max_tokens),
        p.attention_maps(reader, first, args.max_tokens),
    ]
    print(pictures[0].describe())
    for head in reader.heads:
        atlas = p.prototype_atlas(
            reader,
            texts,
            head,
            num_prototypes=args.num_prototypes,
            num_spans=args.num_spans,
            span_length=args.span_length,
        )
        print(f"{head} head: {atlas.describe()}")
        pictures.append(atlas)

    notes = [f"Preset: {args.preset}. Texts: {len(texts):,}."]
    if not reader.heads:
        notes.append(
            "No prototypes: the preset has no heads. "
            "`model.export_preset(..., heads=True)` writes those that the "
            "model was trained with."
        )
        print(notes[-1])
    page = p.write_page(args.output, pictures, notes=notes)
    images = sorted(page.parent.glob("*.png"))
    print(f"{len(images)} pictures, all of them in {page}")


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
    add(
        "--texts",
        nargs="+",
        metavar="FILE",
        help="texts or JSON lines, or folders of texts, may be gzipped",
    )
    add(
        "--unit",
        default="paragraph",
        choices=["file", "paragraph", "line"],
        help="what is one text of a text file (default: %(default)s)",
    )
    add("--output", default="runs/pictures", help="folder to write")
    add(
        "--compare",
        nargs=2,
        metavar="TEXT",
        help="two texts to compare, in place of two of the file",
    )
    add("--max-tokens", type=int, default=40, help="of a text that is drawn")
    add("--max-texts", type=int, default=1_000, help="to read, at most")
    add("--span-length", type=int, default=24, help="tokens of a span")
    add("--num-prototypes", type=int, default=16, help="to show, per head")
    add("--num-spans", type=int, default=5, help="to show, per prototype")
    args = parser.parse_args()
    if args.max_tokens < SHORTEST or args.max_texts < 2:
        parser.error(
            f"--max-tokens must be at least {SHORTEST}, --max-texts at least 2"
        )
    return args


def load(args):
    if not pathlib.Path(args.preset).is_dir():
        sys.exit(
            f"There is no preset folder '{args.preset}'. Train an encoder with "
            "`python examples/pretrain.py` (its preset is in "
            "runs/pretrain/preset), or name a preset by --preset."
        )
    try:
        return kd.pictures.TextReader.from_preset(args.preset)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(str(error))


def read_texts(args):
    """At most `--max-texts`, spread evenly over all there are."""
    try:
        documents = list(read_documents(args))
    except FileNotFoundError as error:
        sys.exit(str(error))
    if not documents:
        sys.exit(f"There is no text in {', '.join(args.texts)}.")
    count = min(len(documents), args.max_texts)
    places = np.linspace(0, len(documents) - 1, count).astype(int)
    return [documents[i].text for i in places]


def read_documents(args):
    if not args.texts:
        yield from kd.data.installed_docs("held_out")
        return
    for path in args.texts:
        if re.search(r"\.(jsonl|ndjson)(\.gz)?$", path):
            yield from kd.data.read_jsonl(path)
        else:
            yield from kd.data.read_text(path, split=args.unit)


def choose(reader, texts, max_tokens):
    """The first text that is long enough, and its nearest neighbour."""
    rows = [reader.tokens(text, max_tokens).ids for text in texts]
    fit = [i for i, row in enumerate(rows) if len(row) > SHORTEST]
    if not fit:
        return texts[0], texts[-1]
    first = fit[0]
    features = np.stack(
        [f["sequence"] for f in reader.features([rows[i] for i in fit])]
    )
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    cosines = features @ features[0]
    # A copy would show nothing new.
    cosines[[rows[i] == rows[first] for i in fit]] = -np.inf
    return texts[first], texts[fit[int(np.argmax(cosines))]]


if __name__ == "__main__":
    main()
