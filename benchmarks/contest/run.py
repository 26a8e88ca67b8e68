"""One run of the contest: train by steps, probe on the way, measure."""

import gzip
import json
import pathlib
import time

import keras
import numpy as np

import keras_dinolm as kd
from contest import methods
from contest import static

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


class Workshop:
    """What all runs share: corpus, tokenizer and tokens, made once.

    Args:
        args: the arguments of the command.
    """

    def __init__(self, args):
        self.args = args
        self.folder = pathlib.Path(args.output)
        self.folder.mkdir(parents=True, exist_ok=True)
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
            path.write_text(text, encoding="utf-8")
        self.tokens = kd.data.tokenize(
            self.corpus,
            self.tokenizer,
            self.folder / "tokens",
            show_progress=False,
        )

    def dataset(self, method, seed, start_step):
        views = method.views(self.tokenizer)
        return kd.data.view_dataset(
            self.tokens,
            views,
            method.batch_size,
            seed=seed,
            start_step=start_step,
            buckets=[views.sequence_length - 1],
        )

    def evaluate(self, encoder, folder, split, tasks=None, max_train=None):
        """Scores of an encoder; tasks that are done are read from `folder`."""
        return kd.evaluation.evaluate(
            encoder,
            self.args.data,
            split=split,
            tasks=tasks,
            max_train=max_train,
            results=folder,
            verbose=False,
        )

    def untrained(self, seed):
        keras.utils.set_random_seed(seed)
        return methods.embedder(
            methods.encoder(self.args.size, self.tokenizer),
            self.tokenizer,
            self.args.sequence_length,
        )

    def static(self, name, seed):
        make = static.ENCODERS[name]
        return make(read_paragraphs(self.args.data), seed)


def run(workshop, name, seed, seconds_per_step):
    """Trains and measures; called again, it goes on where it was.

    Args:
        workshop: `Workshop`.
        name: string, of a method.
        seed: int. The same for all methods: the order of the texts and, for
            those of one encoder, the first weights.
        seconds_per_step: float or `None`, for what is not trained.

    Returns:
        A dict: scores, probes on the way, steps.
    """
    args = workshop.args
    folder = workshop.folder / f"{name}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    scores = folder / f"{args.split}.json"
    if name == "untrained":
        found = workshop.evaluate(workshop.untrained(seed), scores, args.split)
        return {"scores": found}
    if name in static.ENCODERS:
        found = workshop.evaluate(
            workshop.static(name, seed), scores, args.split
        )
        return {"scores": found}
    method = methods.METHODS[name]
    steps = planned_steps(args.minutes, seconds_per_step)
    keras.utils.set_random_seed(seed)
    model = method.model(args.size, workshop.tokenizer, steps)
    curve = []
    begin = time.perf_counter()
    for milestone in MILESTONES:
        done = steps * milestone // 16
        kd.training.fit(
            model,
            lambda step: workshop.dataset(method, seed, step),
            folder / "checkpoints",
            steps=done,
            steps_per_epoch=steps // 16,
            keep=1,
            verbose=0,
        )
        encoder = method.kept(model, workshop.tokenizer, args.sequence_length)
        if args.probe_tasks:
            probes = workshop.evaluate(
                encoder,
                folder / f"probe-{milestone}.json",
                "dev",
                args.probe_tasks,
                args.probe_train,
            )
            curve.append(
                {
                    "step": done,
                    "seconds": done * seconds_per_step,
                    "probe": float(np.mean(list(probes.values()))),
                }
            )
        print(
            f"{name}, seed {seed}: {done:,} of {steps:,} steps, "
            f"{time.perf_counter() - begin:.0f} s",
            flush=True,
        )
    found = workshop.evaluate(encoder, scores, args.split)
    return {
        "scores": found,
        "curve": curve,
        "steps": steps,
        "seconds_per_step": seconds_per_step,
        "batch_size": method.batch_size,
    }


def planned_steps(minutes, seconds_per_step):
    """The budget in steps: a multiple of 16, so that milestones are whole."""
    return 16 * max(round(60 * minutes / seconds_per_step / 16), 2)
