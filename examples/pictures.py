"""Draws what an encoder sees: similar tokens, attention, prototypes.

    python -m keras_dinolm pretrain runs/dino --minutes 2 --recipe dino
    python examples/pictures.py
    python examples/pictures.py --compare "a red fox" "the quick fox"

The first command makes the preset, with prototypes, from the documentation on
this machine. Any other preset is named by `--preset`, such as that of
`examples/pretrain.py`. Prototypes come from recipes that distil, or from a
model of yours by `export_preset(heads=True)`; without them the rest is drawn.

`--output` receives one page, `index.html`, which needs no other file, and the
same pictures as PNG:

- cosines between the tokens of two texts, and within the first of them;
- attention of each layer and head on the first text;
- for each head with prototypes, the spans or words nearest to the most used
  ones. They show what a prototype stands for.

Cost: 28 s on one busy core of an AMD EPYC (torch, 2026-11-30).

Result, with the preset of the first command: some prototypes of texts
collect code examples, formulas or lists of arguments, others nothing that has a
name; equal words are similar, and little else. It prints

    sequence head: 2,426 spans of 272 texts, each with its nearest prototype:
    386 of 512 prototypes are used, with a perplexity of 229.9; ...
"""

import argparse
import os

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras_dinolm as kd

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("--preset", default="runs/dino/preset")
parser.add_argument(
    "--compare",
    nargs=2,
    metavar="TEXT",
    default=[
        "Return a sorted copy of an array along the last axis.",
        "Sort the items of the list in place and return None.",
    ],
)
parser.add_argument("--output", default="runs/pictures")
args = parser.parse_args()
if not os.path.isdir(args.preset):
    parser.error(
        f"There is no preset folder '{args.preset}'. Make one with "
        "`python -m keras_dinolm pretrain runs/dino --minutes 2 --recipe "
        "dino`, or name another by --preset."
    )

reader = kd.pictures.TextReader.from_preset(args.preset)
# Held-out documentation; a part of it is enough to show the prototypes.
documents = list(kd.data.installed_docs("held_out"))
texts = [document.text for document in documents][:: len(documents) // 300 + 1]

# === Tokens and attention ===
first, second = args.compare
similarity = kd.pictures.token_similarity(reader, first, second)
print(similarity.describe())
pictures = [
    similarity,
    kd.pictures.token_similarity(reader, first),
    kd.pictures.attention_maps(reader, first),
]

# === Prototypes ===
for head in reader.heads:
    atlas = kd.pictures.prototype_atlas(reader, texts, head, num_prototypes=16)
    print(f"{head} head: {atlas.describe()}")
    pictures.append(atlas)
note = f"Preset: {args.preset}. Texts for the prototypes: {len(texts)}."
if not reader.heads:
    note += " This preset has no prototypes."
print(note)

page = kd.pictures.write_page(args.output, pictures, notes=[note])
print(f"Open {page} in a browser.")
