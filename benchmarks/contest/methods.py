"""The trained methods of the contest.

All read windows of the same tokens and train an encoder of the same size;
views, objectives, rates and the network that is kept are each method's own.
What else was tried: `docs/what_the_search_taught.md`.
"""

import dataclasses
import hashlib
import json

import keras

import keras_dinolm as kd
from contest.bag import BagOfEmbeddings
from keras_dinolm.views import ViewGroup

WINDOW = 64  # longest view, [CLS] included
CROPS = {"count": 2, "span": (0.2, 0.4)}


@dataclasses.dataclass(frozen=True)
class Method:
    """How one method trains.

    Args:
        title: string, for the table.
        groups: tuple of `ViewGroup`.
        objectives: callable, the number of steps to a list of objectives; or
            `None` for the bag of embeddings, which has its own.
        network: `"student"` or `"teacher"`, which of them is kept.
        batch_size: int.
        learning_rate: float.
        weight_decay: float.
        momentum: pair of floats, of the teacher, first and last.
        num_prototypes: int.
        counted: bool. Whether the embeddings start as
            `kd.data.ppmi_embeddings`, whose time is part of the budget.
        multipliers: dict, of the rate, as for `kd.optimizers.adamw`.
        backbone: dict of arguments of `DinoLMBackbone`.
        sequence_length: int. Longest view.
        read_layers: tuple of ints, or `None`. The layers that a text's feature
            is taken from when it is measured; `None` for those that it
            learned with.
        start: `Method` of a backbone without blocks, or `None`. What is
            trained first; then the blocks come on top.
        start_steps: int, a multiple of 16. How long the start trains, but
            for no more than half of the time.
    """

    title: str
    groups: tuple
    objectives: object
    network: str = "student"
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.04
    momentum: tuple = (0.99, 0.999)
    num_prototypes: int = 512
    counted: bool = False
    multipliers: dict = dataclasses.field(default_factory=dict)
    backbone: dict = dataclasses.field(default_factory=dict)
    sequence_length: int = WINDOW
    read_layers: tuple | None = None
    start: "Method | None" = None
    start_steps: int = 0

    def fingerprint(self):
        """A digest of all settings: results of an older recipe are others."""
        plain = Method("", (), None)
        config = {
            name: value
            for name, value in vars(self).items()
            if name not in ("title", "groups", "objectives", "start")
            # So that a new setting leaves older digests as they are.
            and value != getattr(plain, name)
        }
        config["groups"] = [group.get_config() for group in self.groups]
        if self.start is not None:
            config["start"] = self.start.fingerprint()
        if self.objectives is not None:
            config["objectives"] = [
                _unnamed(keras.saving.serialize_keras_object(objective))
                for objective in self.objectives(1_000)
            ]
        text = json.dumps(config, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def cost(self):
        """The same digest of all methods whose steps cost the same."""
        return dataclasses.replace(
            self,
            learning_rate=1.0,
            weight_decay=0.0,
            network="student",
            counted=False,
            read_layers=None,
            start=None,
            start_steps=0,
        ).fingerprint()

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

    def views(self, tokenizer):
        return kd.views.TextViews(
            tokenizer, self.sequence_length, groups=self.groups
        )

    def model(self, size, tokenizer, tokens, steps, start=None):
        """The compiled model, for a run of so many steps.

        `start` is the backbone of the method's `start`, if it has one.
        """
        vocabulary_size = tokenizer.vocabulary_size()
        if self.objectives is None:
            model = BagOfEmbeddings(
                vocabulary_size, kd.models.SIZES[size]["hidden_dim"]
            )
        else:
            if start is None:
                backbone = encoder(size, tokenizer, **self.backbone)
            else:
                backbone = deepen(start, size, **self.backbone)
            if self.counted:
                count_embeddings(backbone, tokens)
            model = kd.models.DinoLM(
                backbone,
                self.objectives(steps),
                num_prototypes=self.num_prototypes,
                momentum=kd.schedules.Cosine(*self.momentum, steps),
                roles=self.views(tokenizer).roles,
            )
        model.compile(
            optimizer=kd.optimizers.adamw(
                self.learning_rate,
                warmup_steps=min(100, steps // 10),
                total_steps=steps,
                weight_decay=self.weight_decay,
                multipliers=self.multipliers,
            ),
            # XLA halves the step here; torch's compiler refuses dropout.
            jit_compile=keras.backend.backend() != "torch",
        )
        return model

    def kept(self, model, tokenizer, sequence_length):
        """What the contest measures: anything with `encode`."""
        if self.objectives is None:
            return model.word_vectors(tokenizer)
        backbone = getattr(model, self.network).encoder.backbone
        if self.read_layers:
            backbone = pool(backbone, self.read_layers)
        return embedder(backbone, tokenizer, sequence_length)


def _unnamed(config):
    """Without names, in which Keras counts the layers of a process."""
    if isinstance(config, dict):
        return {k: _unnamed(v) for k, v in config.items() if k != "name"}
    return config


def encoder(size, tokenizer, **overrides):
    """The untrained encoder, the same for all methods."""
    return kd.models.DinoLMBackbone.from_size(
        size,
        tokenizer.vocabulary_size(),
        **{"embedding_stddev": 0.05, **overrides},
    )


def pool(backbone, layers):
    """The same encoder, whose text's feature is that of other layers."""
    config = {**backbone.get_config(), "pooled_layers": layers}
    copy = type(backbone).from_config(config)
    copy.set_weights(backbone.get_weights())
    return copy


def deepen(backbone, size, **overrides):
    """An encoder of that size on top of one without blocks."""
    full = kd.models.DinoLMBackbone.from_size(size, 1)
    return kd.models.extend_depth(
        backbone,
        full.num_layers,
        **{"num_registers": full.num_registers, **overrides},
    )


def count_embeddings(backbone, tokens):
    """Starts an encoder from what counting tells."""
    backbone.token_embedding.embeddings.assign(
        kd.data.ppmi_embeddings(
            tokens, backbone.vocabulary_size, backbone.hidden_dim
        )
    )


def embedder(backbone, tokenizer, sequence_length):
    return kd.models.DinoLMTextEmbedder(
        backbone,
        kd.models.DinoLMTextPreprocessor(
            tokenizer, sequence_length=sequence_length
        ),
    )


def info_nce(steps):
    return [kd.objectives.InfoNCE(0.05)]


def masked_lm(steps):
    return [kd.objectives.MaskedLM()]


def distillation(steps):
    """DINO and iBOT on the same crops, and masked LM to get off the ground."""
    temperature = kd.schedules.Linear(0.04, 0.07, max(steps // 5, 1))
    return [
        kd.objectives.MaskedLM(weight=0.5),
        kd.objectives.SequenceDistillation(
            teacher_temperature=temperature, weight=0.5
        ),
        kd.objectives.TokenDistillation(
            teacher_temperature=temperature, weight=0.5
        ),
        kd.objectives.KoLeo(0.1),
    ]


def default(steps):
    """Embeddings tell crops apart; blocks predict words that are masked."""
    return [kd.objectives.InfoNCE(0.05), kd.objectives.MaskedLM()]


# Whole words: a piece of one is too easily told from the others.
MASKED = {
    "mask_probability": 1.0,
    "mask_ratio": 0.15,
    "mask_span": 1.0,
    "mask_unit": "word",
}
# For a loss on the text's feature that the blocks are to learn from, the words
# themselves beside what the blocks make of them: better for each of these
# methods that was tried with the last layer alone.
FIRST_LAST = {"pooled_layers": (0, -1)}
# Once trained, the words alone are the better feature of a text: so says dev
# for all that were tried, which DinoLM without InfoNCE was not.
EMBEDDINGS = {"pooled_layers": (0,)}

UNTRAINED = {
    "untrained": ("untrained", EMBEDDINGS),
    "untrained_first_last": (
        "untrained, first and last layer read",
        FIRST_LAST,
    ),
    "untrained_last": ("untrained, last layer read", {"pooled_layers": (-1,)}),
}

# What the default starts with: embeddings that are counted, and then learn as a
# bag to tell crops apart, at a thirtieth of the cost of a step with blocks.
BAG = Method(
    "counted bag of embeddings",
    (ViewGroup("local", **CROPS),),
    info_nce,
    batch_size=256,
    counted=True,
    backbone={"num_layers": 0, "num_registers": 0},
)

METHODS = {
    "masked_lm": Method(
        "masked LM",
        (ViewGroup("whole", 1, **MASKED),),
        masked_lm,
        learning_rate=1e-3,
        backbone=FIRST_LAST,
        read_layers=(0,),
    ),
    "simcse": Method(
        "SimCSE (dropout)",
        (ViewGroup("local", 2),),
        info_nce,
        learning_rate=5e-4,
        sequence_length=32,
        backbone={**FIRST_LAST, "dropout": 0.1},
        read_layers=(0,),
    ),
    "crop_info_nce": Method(
        "crop InfoNCE",
        (ViewGroup("local", **CROPS),),
        info_nce,
        learning_rate=1e-3,
        backbone=FIRST_LAST,
        read_layers=(0,),
    ),
    "bag": Method(
        "bag of embeddings, crop InfoNCE",
        (ViewGroup("local", **CROPS),),
        None,
        batch_size=256,
    ),
    "dino_lm_without_info_nce": Method(
        "DinoLM without InfoNCE",
        (ViewGroup("local", **CROPS, **MASKED),),
        distillation,
        network="teacher",
        learning_rate=1e-3,
        momentum=(0.98, 0.995),
        backbone=FIRST_LAST,
        read_layers=(0,),
    ),
    "dino_lm": Method(
        "DinoLM: masked LM + InfoNCE of embeddings on a counted bag",
        (
            ViewGroup("whole", 1, **{**MASKED, "mask_ratio": 0.3}),
            ViewGroup("local", **{**CROPS, "count": 4}),
        ),
        default,
        network="teacher",
        learning_rate=1e-3,
        momentum=(0.98, 0.995),
        # The text's feature is that of its embeddings, so that InfoNCE does
        # not reach the blocks; they do not run where crops are read.
        backbone={**EMBEDDINGS, "layer_scale": 0.1},
        start=BAG,
        start_steps=992,
    ),
}
