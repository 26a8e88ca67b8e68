"""What all runs share: texts, tokens, and the encoders that they start from."""

import dataclasses
import functools
import pathlib

import keras
import numpy as np
from contest.run import corpus_digest
from contest.run import read_corpus

import keras_dinolm as kd
from fair_trial.minilm import minilm
from keras_dinolm.recipes import parts

VOCABULARY_SIZE = 8_192
# Longest views, [CLS] included: of texts for sequences, of those for tokens.
WINDOW, SHORT_WINDOW = 64, 40
SPAN = (0.2, 0.4)
BAG_STEPS, BAG_BATCH_SIZE, BAG_RATE = 992, 256, 2e-3


@dataclasses.dataclass(frozen=True)
class Workshop:
    """Corpus, tokenizer and tokens, made once in a folder.

    Args:
        data: path, of corpus and tasks (`contest/DATA.md`).
        folder: path, for what is made.
        size: string, one of `kd.models.SIZES`.
    """

    data: pathlib.Path
    folder: pathlib.Path
    size: str

    @functools.cached_property
    def home(self):
        name = f"corpus-{corpus_digest(self.data)}-{VOCABULARY_SIZE}"
        return self.folder / name

    @functools.cached_property
    def corpus(self):
        return read_corpus(self.data)

    @functools.cached_property
    def tokenizer(self):
        path = self.home / "vocabulary.txt"
        if path.exists():
            words = path.read_text(encoding="utf-8").split("\n")
            return kd.models.DinoLMTokenizer(words)
        made = kd.data.train_tokenizer(
            self.corpus, VOCABULARY_SIZE, show_progress=False
        )
        kd.files.write_text(path, "\n".join(made.get_vocabulary()))
        return made

    @functools.cached_property
    def tokens(self):
        return kd.data.tokenize(
            self.corpus,
            self.tokenizer,
            self.home / "tokens",
            show_progress=False,
        )

    @functools.cached_property
    def log_weights(self):
        """Logarithms of SIF weights: rare tokens count more in a mean."""
        weights = kd.data.sif_weights(
            self.tokens, self.tokenizer.vocabulary_size()
        )
        return np.log(weights)

    def dataset(self, views, batch_size, seed, start_step=0):
        return kd.data.view_dataset(
            self.tokens,
            views,
            batch_size,
            seed=seed,
            start_step=start_step,
            # One width, so that one step is compiled.
            buckets=[views.sequence_length - 1],
        )

    def bag_shape(self):
        """An untrained bag of embeddings with counted weights in its mean."""
        bag = parts.encoder(
            self.size,
            self.tokenizer,
            num_layers=0,
            num_registers=0,
            pooling="weighted_mean",
        )
        bag.pooler.log_weights.assign(self.log_weights)
        bag.pooler.trainable = False
        return bag

    def counted_bag(self):
        """A bag whose embeddings are counted."""
        bag = self.bag_shape()
        path = self.home / f"counted-{bag.hidden_dim}.npy"
        if not path.exists():
            parts.count_embeddings(bag, self.tokens)
            with kd.files.write_file(path) as file:
                np.save(file, np.asarray(bag.token_embedding.embeddings))
        bag.token_embedding.embeddings.assign(np.load(path))
        return bag

    def trained_bag(self, seed):
        """A bag that InfoNCE has trained, from counted embeddings."""
        path = self.home / f"bag-{self.size}-{seed}.npz"
        bag = self.counted_bag()
        if not path.exists():
            keras.utils.set_random_seed(seed)
            views = crops(self.tokenizer, 2)
            model = kd.models.DinoLM(
                bag, [kd.objectives.InfoNCE()], roles=views.roles
            )
            model.compile(
                kd.optimizers.adamw(
                    BAG_RATE,
                    warmup_steps=BAG_STEPS // 10,
                    total_steps=BAG_STEPS,
                ),
                jit_compile=kd.training.COMPILE_BY_DEFAULT,
            )
            model.fit(
                self.dataset(views, BAG_BATCH_SIZE, seed),
                steps_per_epoch=BAG_STEPS,
                verbose=0,
            )
            save_weights(path, model.student.encoder.backbone)
            bag = self.counted_bag()
        load_weights(path, bag)
        return bag

    def start(self, name, seed):
        """The backbone that a run starts from."""
        return STARTS[name](self, seed)


STARTS = {
    "counted": lambda workshop, seed: workshop.counted_bag(),
    "bag": Workshop.trained_bag,
    "minilm": lambda workshop, seed: minilm(),
}


def crops(tokenizer, count, *others):
    """Short spans of windows, beside groups of views for the teacher."""
    roles = "student" if others else ("student", "teacher")
    group = kd.views.ViewGroup("local", count, span=SPAN, roles=roles)
    return kd.views.TextViews(tokenizer, WINDOW, groups=(*others, group))


def save_weights(path, backbone):
    with kd.files.write_file(path) as file:
        np.savez(file, *backbone.get_weights())


def load_weights(path, backbone):
    with np.load(path) as arrays:
        backbone.set_weights([arrays[name] for name in arrays.files])
