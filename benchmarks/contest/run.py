"""One run of the contest: train by steps, probe on the way, measure."""

import gzip
import hashlib
import json
import pathlib

import keras
import numpy as np

import keras_dinolm as kd
from contest import bm25
from contest import methods
from contest import static
from contest import tfidf

# How far a run is when it is probed, in sixteenths of its steps.
MILESTONES = (1, 2, 4, 8, 16)


def read_corpus(folder):
    """The training documents of a folder, for tokenizer and token store."""
    return kd.data.read_jsonl(
        pathlib.Path(folder) / "corpus" / "train.jsonl.gz",
        label_key="source",
    )


def read_paragraphs(folder):
    """The same as a list of paragraphs, for what is counted, not trained."""
    path = pathlib.Path(folder) / "corpus" / "train.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    return [part for text in texts for part in text.split("\n") if part]


def corpus_digest(folder):
    path = pathlib.Path(folder) / "corpus" / "train.jsonl.gz"
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


class Workshop:
    """What all runs share: corpus, tokenizer and tokens, made once.

    Args:
        args: the arguments of the command.
    """

    def __init__(self, args):
        self.args = args
        self.folder = pathlib.Path(args.output) / (
            f"corpus-{corpus_digest(args.data)}-{args.vocabulary_size}"
        )
        self.corpus = read_corpus(args.data)
        path = self.folder / "vocabulary.txt"
        if path.exists():
            vocabulary = path.read_text(encoding="utf-8").split("\n")
            self.tokenizer = kd.models.DinoLMTokenizer(vocabulary)
        else:
            self.tokenizer = kd.data.train_tokenizer(
                self.corpus, args.vocabulary_size, show_progress=False
            )
            text = "\n".join(self.tokenizer.get_vocabulary())
            kd.files.write_text(path, text)
        self.tokens = kd.data.tokenize(
            self.corpus,
            self.tokenizer,
            self.folder / "tokens",
            show_progress=False,
        )

    def dataset(self, method, seed, start_step):
        phase = method.phase(self.args.size, self.tokenizer)
        return kd.recipes.make_dataset(phase, self.tokens, seed, start_step)

    def evaluate(self, encoder, results):
        """Scores of all tasks; those in the file `results` are done."""
        return kd.evaluation.evaluate(
            encoder,
            self.args.data,
            split=self.args.split,
            max_train=self.args.max_train,
            results=results,
            verbose=False,
        )

    def probe(self, encoder, results):
        """Mean score on dev of a few tasks, for the plot."""
        scores = kd.evaluation.evaluate(
            encoder,
            self.args.data,
            split="dev",
            tasks=self.args.probe_tasks,
            max_train=self.args.probe_train,
            results=results,
            verbose=False,
        )
        return float(np.mean(list(scores.values())))

    def untrained_encoder(self, name, seed):
        """The encoder as it starts, or one that is counted."""
        if name in static.ENCODERS:
            _, make = static.ENCODERS[name]
            return make(read_paragraphs(self.args.data), seed)
        _, overrides = methods.UNTRAINED[name]
        keras.utils.set_random_seed(seed)
        return methods.embedder(
            methods.encoder(self.args.size, self.tokenizer, **overrides),
            self.tokenizer,
            self.args.sequence_length,
        )


def run(workshop, name, seed, calibration, folder):
    """Trains and measures; called again, it resumes.

    Args:
        workshop: `Workshop`.
        name: string, of a method.
        seed: int. The same for all methods: the order of the texts and, for
            those of one encoder, the first weights.
        calibration: dict or `None`, for what is not trained:
            `"seconds_per_step"` by `Method.cost()`, and `"counting_seconds"` of
            embeddings that are counted.
        folder: path, of this run alone.

    Returns:
        A dict: scores, probes on the way, steps.
    """
    args = workshop.args
    results = folder / f"{args.split}.json"
    if name == "bm25":
        return {"scores": bm25.evaluate(args.data, args.split)}
    if name == "tfidf":
        found = tfidf.evaluate(args.data, args.split, args.max_train)
        return {"scores": found}
    if name not in methods.METHODS:
        encoder = workshop.untrained_encoder(name, seed)
        return {"scores": workshop.evaluate(encoder, results)}
    method = methods.METHODS[name]
    before, start_steps, steps = method.plan(args.minutes, calibration)
    seconds_per_step = calibration["seconds_per_step"]
    start = None
    if method.start:
        shallow = _make(workshop, method.start, seed, start_steps)
        _train(
            workshop, method.start, seed, shallow, start_steps, folder / "start"
        )
        start = method.start.phase(args.size, workshop.tokenizer).kept(shallow)
        before += start_steps * seconds_per_step[method.start.cost()]
    model = _make(workshop, method, seed, steps, start)
    step = seconds_per_step[method.cost()]
    encoder, curve = _train_and_probe(
        workshop,
        method,
        seed,
        model,
        steps,
        folder,
        lambda n: before + n * step,
    )
    return {
        "scores": workshop.evaluate(encoder, results),
        "curve": curve,
        "steps": steps,
        **({"start_steps": start_steps} if method.start else {}),
        "seconds_per_step": step,
        "batch_size": method.phase(args.size, workshop.tokenizer).batch_size,
    }


def _make(workshop, method, seed, steps, start=None):
    keras.utils.set_random_seed(seed)
    return method.model(
        workshop.args.size, workshop.tokenizer, workshop.tokens, steps, start
    )


def _train(workshop, method, seed, model, steps, folder, until=None):
    """Up to the step `until` of a run of so many steps."""
    label = f"{folder.parent.name}, {folder.name}"
    progress = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: print(
            f"{label}: {epoch + 1} of 16, loss {logs['loss']:.3f}", flush=True
        )
    )
    kd.runs.fit(
        model,
        lambda step: workshop.dataset(method, seed, step),
        folder,
        steps=steps if until is None else until,
        steps_per_epoch=steps // 16,
        keep=1,
        callbacks=[progress],
        verbose=0,
    )


def _train_and_probe(workshop, method, seed, model, steps, folder, seconds):
    """The trained encoder, and its probes at milestones.

    `seconds` maps a step to the time that it was reached at.
    """
    args = workshop.args
    path = folder / "curve.json"
    begun = path.exists()
    curve = kd.files.read_json_or_set_aside(path)
    if curve is None:
        curve, checkpoints = [], folder / "checkpoints"
        if begun and checkpoints.exists():
            # Its points are lost, and a checkpoint may be past them.
            kd.files.set_aside(checkpoints, f"{path.name} is")
    for milestone in MILESTONES:
        done = steps * milestone // 16
        is_probed = done in [point["step"] for point in curve]
        if is_probed and done < steps:
            continue
        _train(
            workshop, method, seed, model, steps, folder / "checkpoints", done
        )
        encoder = method.kept(
            model, args.size, workshop.tokenizer, args.sequence_length
        )
        if is_probed or not args.probe_tasks:
            continue
        probe = workshop.probe(encoder, folder / f"probe-{milestone}.json")
        curve.append({"step": done, "seconds": seconds(done), "probe": probe})
        kd.files.write_json(path, curve)
    return encoder, curve
