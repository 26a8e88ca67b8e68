"""Searches texts by meaning, with a preset that was trained without labels.

    python examples/search.py --query "read a table from a csv file"
    python examples/search.py                       # asks for queries
    python examples/search.py --corpus my_texts/

Reads the preset that `examples/pretrain.py` writes, embeds each document of the
corpus once, and lists the five whose feature has the largest cosine with that
of the query. The default corpus is the documentation on this machine, of the
modules that were held out of training. Features are kept in the preset's folder
(`search/`), so that the next query takes seconds.

Cost: once, with 2,170 held-out documents that `examples/pretrain.py` has read
before, 8 s on two idle cores of an AMD EPYC (jax, 2026-11-30).

Result of `--query "sort an array"`, with the preset of `examples/pretrain.py`
(jax, 2026-11-30; the first three of five):

   0.549  numpy.lib._shape_base_impl:put_along_axis
          Put values into the destination array by matching 1d index and data
   0.530  jax._src.numpy.ufunc_api:ufunc.reduceat
          Reduce an array between specified indices via a binary ufunc.
   0.519  numpy.lib._shape_base_impl:take_along_axis
          Take values from the input array by matching 1d index and data slices.

An encoder of a few minutes knows what a text is about, and not much more. Where
a query shares its words with the text, TF-IDF finds it sooner.
"""

import argparse
import os
import sys

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras_dinolm as kd

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("--preset", default="runs/pretrain/preset")
parser.add_argument("--query", help="without it, queries are asked for")
parser.add_argument("--corpus", help="a file or folder of texts")
args = parser.parse_args()
if not os.path.isdir(args.preset):
    parser.error(
        f"there is no preset '{args.preset}'. Train an encoder with `python "
        "examples/pretrain.py`, or name a preset by --preset."
    )

documents = (
    kd.data.read_text(args.corpus, split="paragraph")
    if args.corpus
    else kd.data.installed_docs("held_out")
)
search = kd.recipes.TextSearch(
    args.preset, documents, folder=os.path.join(args.preset, "search")
)
state = "embedded before" if search.found else "embedded now"
print(f"{len(search.documents):,} documents, {state}.")


def show(query):
    for cosine, document in search(query, top=5):
        first_line = document.text.strip().splitlines()[0]
        print(f"  {cosine:6.3f}  {document.id}\n          {first_line[:70]}")


if args.query:
    show(args.query)
    sys.exit()
print("Type a query; an empty line ends.")
for line in sys.stdin:
    if not line.strip():
        break
    show(line.strip())
