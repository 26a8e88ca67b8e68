"""All that writes, each as a command that can be given again.

A work gets a folder of its own, writes to `folder / "out"` (or a file there),
and returns what must be equal to the bit in the end. Works are tiny, because
what counts is how often they are killed.
"""

import argparse
import dataclasses
import gzip
import hashlib
import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

import keras_dinolm as kd

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

ANIMALS = "cat dog bird horse fox owl wolf bear mouse frog".split()
PLACES = "house tree river road hill lake field barn shed pond".split()


@dataclasses.dataclass(frozen=True)
class Work:
    """Something that writes.

    Attributes:
        name: string.
        run: function of a folder that does the work, or the rest of it.
            Returns a dict of what must be equal to the bit.
        varies: patterns of files whose contents may differ between runs.
        prepare: function of the folder, called once before.
        look: function of the folder after a kill: a list of complaints about
            what a reader finds there.
        other: function like `run` with other data in the same folder, which
            may be refused, but never gets what belongs to `run`.
        share: float. How many kills it gets compared with others.
    """

    name: str
    run: Callable[[pathlib.Path], dict]
    varies: tuple[str, ...] = ()
    prepare: Callable[[pathlib.Path], None] = lambda folder: None
    look: Callable[[pathlib.Path], list[str]] = lambda folder: []
    other: Callable[[pathlib.Path], dict] | None = None
    share: float = 1.0


WORKS: dict[str, Work] = {}


def work(name: str, **options: Any):
    def add(function):
        WORKS[name] = Work(name, function, **options)
        return function

    return add


def digest(value: Any) -> str:
    """A short checksum of an array, or of what `repr` shows."""
    if hasattr(value, "dtype"):
        array = np.ascontiguousarray(value)
        data = f"{array.dtype}{array.shape}".encode() + array.tobytes()
    else:
        data = repr(value).encode()
    return hashlib.sha256(data).hexdigest()[:16]


def texts(count: int = 60, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        animal, place = rng.choice(ANIMALS), rng.choice(PLACES)
        rest = " ".join(
            f"Then the {animal} sees the {rng.choice(PLACES)}."
            for _ in range(rng.integers(1, 6))
        )
        made.append(f"The {animal} {number} goes to a {place}. {rest}")
    return made


def tokenizer():
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = ["the", "a", ".", "goes", "to", "then", "sees", *ANIMALS, *PLACES]
    digits = [str(d) for d in range(10)] + [f"##{d}" for d in range(10)]
    return kd.models.DinoLMTokenizer([*specials, *words, *digits])


# === Token stores ===


def _corpus(seed):
    return [
        kd.data.Document(text, str(i), alternates=(text[::-1],) * (i % 3))
        if i > 30
        else text
        for i, text in enumerate(texts(seed=seed))
    ]


def _store(folder, seed=0, **options):
    store = kd.data.tokenize(
        _corpus(seed),
        tokenizer(),
        folder / "out",
        shard_characters=1_000,
        show_progress=False,
        **options,
    )
    return _contents(store)


def _contents(store):
    ids = [store[i].tolist() for i in range(len(store))]
    others = [
        [row.tolist() for row in store.alternates(i)] for i in range(len(store))
    ]
    starts = [store.sentence_starts(i).tolist() for i in range(len(store))]
    return {"contents": digest((ids, others, starts))}


def _open_store(folder):
    """A store that opens is the whole one."""
    try:
        store = kd.data.TokenStore.open(folder / "out", tokenizer())
    except FileNotFoundError:
        return []
    if len(store) != 60:
        return [f"the store opens with {len(store)} documents"]
    return []


def _other_store(folder):
    return _store(folder, seed=1, num_workers=0)


@work("tokenize", look=_open_store, other=_other_store, share=2.0)
def tokenize(folder):
    return _store(folder, num_workers=0)


@work("tokenize with workers", look=_open_store, share=0.5)
def tokenize_with_workers(folder):
    return _store(folder, num_workers=2)


# === Curation ===


def _small_parts():
    from keras_dinolm.curation import passes

    passes.CHUNK = 8


def _quality(folder, seed=0):
    _small_parts()
    report = kd.curation.filter_quality(
        texts(seed=seed), directory=folder / "out", show_progress=False
    )
    return {"report": str(report), "kept": report.kept.tolist()}


@work("quality", other=lambda folder: _quality(folder, 1))
def quality(folder):
    return _quality(folder)


@work("leaks")
def leaks(folder):
    _small_parts()
    report = kd.curation.find_leaks(
        texts(),
        {"tests": texts()[::7] + ["nothing of the kind is there at all"]},
        directory=folder / "out",
        show_progress=False,
    )
    return {"report": str(report), "removed": report.removed.tolist()}


@work("clusters", other=lambda folder: _clusters(folder, 1))
def clusters(folder):
    return _clusters(folder)


def _clusters(folder, seed=0):
    points = np.random.default_rng(seed).normal(size=(60, 4))
    found = kd.curation.hierarchical_kmeans(
        points, [9, 3], num_resampling=3, directory=folder / "out"
    )
    return {
        "labels": [digest(found.labels(level)) for level in (0, 1)],
        "centroids": [digest(c) for c in found.centroids],
    }


# === Evaluation ===


class Letters:
    """An encoder that counts letters."""

    def encode(self, inputs, output_value="sentence_embedding", **options):
        single = isinstance(inputs, str)
        rows = np.zeros((1 if single else len(inputs), 26), "float32")
        for row, text in zip(rows, [inputs] if single else inputs):
            for letter in text.lower():
                if "a" <= letter <= "z":
                    row[ord(letter) - 97] += 1
        return rows[0] if single else rows


def _tasks(folder):
    from tests.evaluation import task_folder

    task_folder.write(folder / "tasks", num_rows=12)
    # The time is in the header of gzip.
    (folder / "tasks" / "corpus" / "valid.jsonl.gz").unlink()


@work("evaluation", prepare=_tasks)
def evaluation(folder):
    return kd.evaluation.evaluate(
        Letters(),
        folder / "tasks",
        tasks=["stsb", "trec", "sst2", "xquad"],
        results=folder / "out" / "results.json",
        verbose=False,
    )


# === The contest ===


def _contest_data(folder):
    """Tasks, and a corpus that is packed without the time of day."""
    _tasks(folder)
    lines = [json.dumps({"text": text, "source": "a"}) for text in texts()]
    data = gzip.compress("\n".join(lines).encode(), mtime=0)
    (folder / "tasks" / "corpus" / "train.jsonl.gz").write_bytes(data)


def _contest_arguments(folder):
    import quality

    flags = ["--data", folder / "tasks", "--output", folder / "out"]
    flags += ["--results", folder / "out" / "results.jsonl", "--seeds", 0, 1]
    flags += ["--methods", "bm25", "--vocabulary-size", 200]
    return quality.parse_arguments([str(flag) for flag in flags])


@work("vocabulary", prepare=_contest_data)
def vocabulary(folder):
    """A vocabulary that is learned, and the tokens that it makes."""
    from contest.run import Workshop

    workshop = Workshop(_contest_arguments(folder))
    return {
        "vocabulary": digest(workshop.tokenizer.get_vocabulary()),
        **_contents(workshop.tokens),
    }


@work(
    "contest",
    prepare=_contest_data,
    varies=("results.jsonl",),
)
def contest(folder):
    """Runs that are finished, collected and put into a table."""
    import quality
    from contest.run import run

    args = _contest_arguments(folder)
    kd.files.claim_folder(args.output, "contest", quality.WRITTEN)
    with kd.files.lock(folder / "out" / ".lock", 0, "folder of a contest"):
        for seed in args.seeds:
            if seed in [line["seed"] for line in quality.finished(args)]:
                continue
            place = quality.run_folder(args, "bm25", seed)
            method = argparse.Namespace(args=args)
            found = run(method, "bm25", seed, None, place)
            kd.files.write_json(place / "result.json", found)
            quality.collect(args, "bm25", seed)
        quality.report(args)
        lines = quality.finished(args)
    return {"results": [[line["seed"], line["scores"]] for line in lines]}


# === Pictures ===


@work("page", share=0.5)
def page(folder):
    tokens = kd.pictures.Tokens("Foxes", (2, 7, 8), ("[CLS]", "fox", "·es"))
    similar = [
        kd.pictures.TokenSimilarity(np.eye(3) * x, tokens, tokens)
        for x in (1.0, 0.5)
    ]
    path = kd.pictures.write_page(folder / "out", similar)
    return {"page": str(path.relative_to(folder))}


# === Checkpoints ===


@work("checkpoint folder", share=2.0, varies=(".run.json",))
def checkpoint_folder(folder):
    """Saves twelve steps, keeping the newest two and the best."""
    from keras_dinolm.runs.checkpoint_folder import CheckpointFolder

    checkpoints = CheckpointFolder(folder / "out", keep=2)
    checkpoints.lock()
    try:
        begin = checkpoints.newest(12) or 0
        for step in range(begin + 1, 13):
            arrays = [("w", np.arange(step, dtype="float32"))]
            value = float(abs(step - 5))
            position = {"step": step, "epoch": 0, "batch": step}
            header = {"position": position}
            checkpoints.save(step, {"model": arrays}, header, value)
        header, groups = checkpoints.read(12)
        found = digest(groups["model"][0][1])
        return {"position": header["position"], "w": found}
    finally:
        checkpoints.unlock()


def _read_checkpoints(folder):
    """Whatever bears the name of a checkpoint is whole."""
    from keras_dinolm.runs.checkpoint_folder import CheckpointFolder

    checkpoints = CheckpointFolder(folder / "out")
    complaints = []
    for step in checkpoints.steps():
        try:
            checkpoints.read(step)
        except Exception as error:
            complaints.append(f"{type(error).__name__}: {error}")
    return complaints


# === Runs ===


def _toy(rate, seed=0):
    """A few steps of a dense layer with dropout, through `kd.runs.fit`."""
    import keras

    def make_dataset(start_step):
        step = start_step
        while True:
            rng = np.random.default_rng(step)
            x = rng.normal(size=(8, 3)).astype("float32")
            yield x, x.sum(axis=1, keepdims=True)
            step += 1

    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(1),
        ]
    )
    model.compile(kd.optimizers.adamw(rate, schedule="constant"), "mse")
    return model, make_dataset


@work(
    "fit",
    varies=(".run.json", "checkpoint.json"),
    look=_read_checkpoints,
    other=lambda folder: _fit(folder, rate=0.5),
)
def fit(folder):
    return _fit(folder)


def _fit(folder, rate=1e-2):
    model, make_dataset = _toy(rate)
    history = kd.runs.fit(
        model,
        make_dataset,
        folder / "out",
        steps=20,
        steps_per_epoch=5,
        save_every=3,
        keep=2,
        monitor="loss",
        verbose=0,
    )
    return _state(model, history)


def _state(model, history):
    import keras

    groups = {
        "model": model.variables,
        "optimizer": model.optimizer.variables,
    }
    found = {
        f"{group} {index}": digest(keras.ops.convert_to_numpy(variable.value))
        for group, variables in groups.items()
        for index, variable in enumerate(variables)
    }
    found["history"] = digest((history.epoch, sorted(history.history.items())))
    return found


@work(
    "fit DinoLM",
    varies=(".run.json", "checkpoint.json"),
    look=_read_checkpoints,
    share=0.15,
)
def fit_dino(folder):
    import kill_and_resume

    return kill_and_resume.train(folder / "out", steps=16)


@work("ablation", share=0.3, varies=("*.png", ".run.json"))
def ablation(folder):
    def recipe(config, seed):
        return _toy(config["rate"], seed)

    runs = kd.runs.Ablation(
        recipe,
        {"slow": {}, "fast": {"rate": 0.1}},
        measure=lambda model, history: {"loss": history["loss"][-1]},
        directory=folder / "out",
        steps=6,
        steps_per_epoch=2,
        config={"rate": 0.01},
        seeds=[0, 1],
        save_every=2,
        make_callbacks=list,
        verbose=0,
    )
    runs.run()
    return {"results": digest(runs.results()), "table": runs.table()}


# === Presets ===


def _encoder(seed):
    import keras

    keras.utils.set_random_seed(seed)
    backbone = kd.models.DinoLMBackbone(
        vocabulary_size=tokenizer().vocabulary_size(),
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
    )
    rng = np.random.default_rng(seed)
    for variable in backbone.variables:
        if "float" in str(variable.dtype):
            variable.assign(rng.normal(size=variable.shape))
    return kd.models.TextEncoder(backbone)


def _export(folder, seed):
    kd.models.export_preset(_encoder(seed), tokenizer(), folder / "out")


def _weights(folder):
    backbone = kd.models.DinoLMBackbone.from_preset(str(folder / "out"))
    return [digest(array) for array in backbone.get_weights()]


def _one_of_both(folder):
    """A reader finds the old preset or the new one."""
    found = _weights(folder)
    for seed in (1, 2):
        if found == [digest(w) for w in _encoder(seed).backbone.get_weights()]:
            return []
    return ["the preset is neither the old nor the new one"]


@work(
    "export",
    prepare=lambda folder: _export(folder, 1),
    look=_one_of_both,
    varies=("metadata.json", "*.h5"),
)
def export(folder):
    _export(folder, 2)
    return {"weights": _weights(folder)}


# === All of it ===


@work(
    "pretrain",
    share=0.1,
    varies=(
        ".run.json",
        "checkpoint.json",
        "metadata.json",
        "*.h5",
        "*.png",
        "report.md",
        "run.json",
    ),
)
def pretrain(folder):
    embedder = kd.recipes.pretrain(
        texts(80),
        folder / "out",
        steps=4,
        vocabulary_size=120,
        sequence_length=12,
        verbose=0,
        bag_batch_size=8,
        batch_size=8,
    )
    return {
        "weights": [digest(w) for w in embedder.backbone.get_weights()],
        "tokens": digest(
            (folder / "out" / "tokenizer.json").read_text("utf-8")
        ),
    }
