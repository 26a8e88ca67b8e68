"""The trained methods of the contest.

Recipes are those of the library (`kd.recipes`); what is a rival's alone is
here. All train an encoder of the same size on windows of the same tokens.
What else was tried: `docs/what_the_search_taught.md`.
"""

import dataclasses
from collections.abc import Callable

import keras

import keras_dinolm as kd
from contest.bag import BagOfEmbeddings
from keras_dinolm.recipes import parts
from keras_dinolm.views import ViewGroup

WINDOW = 64  # longest view, [CLS] included


@dataclasses.dataclass(frozen=True)
class Method:
    """How one method trains: one phase of a recipe, after another or not.

    Args:
        title: string, for the table.
        recipe: callable `(tokenizer, size, sequence_length, **options)` to a
            list of `Phase`, such as a recipe of the library.
        key: string. Names the hyperparameters in the results: change it with
            them, so that results of older ones are told apart.
        cost_key: string. Names the time of a step in the calibration; methods
            whose steps cost the same may share one.
        sequence_length: int. Longest view.
        counted: bool. Whether the embeddings are counted first, whose time is
            part of the budget.
        start: `Method` of the phase before, or `None`.
        start_steps: int, a multiple of 16. How long the start trains, but
            for no more than half of the time.
        options: dict, of the recipe.
    """

    title: str
    recipe: Callable
    key: str
    cost_key: str
    sequence_length: int = WINDOW
    counted: bool = False
    start: "Method | None" = None
    start_steps: int = 0
    options: dict = dataclasses.field(default_factory=dict)

    def fingerprint(self):
        """The key of the hyperparameters in the results."""
        return self.key

    def cost(self):
        """The key of the time of a step in the calibration."""
        return self.cost_key

    def plan(self, minutes, calibration):
        """Seconds that pass before any step, and steps of start and rest.

        Both are multiples of 16, so that milestones are whole.
        """
        first = self.start or self
        before = calibration["counting_seconds"] if first.counted else 0.0
        cost = calibration["seconds_per_step"]
        left = 60 * minutes - before

        def sixteens(seconds, method):
            return 16 * max(round(seconds / cost[method.cost()] / 16), 2)

        start = 0
        if self.start:
            start = min(self.start_steps, sixteens(left / 2, self.start))
            left -= start * cost[self.start.cost()]
        return before, start, sixteens(left, self)

    def phase(self, size, tokenizer):
        """The phase of the recipe that this method trains."""
        phases = self.recipe(
            tokenizer,
            size=size,
            sequence_length=self.sequence_length,
            **self.options,
        )
        return phases[1 if self.start else 0]

    def model(self, size, tokenizer, tokens, steps, start=None):
        """The compiled model, for a run of so many steps.

        `start` is the backbone that the method's `start` left; without one,
        that of an untrained start, of which only the time matters.
        """
        if self.start and start is None:
            start = self.start.phase(size, tokenizer).backbone(None, None)
        phase = self.phase(size, tokenizer)
        model = phase.model(phase.backbone(start, tokens), steps)
        if phase.prepare:
            phase.prepare(model, tokens)
        return model

    def kept(self, model, size, tokenizer, sequence_length):
        """What the contest measures: anything with `encode`."""
        kept = self.phase(size, tokenizer).kept(model)
        if isinstance(kept, BagOfEmbeddings):
            return kept.word_vectors(tokenizer)
        return embedder(kept, tokenizer, sequence_length)


def encoder(size, tokenizer, **overrides):
    """The untrained encoder, the same for all methods."""
    return parts.encoder(size, tokenizer, **overrides)


def count_embeddings(backbone, tokens):
    """Starts an encoder from what counting tells."""
    parts.count_embeddings(backbone, tokens)


def embedder(backbone, tokenizer, sequence_length):
    return kd.models.DinoLMTextEmbedder(
        backbone,
        kd.models.DinoLMTextPreprocessor(
            tokenizer, sequence_length=sequence_length
        ),
    )


# === Rivals that are not recipes of the library ===


@dataclasses.dataclass(frozen=True)
class BagPhase(kd.recipes.Phase):
    """A phase of another model, whose vectors of tokens are kept."""

    def kept(self, model):
        return model


def bag(tokenizer, size, sequence_length):
    """A plain bag of embeddings: what the smallest encoder learns of crops."""
    views = kd.views.TextViews(
        tokenizer, sequence_length, groups=[ViewGroup("local", 2, (0.2, 0.4))]
    )

    def model(before, steps):
        made = BagOfEmbeddings(
            tokenizer.vocabulary_size(), kd.models.SIZES[size]["hidden_dim"]
        )
        made.compile(
            kd.optimizers.adamw(
                2e-3,
                warmup_steps=min(100, steps // 10),
                total_steps=steps,
                weight_decay=0.04,
            ),
            jit_compile=keras.backend.backend() != "torch",
        )
        return made

    return [BagPhase("bag", views, 256, lambda before, tokens: None, model)]


def dino_without_info_nce(tokenizer, size, sequence_length):
    """DINO and iBOT on the same crops; masked LM gets them off the ground."""
    group = ViewGroup(
        "local",
        2,
        (0.2, 0.4),
        mask_probability=1.0,
        mask_ratio=0.15,
        mask_span=1.0,
        mask_unit="word",
    )
    views = kd.views.TextViews(tokenizer, sequence_length, groups=[group])
    o = kd.objectives

    def backbone(before, tokens):
        return parts.encoder(
            size, tokenizer, pooled_layers=parts.FIRST_AND_LAST
        )

    def model(backbone, steps):
        temperature = kd.schedules.Linear(0.04, 0.07, max(steps // 5, 1))
        objectives = [
            o.MaskedLM(weight=0.5),
            o.SequenceDistillation(teacher_temperature=temperature, weight=0.5),
            o.TokenDistillation(teacher_temperature=temperature, weight=0.5),
            o.KoLeo(0.1),
        ]
        return parts.compiled(
            backbone,
            objectives,
            views,
            steps,
            1e-3,
            momentum=(0.98, 0.995),
            num_prototypes=512,
        )

    return [
        kd.recipes.Phase(
            "distillation",
            views,
            64,
            backbone,
            model,
            pooled_layers=parts.EMBEDDINGS,
        )
    ]


UNTRAINED = {
    "untrained": ("untrained", {"pooled_layers": parts.EMBEDDINGS}),
    "untrained_first_last": (
        "untrained, first and last layer read",
        {"pooled_layers": parts.FIRST_AND_LAST},
    ),
    "untrained_last": ("untrained, last layer read", {"pooled_layers": (-1,)}),
}

# Keys and costs are those of `results.jsonl` and of its calibration, which
# were measured before the recipes moved into the library.
BAG_STEPS = 992  # a multiple of 16
# What the default was until 2026-11-30: each token weighs the same, the
# embeddings learn at the rate of the blocks, and masked LM begins with a guess
# of equal chances.
OLD = {"token_weights": 0, "embedding_rate": 1.0, "count_output": False}
OLD_BAG = Method(
    "counted bag of embeddings",
    kd.recipes.bag_then_blocks,
    key="ec808ec6596c",
    cost_key="e4918b55c0e6",
    counted=True,
    options=OLD,
)
BAG = Method(
    "counted bag of weighted embeddings",
    kd.recipes.bag_then_blocks,
    key="weighted bag",
    cost_key="weighted bag",
    counted=True,
)

METHODS = {
    "masked_lm": Method(
        "masked LM",
        kd.recipes.masked_lm,
        key="acff351a26c5",
        cost_key="c0259775582d",
    ),
    "simcse": Method(
        "SimCSE (dropout)",
        kd.recipes.simcse,
        key="0575a9f2c4d2",
        cost_key="aefa60cabb1d",
        sequence_length=32,
    ),
    "crop_info_nce": Method(
        "crop InfoNCE",
        kd.recipes.crop_info_nce,
        key="3410f39d7413",
        cost_key="0a01c2f7f0de",
    ),
    "bag": Method(
        "bag of embeddings, crop InfoNCE",
        bag,
        key="ad63a0b81cb9",
        cost_key="a9865d3eaca3",
    ),
    "dino_lm_without_info_nce": Method(
        "DinoLM without InfoNCE",
        dino_without_info_nce,
        key="3028ab4ca1ce",
        cost_key="3a8d6f6eb7ec",
    ),
    "old_default": Method(
        "masked LM + InfoNCE of embeddings on a counted bag (old default)",
        kd.recipes.bag_then_blocks,
        key="7ec42cf97bae",
        cost_key="bb7751050ced",
        start=OLD_BAG,
        start_steps=BAG_STEPS,
        options=OLD,
    ),
    "default": Method(
        "the same with weighted tokens, embeddings at a tenth of the rate "
        "(default)",
        kd.recipes.bag_then_blocks,
        key="weighted bag, blocks",
        cost_key="weighted bag, blocks",
        start=BAG,
        start_steps=BAG_STEPS,
    ),
}
