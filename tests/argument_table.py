"""Every public callable, and what each of its arguments may be."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

import keras_dinolm as kd
from tests.argument_kinds import CORPUS
from tests.argument_kinds import FLAG
from tests.argument_kinds import MATRIX
from tests.argument_kinds import NAN
from tests.argument_kinds import OBJECT
from tests.argument_kinds import PATH
from tests.argument_kinds import PATHS
from tests.argument_kinds import PROBABILITY
from tests.argument_kinds import RATE
from tests.argument_kinds import SEED
from tests.argument_kinds import TEMPERATURE
from tests.argument_kinds import TENSOR
from tests.argument_kinds import TEXT
from tests.argument_kinds import WORD
from tests.argument_kinds import WORDS
from tests.argument_kinds import Kind
from tests.argument_kinds import choice
from tests.argument_kinds import integer
from tests.argument_kinds import number
from tests.argument_kinds import scheduled
from tests.argument_kinds import whole

TEXTS = [f"text number {n} of a small corpus about {n % 7}" for n in range(40)]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "form", "from", "."]


def count_letters(texts):
    """A teacher."""
    return np.array([[len(text), text.count("o")] for text in texts])


class World:
    """What arguments are made of, each made once, when it is needed."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "corpus.jsonl").write_text('{"text": "a form from"}\n' * 3)
        (folder / "corpus.txt").write_text("a form from\n")
        (folder / "synonyms.tsv").write_text("form\tfrom\n")
        (folder / "labelled.tsv").write_text("text\tlabel\na\tb\n")

    @functools.cached_property
    def tokenizer(self):
        return kd.models.DinoLMTokenizer(VOCABULARY)

    @functools.cached_property
    def special(self):
        return kd.views.SpecialTokens(0, 2, 4)

    @functools.cached_property
    def views(self):
        return kd.views.TextViews(self.tokenizer, sequence_length=9)

    @functools.cached_property
    def batches(self):
        windows = {
            "token_ids": np.full((2, 8), 5, "int32"),
            "lengths": np.full(2, 8, "int32"),
            "starts": np.zeros(2, "int32"),
        }
        return [self.views(windows, seed=0, step=0)]

    @functools.cached_property
    def tokens(self):
        return kd.data.tokenize(
            ["form from form from ."] * 9 + TEXTS,
            self.tokenizer,
            self.folder / "store",
            show_progress=False,
        )

    @functools.cached_property
    def features(self):
        """The folder of features of a teacher."""
        texts = ["form from form from ."] * 9 + TEXTS
        folder = self.folder / "teacher"
        kd.data.teacher_features(count_letters, texts, self.tokens, folder)
        return folder

    def backbone(self):
        return kd.models.DinoLMBackbone(**BACKBONE)

    @functools.cached_property
    def shared_backbone(self):
        return self.backbone()

    @functools.cached_property
    def encoder(self):
        return kd.models.TextEncoder(self.shared_backbone)

    @functools.cached_property
    def model(self):
        return kd.models.DinoLM(
            self.backbone(),
            [kd.objectives.SequenceDistillation()],
            num_prototypes=4,
        )

    @functools.cached_property
    def compiled_model(self):
        self.model.compile("sgd")
        return self.model

    @functools.cached_property
    def preprocessor(self):
        return kd.models.DinoLMTextPreprocessor(self.tokenizer, 8)

    @functools.cached_property
    def embedder(self):
        return kd.models.DinoLMTextEmbedder(
            self.shared_backbone, self.preprocessor
        )

    @functools.cached_property
    def reader(self):
        return kd.pictures.TextReader(self.model.learned(), self.tokenizer)

    @functools.cached_property
    def preset(self):
        folder = self.folder / "preset"
        self.model.export_preset(folder, self.tokenizer)
        return str(folder)

    @functools.cached_property
    def clusters(self):
        return kd.curation.hierarchical_kmeans(FEATURES, [4, 2])

    @functools.cached_property
    def maps(self):
        return kd.pictures.attention_maps(self.reader, "form")

    @functools.cached_property
    def similarity(self):
        return kd.pictures.token_similarity(self.reader, "form")

    @functools.cached_property
    def atlas(self):
        return kd.pictures.prototype_atlas(self.reader, ["form", "from"])

    def new(self, name):
        """A folder that is not there yet."""
        return str(self.folder / f"{name}-{len(list(self.folder.iterdir()))}")


BACKBONE = {
    "vocabulary_size": len(VOCABULARY),
    "num_layers": 1,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 16,
}
RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(6, 4))
LABELS = ["a", "b"] * 3
TAGS = [["B-PER", "O"]] * 3
TOKEN_FEATURES = RNG.normal(size=(3, 2, 4))


@dataclasses.dataclass
class Case:
    """A public callable.

    Attributes:
        name: path below `keras_dinolm`.
        good: callable from `World` to arguments of the cheapest good call.
        kinds: dict of argument to `Kind`, or to a pair of one and of further
            arguments that it needs.
        calls_good: whether the good call is made, and one with each value
            that a kind calls good.
    """

    name: str
    good: Callable[[World], dict]
    kinds: dict[str, Any]
    calls_good: bool = True

    @property
    def function(self):
        found = kd
        for part in self.name.split("."):
            found = getattr(found, part)
        return found


def bad_only(kinds: dict) -> dict:
    """The same, without the good values: where a good call takes long."""
    return {name: Kind(kind.bad) for name, kind in kinds.items()}


CASES: list[Case] = []
# `{(callable or "*", argument): reason}`: what no value can be wrong for.
EXEMPT: dict[tuple[str, str], str] = {
    ("*", "kwargs"): "Keras checks its own arguments",
    ("*", "dtype"): "Keras checks its own arguments",
    ("*", "overrides"): "arguments of another constructor, named there",
    ("*", "options"): "arguments of a recipe, named there",
    ("*", "name"): "",
}
del EXEMPT["*", "name"]
# `{callable: reason}`: those that users do not call with values.
RESULTS = "a result, which only this package makes"
EXEMPT_CALLABLES: dict[str, str] = {
    "callbacks.CollapseWarning": "a warning",
    "runs.CheckpointError": "an error",
    "runs.Position": RESULTS,
    "curation.Clusters": RESULTS,
    "curation.Report": RESULTS,
    "data.Corpus": "a base class, whose subclasses have arguments",
    "data.FeatureStore": "opened by `FeatureStore.open`",
    "data.TokenStore": "opened by `TokenStore.open`",
    "evaluation.LabelledTexts": RESULTS,
    "evaluation.Searches": RESULTS,
    "evaluation.TaggedWords": RESULTS,
    "evaluation.TextPairs": RESULTS,
    "objectives.Features": RESULTS,
    "objectives.Result": "checked where an objective returns it",
    "pictures.AttentionMaps": RESULTS,
    "pictures.Prototype": RESULTS,
    "pictures.PrototypeAtlas": RESULTS,
    "pictures.Span": RESULTS,
    "pictures.TokenSimilarity": RESULTS,
    "pictures.Tokens": RESULTS,
    "recipes.names": "takes no argument",
    "schedules.Schedule": "Keras' own base class",
    "training.move_average": "called by models",
    "training.read_variable": "called by models",
    "training.train_step": "called by models",
    "views.default_groups": "takes no argument",
    "data.UnknownRate": RESULTS,
    "files.InUseError": "an error",
    "files.home": "takes no argument",
    "files.parse_json": "takes any text",
    "files.lock": "a context, which checks when it is entered",
    "files.replace_folder": "a context, which checks when it is entered",
    "files.write_file": "a context, which checks when it is entered",
    "files.remove": "takes a path of ours",
    "files.remove_folder": "takes a path of ours",
    "files.set_aside": "takes a path of ours",
}


def add(name, good=None, kinds=None, calls_good=True):
    if not callable(good):
        fixed = good or {}
        good = lambda world: dict(fixed)  # noqa: E731
    CASES.append(Case(name, good, kinds or {}, calls_good))


def add_kinds(reason, *pairs):
    for name, arguments in pairs:
        for argument in arguments.split():
            EXEMPT[name, argument] = reason


# === Layers ===

INITIALIZER = Kind((NAN, 7, object(), "nonsense", [], 1j))
add(
    "layers.SelfAttention",
    {"num_heads": 2},
    {"num_heads": integer(), "kernel_initializer": INITIALIZER},
)
LAYER_SEED = SEED.optional()
add(
    "layers.DropPath",
    {},
    {"rate": RATE, "dropout": RATE, "seed": LAYER_SEED},
)
add(
    "layers.EncoderBlock",
    {"num_heads": 2, "intermediate_dim": 8},
    {
        "num_heads": integer(),
        "intermediate_dim": integer(),
        "activation": choice("gelu", "swiglu"),
        "dropout": RATE,
        "drop_path_rate": RATE,
        "layer_scale": number().optional(),
        "remat": FLAG,
        "kernel_initializer": INITIALIZER,
    },
)
add("layers.Expander", {"dim": 4}, {"dim": integer()})
add(
    "layers.FeedForward",
    {"intermediate_dim": 4},
    {
        "intermediate_dim": integer(),
        "activation": choice("gelu", "swiglu"),
        "kernel_initializer": INITIALIZER,
        "output_dim": integer().optional(),
    },
)
CENTROIDS = MATRIX.but(
    [1.5, 2], [1, 4], [4, 0], (4,), np.zeros((3, 4)), np.ones((1, 4))
)
add("layers.FixedPrototypes", {"centroids": (3, 4)}, {"centroids": CENTROIDS})
add("layers.LayerScale", {}, {"initial_value": number()})
add("layers.ClsPooling")
add("layers.MeanPooling")
EXEMPT["layers.ClsPooling", "args"] = "Keras checks its own arguments"
EXEMPT["layers.MeanPooling", "args"] = "Keras checks its own arguments"
add("layers.AttentionPooling", {}, {"num_heads": integer()})
add(
    "layers.get_pooler",
    {"pooling": "mean"},
    {"pooling": choice("mean", "cls", "attention")},
)
add(
    "layers.WeightedMeanPooling",
    {"vocabulary_size": 4},
    {"vocabulary_size": integer()},
)
add(
    "layers.OnlineCodebook",
    {"num_codes": 4},
    {
        "num_codes": integer(2),
        "momentum": RATE,
        "hard": FLAG,
        "revive_below": RATE,
    },
)
add(
    "layers.ProjectionHead",
    {},
    {
        "hidden_dim": integer(),
        "bottleneck_dim": integer(),
        "num_layers": integer(),
        "kernel_initializer": INITIALIZER,
    },
)
add("layers.Prototypes", {"num_prototypes": 4}, {"num_prototypes": integer(2)})
add("layers.Registers", {}, {"num_registers": integer(0)})
add(
    "layers.RotaryTables",
    {"dim": 4},
    {
        "dim": Kind((*integer().bad, 3, 5), (2, np.int64(4))),
        "num_prefix_tokens": integer(0),
        "max_wavelength": number(above=0),
        "scaling_factor": number(above=0),
        "position_jitter": number(1),
        "seed": LAYER_SEED,
    },
)
add("layers.Centering", {}, {"momentum": RATE})
add("layers.Sinkhorn", {}, {"num_iterations": integer()})
add(
    "layers.l2_normalize",
    {"x": FEATURES},
    {
        "x": TENSOR,
        "axis": integer(-2, 1).without(bool).but(True),
        "epsilon": number(above=0),
    },
)

# === Losses ===

LOGITS = {"logits": FEATURES, "temperature": 0.1}
RANK_2 = TENSOR.but(np.ones(3), np.ones((2, 3, 4)), 1.0)
RANK_1 = TENSOR.but(np.ones((6, 4)), 1.0).but(good=(np.ones(6),)).optional()
RANK_3 = TENSOR.but(np.ones(3), np.ones((6, 4)), 1.0)
add(
    "losses.centered_softmax",
    {**LOGITS, "center": np.zeros(4)},
    {"logits": RANK_2, "center": RANK_2, "temperature": TEMPERATURE},
)
CHUNKED = {
    "teacher_features": FEATURES[None],
    "teacher_prototypes": FEATURES.T,
    "student_features": FEATURES[None],
    "student_prototypes": FEATURES.T,
    "teacher_temperature": 0.1,
    "student_temperature": 0.1,
}
add(
    "losses.chunked_cross_entropy",
    CHUNKED,
    {
        "teacher_features": RANK_3,
        "teacher_prototypes": RANK_2,
        "student_features": RANK_3,
        "student_prototypes": RANK_2,
        "teacher_temperature": TEMPERATURE,
        "student_temperature": TEMPERATURE,
        "teacher_bias": RANK_1,
        "pairs": TENSOR.but(np.ones((3, 3)), 1.0).optional(),
        "sample_weight": RANK_1,
        "max_logits": integer(),
    },
)
add(
    "losses.cosine_distance",
    {"predictions": FEATURES, "targets": FEATURES},
    {"predictions": RANK_2, "targets": RANK_2, "sample_weight": RANK_1},
)
add("losses.entropy", {"probs": FEATURES}, {"probs": TENSOR.but(1.0)})
add(
    "losses.gram",
    {"student": TOKEN_FEATURES, "teacher": TOKEN_FEATURES},
    {
        "student": RANK_3,
        "teacher": RANK_3,
        "padding_mask": TENSOR.but(np.ones(3), 1.0).optional(),
        "remove_negative": FLAG,
    },
)
PAIR = {"x": FEATURES, "y": FEATURES + 1}
add(
    "losses.info_nce",
    PAIR,
    {
        "x": RANK_2,
        "y": RANK_2,
        "temperature": TEMPERATURE,
        "negatives": RANK_2.but(
            np.ones((3, 2)), good=(np.ones((3, 4)),)
        ).optional(),
    },
)
add(
    "losses.koleo",
    {"embeddings": FEATURES},
    {
        "embeddings": RANK_2,
        "groups": TENSOR.but(np.ones((6, 4)), 1.0).optional(),
    },
)
add(
    "losses.mean_entropy",
    LOGITS,
    {"logits": TENSOR.but(1.0), "temperature": TEMPERATURE},
)
add(
    "losses.sigreg",
    {"embeddings": FEATURES, "directions": FEATURES},
    {
        "embeddings": RANK_2,
        "directions": RANK_2.but(np.ones((3, 2))),
        "num_points": Kind((*integer(3).bad, 4), (5,)),
        "limit": number(above=0),
    },
)
add(
    "losses.similarity_cross_entropy",
    {"teacher": FEATURES, "student": FEATURES},
    {
        "teacher": RANK_2,
        "student": RANK_2,
        "teacher_temperature": TEMPERATURE,
        "student_temperature": TEMPERATURE,
    },
)
add(
    "losses.sinkhorn_knopp",
    LOGITS,
    {
        "logits": RANK_2,
        "temperature": TEMPERATURE,
        "num_iterations": integer(),
        "sample_weight": RANK_1,
    },
)
add(
    "losses.sinkhorn_potential",
    {"features": FEATURES, "prototypes": FEATURES.T, "temperature": 0.1},
    {
        "features": RANK_2,
        "prototypes": RANK_2,
        "temperature": TEMPERATURE,
        "num_iterations": integer(),
        "sample_weight": RANK_1,
        "max_logits": integer(),
    },
)
add(
    "losses.smooth_l1",
    {"predictions": FEATURES, "targets": FEATURES},
    {
        "predictions": RANK_2,
        "targets": RANK_2,
        "beta": number(above=0).optional(),
        "sample_weight": RANK_1,
    },
)
add(
    "losses.token_cross_entropy",
    {
        "teacher_probs": FEATURES,
        "student_logits": FEATURES,
        "temperature": 0.1,
    },
    {
        "teacher_probs": RANK_2,
        "student_logits": RANK_2,
        "temperature": TEMPERATURE,
        "sample_weight": RANK_1,
    },
)
add(
    "losses.vicreg",
    PAIR,
    {
        "x": RANK_2,
        "y": RANK_2,
        "invariance_weight": number(0),
        "variance_weight": number(0),
        "covariance_weight": number(0),
    },
)
add(
    "losses.view_cross_entropy",
    {
        "teacher_probs": FEATURES[None],
        "student_logits": FEATURES[None],
        "temperature": 0.1,
    },
    {
        "teacher_probs": RANK_3,
        "student_logits": RANK_3,
        "temperature": TEMPERATURE,
        "pairs": TENSOR.but(np.ones((3, 3)), 1.0).optional(),
    },
)

# === Schedules ===

UPDATE = integer(0, 2**31 - 1)
UPDATES = integer(1, 2**31 - 1)
OPTIONAL_WORD = WORD.optional()
RAMP = {
    "start": number(),
    "end": number(),
    "steps": UPDATES,
    "begin": UPDATE,
    "name": OPTIONAL_WORD,
}
for ramp in ("Cosine", "Linear"):
    add(f"schedules.{ramp}", {"start": 0.0, "end": 1.0, "steps": 10}, RAMP)
THEN = scheduled(number())
add(
    "schedules.Delayed",
    {"steps": 10},
    {"steps": UPDATE, "then": THEN, "name": OPTIONAL_WORD},
)
add(
    "schedules.Warmup",
    {"steps": 10, "then": 1.0},
    {"steps": UPDATE, "then": THEN, "name": OPTIONAL_WORD},
)
NO_LIST = (NAN, 7, True, None, object(), "x", b"x", [], {}, ["x"], [NAN], [1j])
add(
    "schedules.PiecewiseLinear",
    {"knots": [0, 1], "values": [0.0, 1.0]},
    {
        "knots": Kind((*NO_LIST, [1, 0], [0, 1.5], [0, True], [-1, 0], [0])),
        "values": Kind((*NO_LIST, [0.0], [0.0, None], [0.0, True])),
        "name": OPTIONAL_WORD,
    },
)
add(
    "schedules.PiecewiseLinear.of",
    {"schedule": lambda step: 0.0, "steps": 4},
    {
        "schedule": OBJECT.but(lambda step: NAN, lambda step: "x"),
        "steps": UPDATES,
        "points": integer(2, 2**31 - 1),
    },
)
add(
    "schedules.value_at",
    {"value": 0.0, "step": 0},
    {"value": Kind(("x", None, NAN, [], object(), 1j, True)), "step": UPDATE},
)

# === Optimizers ===

RATES = scheduled(number(0), -1.0)
PATTERNS = Kind((NAN, 7, True, None, object(), "x", b"x", [7], ["("], [None]))
CLIP = number(above=0).optional()
ADAMW = {
    "learning_rate": RATES,
    "weight_decay": RATES,
    "layer_decay": number(above=0, high=1),
}
add(
    "optimizers.AdamW",
    {},
    {
        **ADAMW,
        "no_decay": PATTERNS,
        "beta_1": RATE,
        "beta_2": RATE,
        "epsilon": number(0),
        "multipliers": Kind(
            (NAN, 7, "x", [1], object(), {1: 1.0}, {"x": NAN}, {"x": -1.0})
            + ({"(": 1.0}, {"x": "y"}, {"x": None})
        ).optional(),
        "module_clipnorm": CLIP,
        "modules": PATTERNS.but(["x"]),
        "name": WORD,
        "global_clipnorm": CLIP,
        "clipnorm": CLIP,
        "clipvalue": CLIP,
        "gradient_accumulation_steps": integer(2).optional(),
    },
)
CONSTANT = {"schedule": "constant"}
add(
    "optimizers.adamw",
    {"total_steps": 10},
    {
        **ADAMW,
        "learning_rate": number(0),
        "warmup_steps": integer(0).without(int).but(-1, True, 10**30),
        "total_steps": integer(1),
        "schedule": choice("cosine").but(good=()),
        "final_learning_rate": number(0).optional(),
        "global_clipnorm": CLIP,
        "frozen_prototype_steps": UPDATE,
        "frozen_encoder_steps": UPDATE,
    },
)
add(
    "optimizers.scale_learning_rate",
    {"learning_rate": 1e-3, "batch_size": 8},
    {
        "learning_rate": number(0),
        "batch_size": integer(),
        "rule": choice("sqrt", "linear"),
    },
)

# === Training ===

add(
    "training.SkippedStepGuard",
    {"max_skipped_steps": 3},
    {"max_skipped_steps": integer(), "name": WORD},
)

# === Views ===

SETTING = PROBABILITY.but(lambda step: 0.0, kd.schedules.Linear(0.0, 2.0, 9))
FRACTIONS = Kind(
    (NAN, 0.0, 1.5, -1, True, "x", None, [], {}, object(), 1j)
    + ((0.5, 0.2), (0.5, NAN), (0.2, 0.3, 0.4), ("x", "y"), (0.0, 0.5))
    + (np.ones(3), lambda step: 0.5),
    (0.5, (0.2, 0.4), [0.2, 0.4], np.array([0.2, 0.4]), np.float32(0.5)),
)
GROUP = {"name": "global", "count": 2}
add(
    "views.ViewGroup",
    GROUP,
    {
        "name": WORD.but(""),
        "count": integer(),
        "span": FRACTIONS,
        "roles": Kind(
            (NAN, 7, None, True, object(), "x", [], (7,), {}, 1j)
            + (("student", "student"), ([],)),
            ("student", ("student", "gram"), ["teacher"]),
        ),
        "mask_probability": SETTING,
        "mask_ratio": FRACTIONS,
        "mask_span": number(1, 65536).but(lambda step: 2.0),
        "word_deletion": RATE.but(lambda step: 0.0),
        "punctuation_removal": SETTING,
        "word_swap": SETTING,
        "sentence_shuffle": SETTING,
        "sentence_window": integer(2, 16),
        "synonym_replacement": SETTING,
        "typos": SETTING,
        "mask_unit": choice("token", "word"),
        "alternate_probability": SETTING,
    },
)
NO_TABLE = Kind((NAN, 7, True, "x", [], {}, object(), 1j))
add(
    "views.TextViews",
    lambda w: {"tokenizer": w.special},
    {
        "tokenizer": OBJECT,
        "sequence_length": integer(2, 2**15 - 1),
        "groups": Kind((NAN, 7, True, "x", [], [7], {}, object(), [None])),
        "synonyms": NO_TABLE,
        "typos": NO_TABLE,
        "gradient_accumulation_steps": integer(),
    },
)
TOKEN_TABLE = Kind(
    (NAN, 7, True, "x", [], {}, object(), 1j, np.ones((2, 2)), [1.5], ["x"])
).optional()
TOKEN_ID = integer(0, 2**31 - 1)
add(
    "views.SpecialTokens",
    {"pad_token_id": 0, "cls_token_id": 7, "mask_token_id": 8},
    {
        "pad_token_id": TOKEN_ID,
        "cls_token_id": TOKEN_ID,
        "mask_token_id": TOKEN_ID,
        "continues": TOKEN_TABLE,
        "punctuation": TOKEN_TABLE,
        "sentence_ends": TOKEN_TABLE,
    },
)
add("views.SpecialTokens.of", lambda w: {"tokenizer": w.special}, {
    "tokenizer": OBJECT,
})  # fmt: skip
INTEGERS = Kind(
    (NAN, 7, None, "x", {}, object(), [], [1.5], ["x"], [-1], np.ones((2, 2)))
)
add(
    "views.ReplacementTable",
    {"ends": np.array([0, 1]), "choices": np.array([1])},
    {
        "ends": INTEGERS.but([0, 5], [1, 0]),
        "choices": INTEGERS.but([9]),
        "counts": Kind((NAN, 7, "x", [], object(), {1: 2}, {"x": "y"}, None)),
    },
)
add(
    "views.ReplacementTable.of",
    {"replacements": {1: [2]}, "vocabulary_size": 4},
    {
        "replacements": Kind(
            (NAN, 7, None, "x", [], object(), {"x": [1]}, {1: 2}, {1: ["x"]})
            + ({1.5: [2]}, {1: [NAN]}, {1: [9]}, {-1: [1]})
        ),
        "vocabulary_size": Kind(integer().bad),
        "counts": Kind(
            (NAN, 7, "x", [], object(), {1: 2}, {"x": "y"})
        ).optional(),
    },
)
add(
    "views.synonym_table",
    lambda w: {"path": w.folder / "synonyms.tsv", "tokenizer": w.tokenizer},
    {"path": PATH, "tokenizer": OBJECT},
)
add("views.typo_table", lambda w: {"tokenizer": w.tokenizer}, {
    "tokenizer": OBJECT,
})  # fmt: skip

# === Objectives ===

WEIGHT = scheduled(number(0), -1.0)
OBJECTIVE = {
    "weight": WEIGHT,
    "start": UPDATE,
    "stop": integer(1).without(int).but(0, -1, True, 10**30).optional(),
}
BOTH_TEMPERATURES = {
    "student_temperature": TEMPERATURE,
    "teacher_temperature": scheduled(TEMPERATURE, 0.0, -1.0),
}
TARGETS = OBJECT.optional()
DISTILLATION = {**OBJECTIVE, **BOTH_TEMPERATURES, "targets": TARGETS}
PAIRED = {
    **OBJECTIVE,
    "group": WORD.but(""),
    "num_pairs": integer().optional(),
}
add("objectives.Objective", {}, OBJECTIVE)
add("objectives.MaskedLM", {}, OBJECTIVE)
add(
    "objectives.CrossViewTokenDistillation",
    {},
    {
        **DISTILLATION,
        "head": choice("token", "sequence"),
        "num_tokens": integer(),
    },
)
add(
    "objectives.FeatureRegression",
    {},
    {
        **OBJECTIVE,
        "num_layers": integer(),
        "beta": number(above=0).optional(),
    },
)
add(
    "objectives.GramAnchoring",
    {},
    {
        **OBJECTIVE,
        "teacher": OBJECT.optional(),
        "refresh_every": integer().optional(),
        "max_refreshes": (integer().optional(), {"refresh_every": 5}),
        "remove_negative": FLAG,
    },
)
add("objectives.InfoNCE", {}, {**PAIRED, "temperature": TEMPERATURE})
add("objectives.KoLeo", {}, {**OBJECTIVE, "across_views": FLAG})
add(
    "objectives.MeanEntropyMaximization",
    {},
    {**OBJECTIVE, "student_temperature": TEMPERATURE},
)
add(
    "objectives.MomentumContrast",
    {},
    {**OBJECTIVE, "temperature": TEMPERATURE, "queue_size": integer(0)},
)
add(
    "objectives.SIGReg",
    {},
    {
        **OBJECTIVE,
        "tradeoff": PROBABILITY,
        "projection_dim": integer().optional(),
        "target": choice("student", "teacher"),
        "num_directions": integer(),
        "seed": SEED.optional(),
    },
)
add(
    "objectives.SequenceDistillation",
    {},
    {**DISTILLATION, "max_logits": integer()},
)
add(
    "objectives.TokenDistillation",
    {},
    {
        **DISTILLATION,
        "head": choice("token", "sequence"),
        "max_logits": integer(),
    },
)
REGRESSION = {
    **OBJECTIVE,
    "loss": choice("cosine", "squared"),
    "hidden_dim": integer().optional(),
}
add(
    "objectives.SequenceRegression",
    {},
    {**REGRESSION, "group": WORD.but("").optional()},
)
add(
    "objectives.TokenRegression",
    {},
    {**REGRESSION, "tokens": choice("all", "masked")},
)
add(
    "objectives.SimilarityDistillation",
    {},
    {**OBJECTIVE, **BOTH_TEMPERATURES},
)
add(
    "objectives.UnitPrediction",
    {"centroids": (3, 4)},
    {
        **OBJECTIVE,
        "centroids": CENTROIDS,
        "teacher": OBJECT.optional(),
        "window": integer(0),
        "temperature": number(above=0).optional(),
    },
)
add(
    "objectives.VICReg",
    {},
    {
        **PAIRED,
        "invariance_weight": number(0),
        "variance_weight": number(0),
        "covariance_weight": number(0),
        "expander_dim": integer().optional(),
    },
)

# === Models ===

add(
    "models.DinoLMBackbone",
    BACKBONE,
    bad_only(
        {
            "vocabulary_size": integer(),
            "num_layers": integer(0),
            "num_heads": integer()
            .but(3, good=())
            .without(int)
            .but(0, -1, 10**30),
            "hidden_dim": Kind((*integer().bad, 7, 6), (4, np.int64(4))),
            "intermediate_dim": integer(),
            "num_registers": integer(0),
            "activation": choice("gelu", "swiglu"),
            "layer_scale": number().optional(),
            "dropout": RATE,
            "drop_path_rate": RATE,
            "pooling": choice("mean", "cls", "attention", "weighted_mean"),
            "pooled_layers": Kind(
                (NAN, True, None, "x", [], {}, object(), [1.5], [NAN], [True])
                + ([7], [-2], ["x"], [None], 1j, (1.0,)),
                (0, (0, -1), [1], np.array([0, 1])),
            ),
            "pooled_join": choice("average", "concatenate"),
            "pooled_shares": Kind(
                (NAN, 7, True, "x", [], {}, object(), (1.0,), [0.0], [NAN])
            ),
            "embedding_stddev": number(0),
            "max_wavelength": number(above=0),
            "scaling_factor": number(above=0),
            "position_jitter": number(1),
            "remat": FLAG,
        }
    ),
)
add(
    "models.DinoLMBackbone.from_size",
    {"name": "nano", "vocabulary_size": 8},
    {"name": choice(), "vocabulary_size": integer()},
)
BACKBONE_OBJECT = OBJECT
POOLING = Kind(tuple(v for v in choice().bad if v is not None), (None,))
LESSON = {
    "objectives": Kind(
        (NAN, 7, True, "x", [], {}, object(), [7], [None], ["x"], [{}])
    ),
    "teacher": OBJECT.optional(),
    "pooling": POOLING,
    "num_prototypes": integer(2).optional(),
    "head_hidden_dim": integer().optional(),
    "bottleneck_dim": integer().optional(),
    "momentum": scheduled(PROBABILITY, 1.5, -0.5).optional(),
    "mask_student": Kind(tuple(v for v in FLAG.bad if v is not None)),
    "lora_rank": integer().optional(),
}
add(
    "models.Lesson",
    lambda w: {
        "student": w.encoder,
        "objectives": [kd.objectives.SequenceDistillation()],
    },
    {
        "student": BACKBONE_OBJECT,
        **LESSON,
        "weight": number(above=0),
        "name": WORD.but(""),
    },
)
BY_FEATURE = Kind((NAN, 7, True, "x", [1], object(), {"x": 1}, {1: 2}))
PROTOTYPES = BY_FEATURE.but(
    {"token": FEATURES},
    {"token": None},
    {"token": np.full((3, 8), NAN)},
    {"sequence": (3, 8), "token": (4, 8)},
    good=(None,),
)
STATISTICS = BY_FEATURE.but(
    {"token": 1.0},
    {"token": (1.0,)},
    {"token": (0.0, 0.0)},
    {"token": (NAN, 1.0)},
    {"token": ("x", 1.0)},
    {"sequence": (np.ones(3), 1.0)},
    good=(None, {"token": (np.ones(8), 2.0)}),
)
add(
    "models.FixedTeacher",
    lambda w: {"encoder": w.encoder},
    {
        "encoder": BACKBONE_OBJECT,
        "prototypes": PROTOTYPES,
        "statistics": STATISTICS,
    },
)
add(
    "models.CachedTeacher",
    {"name": "mine", "dim": 8},
    {
        "name": WORD.but("", "a b"),
        "dim": integer().without(int).but(0, -1, 10**30),
        "prototypes": PROTOTYPES,
        "statistics": STATISTICS,
    },
)
BATCHES = Kind((None, 7, NAN, "x", object(), [7], ["x"], []))
add(
    "models.token_features",
    lambda w: {
        "encoder": w.encoder,
        "batches": w.batches,
    },
    {
        "encoder": BACKBONE_OBJECT,
        "batches": BATCHES,
        "num_tokens": integer(),
        "window": integer(0),
        "group": WORD.but("", "nonsense").optional().but(good=("local",)),
    },
)
MODEL = {
    "roles": Kind(
        (NAN, 7, True, "x", [1], object(), {"global": 7}, {"global": "x"})
        + ({7: ("student", "teacher")}, {"global": ()}, {"global": None})
        + ({"global": ("student", "x")}, {"global": ("student",)}, {})
    ),
    "group_starts": Kind(
        (NAN, 7, True, "x", [1], object(), {"x": 1}, {"local": NAN})
        + ({"local": 1.5}, {"local": True}, {"local": -1}, {"local": None})
        + ({"local": "x"}, {"local": 10**30}, {"global": 5})
    ),
    "max_skipped_steps": integer(),
}
add(
    "models.DinoLM",
    lambda w: {
        "backbone": w.encoder,
        "objectives": [kd.objectives.SequenceDistillation()],
        "num_prototypes": 4,
    },
    bad_only({"backbone": BACKBONE_OBJECT, **LESSON, **MODEL}),
)
add(
    "models.Distillation",
    lambda w: {
        "lessons": [
            kd.models.Lesson(
                w.encoder,
                [kd.objectives.SequenceDistillation()],
                num_prototypes=4,
            )
        ]
    },
    bad_only(
        {
            "lessons": Kind(
                (NAN, 7, True, "x", [], {}, object(), [7], [None], None)
            ),
            **MODEL,
        }
    ),
)
add(
    "models.TextEncoder",
    lambda w: {"backbone": w.shared_backbone},
    {"backbone": BACKBONE_OBJECT, "pooling": POOLING},
)
add(
    "models.extend_context",
    lambda w: {"backbone": w.shared_backbone, "factor": 2},
    {
        "backbone": BACKBONE_OBJECT,
        "factor": number(1),
        "rope": choice("ntk", "interpolation", "extrapolation"),
        "position_jitter": number(1).optional(),
    },
)
add(
    "models.extend_depth",
    lambda w: {"backbone": w.shared_backbone, "num_layers": 2},
    {
        "backbone": BACKBONE_OBJECT,
        "num_layers": integer(2),
        "layer_scale": number(),
    },
)
add(
    "models.register_backbone",
    {"backbone_class": type("Mine", (), {})},
    {"backbone_class": OBJECT},
    calls_good=False,
)
add(
    "models.check_preset",
    lambda w: {"preset": w.preset},
    {"preset": PATH, "needs_tokenizer": FLAG},
)
add(
    "models.export_preset",
    lambda w: {
        "encoder": w.encoder,
        "tokenizer": w.tokenizer,
        "directory": w.new("preset"),
    },
    {
        "encoder": OBJECT,
        "tokenizer": OBJECT,
        "directory": PATH,
        "sequence_length": integer(2).optional(),
        "heads": OBJECT.optional(),
    },
    calls_good=False,
)
add(
    "models.DinoLMTokenizer",
    {"vocabulary": VOCABULARY},
    {
        "vocabulary": Kind(
            (NAN, 7, True, {}, object(), [7], [None], ["a", 7], 1j)
        ),
        "lowercase": FLAG,
        "strip_accents": Kind(tuple(v for v in FLAG.bad if v is not None)),
        "sequence_length": integer().optional(),
    },
)
add(
    "models.DinoLMTextPreprocessor",
    lambda w: {"tokenizer": w.tokenizer},
    {
        "tokenizer": OBJECT,
        "sequence_length": integer(2),
        "truncate": choice("round_robin", "waterfall"),
    },
)
add(
    "models.DinoLMTextEmbedder",
    lambda w: {"backbone": w.shared_backbone},
    {
        "backbone": BACKBONE_OBJECT,
        "preprocessor": OBJECT.optional(),
        "normalize": FLAG,
        "pooling": POOLING,
        "prompts": Kind((NAN, 7, True, "x", [1], object(), {"x": 7})),
        "default_prompt_name": Kind((NAN, 7, True, "x", [1], object())),
        "similarity_fn_name": choice("cosine", "dot"),
    },
)
add(
    "models.DinoLMTextClassifier",
    lambda w: {"backbone": w.shared_backbone, "num_classes": 2},
    {
        "backbone": BACKBONE_OBJECT,
        "num_classes": integer(),
        "preprocessor": OBJECT.optional(),
        "activation": Kind((NAN, 7, 1j, [], object(), "nonsense")).optional(),
        "dropout": RATE,
    },
)

# === Data ===

add(
    "data.Document",
    {"text": "a"},
    {
        "text": TEXT,
        "id": WORD,
        "label": WORD,
        "module": WORD,
        "alternates": Kind((NAN, 7, True, None, "x", b"x", object(), [7], {})),
    },
)
add(
    "data.HomogeneousBatches",
    {"labels": [0, 1]},
    {
        "labels": Kind(
            (NAN, 7, None, "x", object(), [1.5], ["x"], np.ones((2, 2)), {})
        ),
        "share": PROBABILITY,
    },
)
KEY = WORD.but("")
READER = {
    "paths": PATHS,
    "text_key": KEY,
    "minimum_characters": integer(0),
}
DECODED = {
    "maximum_characters": integer(),
    "encoding": KEY.but("nonsense", "base64"),
    "errors": choice("skip", "replace"),
}
KEYS = {"id_key": KEY.optional(), "label_key": KEY.optional()}
JSONL = {**READER, **KEYS, **DECODED, "alternates_key": KEY.optional()}
SPLIT = choice("file", "line", "paragraph")
add("data.read_jsonl", lambda w: {"paths": w.folder / "corpus.jsonl"}, JSONL)
add(
    "data.read_text",
    lambda w: {"paths": w.folder / "corpus.txt"},
    {
        "paths": PATHS,
        "split": SPLIT,
        "minimum_characters": integer(0),
        "label": OPTIONAL_WORD,
        **DECODED,
    },
)
add(
    "data.read_csv",
    lambda w: {"paths": w.folder / "labelled.tsv"},
    {
        **READER,
        **KEYS,
        **DECODED,
        "delimiter": WORD.but("", ",,", '"').optional(),
        "quoting": FLAG,
    },
)
add(
    "data.read_files",
    lambda w: {"paths": w.folder / "corpus.txt"},
    {**READER, **DECODED, "split": SPLIT},
)
add(
    "data.read_parquet",
    lambda w: {"paths": w.folder / "corpus.txt"},
    {
        **READER,
        **KEYS,
        "alternates_key": KEY.optional(),
        "maximum_characters": integer(),
    },
)
add(
    "data.read_table",
    {"table": {"text": ["a", "b"]}},
    {
        **KEYS,
        "table": Kind((NAN, 7, 1.5, None, True, "x", b"x", object(), {})),
        "text_key": KEY,
        "minimum_characters": integer(0),
        "alternates_key": KEY.optional(),
    },
    calls_good=False,
)
add(
    "data.installed_docs",
    {"packages": [], "cache": False, "show_progress": False},
    {
        "split": choice("train", "held_out"),
        "packages": Kind((NAN, 7, True, {}, object(), [7], [None])),
        "minimum_characters": whole(0),
        "held_out_fraction": RATE,
        "similarity": PROBABILITY,
        "cache": Kind((NAN, 7, 1.5, None, [], {}, object())),
        "show_progress": FLAG,
    },
    calls_good=False,
)
QUIET = {"show_progress": False}
SIMILAR = number(above=0, high=1)
add(
    "data.find_near_duplicates",
    {"texts": TEXTS, **QUIET},
    {"texts": CORPUS, "threshold": SIMILAR, "show_progress": FLAG},
)
add(
    "data.centroids",
    {"features": FEATURES, "num_clusters": 2},
    {
        "features": MATRIX.but(np.ones((6, 4))),
        "num_clusters": integer(2, 6),
        "seed": SEED,
        "max_rows": integer(),
        "batch_size": integer(),
        "max_iterations": integer(),
    },
)
add(
    "data.ppmi_embeddings",
    lambda w: {"tokens": w.tokens, "vocabulary_size": 8, "dim": 4},
    {
        "tokens": OBJECT,
        "vocabulary_size": integer(8),
        "dim": integer(),
        "window": integer(),
        "stddev": number(above=0),
        "max_tokens": whole(),
        "seed": SEED,
    },
)
add(
    "data.token_counts",
    lambda w: {"tokens": w.tokens, "vocabulary_size": 8},
    {"tokens": OBJECT, "vocabulary_size": integer(8)},
)
add(
    "data.sif_weights",
    lambda w: {"tokens": w.tokens, "vocabulary_size": 8},
    {
        "tokens": OBJECT,
        "vocabulary_size": integer(8),
        "smoothing": number(above=0),
        "power": number(0),
        "special_token_ids": Kind(
            (NAN, 7, True, None, "x", {}, object(), [1.5], [NAN], [True])
            + ([8], [-1], ["x"], [None]),
            ([], (3,), np.array([3, 4])),
        ),
    },
)
DATASET = {
    "tokens": OBJECT,
    "views": OBJECT,
    "batch_size": integer(),
    "seed": SEED,
    "start_step": integer(0),
    "num_epochs": whole().optional(),
    "drop_remainder": FLAG,
    "buckets": Kind(
        (NAN, 7, True, "x", [], [7], ["x"], [NAN], {}, object(), [8, 4])
    ),
    "block_tokens": integer(),
    "homogeneous": OBJECT.optional(),
    "max_alternates": integer().optional(),
    "tokenizer": OBJECT.optional(),
    "use_tf_data": Kind(tuple(v for v in FLAG.bad if v is not None)),
    "features": OBJECT.optional(),
    "only_with_features": FLAG,
}
add(
    "data.view_dataset",
    lambda w: {
        "tokens": w.tokens,
        "views": w.views,
        "batch_size": 2,
        "use_tf_data": False,
    },
    bad_only(DATASET),
)
add(
    "data.steps_per_epoch",
    lambda w: {"tokens": w.tokens, "views": w.views, "batch_size": 2},
    {
        k: Kind(DATASET[k].bad)
        for k in ("tokens", "views", "batch_size", "drop_remainder")
        + ("buckets", "block_tokens")
    },
)
add(
    "data.stream_dataset",
    lambda w: {
        "texts": TEXTS,
        "views": w.views,
        "batch_size": 2,
        "tokenizer": w.tokenizer,
    },
    {
        "texts": CORPUS.without(list),  # read when batches are asked for
        "shuffle_buffer": integer(1),
        **{
            k: Kind(DATASET[k].bad)
            for k in ("views", "batch_size", "seed", "start_step")
            + ("num_epochs", "max_alternates")
        },
        "tokenizer": OBJECT,
    },
)
add(
    "data.tokenize",
    lambda w: {
        "corpus": TEXTS,
        "tokenizer": w.tokenizer,
        "directory": w.new("store"),
        **QUIET,
    },
    {
        "corpus": CORPUS,
        "tokenizer": OBJECT,
        "directory": PATH,
        "num_workers": Kind(whole(0).bad).optional(),
        "shard_characters": whole(),
        "show_progress": FLAG,
    },
    calls_good=False,
)
add(
    "data.passages",
    {"texts": TEXTS},
    {
        "texts": CORPUS,
        "max_words": whole(3),
        "min_words": integer(1, 32),
        "show_progress": FLAG,
    },
)
add(
    "data.teacher_features",
    lambda w: {
        "teacher": count_letters,
        "texts": ["form from form from ."] * 9 + TEXTS,
        "tokens": w.tokens,
        "directory": w.new("features"),
    },
    {
        "teacher": OBJECT,
        "texts": CORPUS,
        "tokens": OBJECT,
        "directory": PATH,
        "tokenizer": OBJECT.optional(),
        "max_documents": whole().optional(),
        "seconds": number(0).optional(),
        "seed": SEED,
        "show_progress": FLAG,
    },
)
add(
    "data.FeatureStore.open",
    lambda w: {"directory": w.features, "tokens": w.tokens},
    {"directory": PATH, "tokens": OBJECT, "verify": FLAG},
)
add(
    "data.JoinedFeatures",
    lambda w: {"stores": [kd.data.FeatureStore.open(w.features, w.tokens)] * 2},
    {"stores": OBJECT.but([7], [None])},
)
add(
    "data.unknown_rates",
    lambda w: {"tokenizer": w.tokenizer, "texts": TEXTS},
    {"tokenizer": OBJECT, "texts": CORPUS, "show_progress": FLAG},
)
add(
    "data.train_tokenizer",
    {"corpus": TEXTS, "vocabulary_size": 60, **QUIET},
    {
        "corpus": CORPUS,
        "vocabulary_size": integer(1),
        "lowercase": FLAG,
        "strip_accents": Kind(tuple(v for v in FLAG.bad if v is not None)),
        "alphabet_size": Kind(whole().bad).optional(),
        "minimum_frequency": integer(),
        "show_progress": FLAG,
    },
    calls_good=False,
)

# === Teachers ===

add("teachers.Teacher", {}, {"prompt": TEXT})
add(
    "teachers.get",
    {"teacher": count_letters},
    {
        "teacher": OBJECT,
        "prompt": TEXT.optional(),
        "sequence_length": Kind(integer(3).bad).optional(),
        "pooling": Kind((*choice("mean", "cls").bad, "mean")).optional(),
        "batch_size": whole(),
    },
)
add(
    "teachers.plain_pieces",
    lambda w: {"tokenizer": w.tokenizer},
    {"tokenizer": OBJECT},
)

# === Curation ===

LIMIT = number(0).optional()
COUNT_LIMIT = integer(0).optional()
add(
    "curation.Rule",
    {"name": "x", "measure": len, "maximum": 3},
    {
        "name": WORD,
        "measure": OBJECT,
        "minimum": number().optional(),
        "maximum": Kind(tuple(v for v in number().bad if v is not None)),
    },
)
add(
    "curation.balanced_sample",
    lambda w: {"clusters": w.clusters, "size": 3},
    {"clusters": OBJECT, "size": Kind(integer().bad), "seed": whole(0)},
)
add(
    "curation.c4_quality",
    {},
    {
        "minimum_sentences": COUNT_LIMIT,
        "minimum_words_per_line": integer(0),
        "maximum_word_length": integer(1),
        "maximum_curly_brackets": COUNT_LIMIT,
        "maximum_lorem_ipsum": COUNT_LIMIT,
        "wrapped": FLAG,
    },
)
add(
    "curation.filter_quality",
    {"corpus": TEXTS, **QUIET},
    {
        "corpus": CORPUS,
        "rules": Kind((NAN, 7, True, "x", {}, object(), [7], [None])),
        "directory": PATH.optional(),
        "show_progress": FLAG,
    },
    calls_good=False,
)
add(
    "curation.find_duplicates",
    {"corpus": TEXTS, **QUIET},
    {"corpus": CORPUS, "threshold": number(0.5, 1), "show_progress": FLAG},
)
add(
    "curation.find_leaks",
    {"corpus": TEXTS, "tests": {"x": ["a b c d e f g"]}, **QUIET},
    {
        "corpus": CORPUS,
        "tests": Kind((NAN, 7, True, None, {}, object(), [7], [], {"x": 7})),
        "n": whole(),
        "minimum_words": whole(),
        "text_key": KEY,
        "directory": PATH.optional(),
        "show_progress": FLAG,
    },
    calls_good=False,
)
GOPHER = kd.curation.gopher_quality
add(
    "curation.gopher_quality",
    {},
    {
        "minimum_words": COUNT_LIMIT,
        "maximum_words": COUNT_LIMIT,
        "minimum_mean_word_length": LIMIT,
        "maximum_mean_word_length": LIMIT,
        "maximum_hashes_per_word": LIMIT,
        "maximum_ellipses_per_word": LIMIT,
        "maximum_bullet_lines": LIMIT,
        "maximum_ellipsis_lines": LIMIT,
        "minimum_alphabetic_words": LIMIT,
        "minimum_stop_words": COUNT_LIMIT,
        "stop_words": WORDS.but("x"),
    },
)
NGRAMS = Kind(
    (NAN, 7, True, None, "x", {}, object(), [7], [(2, NAN)], [(1.5, 0.1)])
    + ([("x", 0.1)], [(2, "x")], [(0, 0.1)], [(2, -1)], [(2,)])
)
add(
    "curation.gopher_repetition",
    {},
    {
        "maximum_repeated_lines": LIMIT,
        "maximum_repeated_line_characters": LIMIT,
        "maximum_repeated_paragraphs": LIMIT,
        "maximum_repeated_paragraph_characters": LIMIT,
        "maximum_top_ngram": NGRAMS,
        "maximum_repeated_ngrams": NGRAMS,
    },
)
add(
    "curation.hierarchical_kmeans",
    {"features": FEATURES, "num_clusters": [2]},
    {
        "features": MATRIX,
        "num_clusters": Kind(
            (NAN, True, None, "x", {}, object(), [], [7.5], ["x"], [0], [NAN])
            + ([2, 3], [10**30])
        ),
        "num_resampling": whole(0),
        "points_per_cluster": Kind(
            (NAN, True, "x", {}, object(), [], [1.5], ["x"], [0], -1, [1, 2])
        ).optional(),
        "normalize": FLAG,
        "max_iterations": whole(),
        "seed": whole(0),
        "directory": PATH.optional(),
        "show_progress": FLAG,
    },
    calls_good=False,
)
add(
    "curation.retrieve_near",
    {"features": FEATURES, "seed_features": FEATURES},
    {
        "features": MATRIX,
        "seed_features": MATRIX,
        "k": integer(),
        "batch_size": integer(),
    },
)

# === Evaluation ===

LABELLED = Kind((None, "x", 7, NAN, object(), [], ["a"], [[]] * 6))
DEV = {"dev_features": FEATURES, "dev_labels": LABELS}
STRENGTHS = Kind(
    (NAN, 0, -1, True, "x", [], [NAN], ["x"], {}, object(), 1j, [None], [0.0])
)
PROBE = {
    "train_features": FEATURES,
    "train_labels": LABELS,
    "test_features": FEATURES,
    "test_labels": LABELS,
}
PROBE_KINDS = {
    "train_features": MATRIX,
    "train_labels": LABELLED,
    "test_features": MATRIX,
    "test_labels": LABELLED,
}
DEV_KINDS = {
    "dev_features": (
        Kind(tuple(v for v in MATRIX.bad if v is not None)),
        {"dev_labels": LABELS},
    ),
    "dev_labels": (
        Kind(tuple(v for v in LABELLED.bad if v is not None)),
        {"dev_features": FEATURES},
    ),
    "strengths": (STRENGTHS.but([1.0, 2.0]), {}),
    "max_iterations": Kind(whole().bad),
}
add("evaluation.linear_probe", PROBE, {**PROBE_KINDS, **DEV_KINDS})
add(
    "evaluation.few_shot_curve",
    {**PROBE, "shots": 2, "num_draws": 1},
    {
        **PROBE_KINDS,
        **DEV_KINDS,
        "shots": Kind((NAN, 0, -1, True, "x", [], [1.5], ["x"], 99, {}, 1.5)),
        "num_draws": integer(),
        "seed": SEED,
    },
)
add(
    "evaluation.knn_accuracy",
    {**PROBE, "k": 3},
    {
        **PROBE_KINDS,
        "k": integer(1, 6),
        "temperature": TEMPERATURE,
        "batch_size": integer(),
    },
)
add("evaluation.alignment", PAIR, {"x": MATRIX, "y": MATRIX})
add(
    "evaluation.uniformity",
    {"features": FEATURES},
    {"features": MATRIX, "t": number(above=0), "batch_size": integer()},
)
add(
    "evaluation.rankme",
    {"features": FEATURES},
    {"features": MATRIX, "epsilon": number(above=0)},
)
NO_TAGS = Kind(
    (NAN, 7, None, "x", object(), [7], [["B-PER"]], [["x", "O"]] * 3, {}, 1j)
)
add(
    "evaluation.entity_f1",
    {"true_tags": TAGS, "predicted_tags": TAGS},
    {"true_tags": NO_TAGS, "predicted_tags": NO_TAGS},
)
TOKEN_PROBE = {
    "train_features": TOKEN_FEATURES,
    "train_tags": TAGS,
    "test_features": TOKEN_FEATURES,
    "test_tags": TAGS,
}
NO_TOKENS = Kind(
    (NAN, 7, None, "x", object(), [], [7, 7, 7], np.ones((3, 2)))
    + (np.full((3, 2, 4), NAN),)
)
add(
    "evaluation.token_probe",
    TOKEN_PROBE,
    {
        "train_features": NO_TOKENS,
        "train_tags": NO_TAGS,
        "test_features": NO_TOKENS,
        "test_tags": NO_TAGS,
        "dev_features": (NO_TOKENS.without(type(None)), {"dev_tags": TAGS}),
        "dev_tags": (
            NO_TAGS.without(type(None)),
            {"dev_features": TOKEN_FEATURES},
        ),
        "strengths": STRENGTHS.but([1.0, 2.0]),
        "max_iterations": Kind(whole().bad),
    },
)
NLI_DEV = {
    "dev_first": FEATURES,
    "dev_second": FEATURES,
    "dev_labels": LABELS,
}
SOME_MATRIX = MATRIX.without(type(None))
add(
    "evaluation.nli_probe",
    {
        "train_first": FEATURES,
        "train_second": FEATURES + 1,
        "train_labels": LABELS,
        "test_first": FEATURES,
        "test_second": FEATURES + 1,
        "test_labels": LABELS,
    },
    {
        "train_first": MATRIX,
        "train_second": MATRIX,
        "train_labels": LABELLED,
        "test_first": MATRIX,
        "test_second": MATRIX,
        "test_labels": LABELLED,
        "dev_first": (SOME_MATRIX, NLI_DEV),
        "dev_second": (SOME_MATRIX, NLI_DEV),
        "dev_labels": (LABELLED.without(type(None)), NLI_DEV),
        "strengths": STRENGTHS.but([1.0, 2.0]),
        "max_iterations": Kind(whole().bad),
    },
)
add(
    "evaluation.retrieval_ndcg",
    {
        "query_features": FEATURES,
        "document_features": FEATURES,
        "relevant": range(6),
    },
    {
        "query_features": MATRIX,
        "document_features": MATRIX,
        "relevant": Kind(
            (NAN, 7, None, "x", object(), [], {}, [1], ["x"] * 6, [99] * 6)
            + ([{0: NAN}] * 6, [{0: "x"}] * 6, [{0: -1}] * 6, [{}] * 6)
            + ([1.5] * 6, [True] * 6)
        ),
        "k": integer(),
        "batch_size": integer(),
    },
)
add(
    "evaluation.sts_spearman",
    {
        "first_features": FEATURES,
        "second_features": FEATURES + 1,
        "scores": np.arange(6.0),
    },
    {
        "first_features": MATRIX,
        "second_features": MATRIX,
        "scores": Kind(
            (NAN, 7, None, "x", object(), [], ["x"] * 6, [NAN] * 6, [1.0] * 6)
            + (np.ones((6, 2)), np.ones(6, complex), [None] * 6)
        ),
    },
)
add("evaluation.first_sentence", {"text": "a"}, {"text": TEXT})
LONG = [
    kd.data.Document(f"A sentence about number {n}. " + "x " * 99, label="x")
    for n in range(3)
]
add(
    "evaluation.HeldOutDocuments",
    {"documents": LONG},
    {
        "documents": Kind((NAN, 7, None, True, "x", object(), [], [7], {})),
        "train": Kind((NAN, 7, True, "x", object(), [7], [None])),
        "num_queries": whole(),
        "num_labelled": whole(),
        "seed": whole(0),
    },
)
NO_ENCODER = Kind((NAN, 7, None, True, "x", object(), [], {}, 1j))
add("evaluation.TextFeatures", {"encoder": len}, {"encoder": NO_ENCODER})
add(
    "evaluation.MTEBEncoder",
    {"encoder": len},
    {
        "encoder": NO_ENCODER,
        "name": WORD.but("x", "a/b/c"),
        "revision": OPTIONAL_WORD,
    },
)
TASK = {"name": WORD.but(""), "path": WORD}
for task in ("Task", "NLITask", "RetrievalTask", "STSTask", "TaggingTask"):
    add(f"evaluation.{task}", {"name": "x", "path": "y"}, TASK)
for task in ("ClassificationTask", "TopicTask"):
    add(
        f"evaluation.{task}",
        {"name": "x", "path": "y"},
        {**TASK, "text": KEY, "label": KEY},
    )
TASK_NAME = Kind((NAN, 7, None, True, "nonsense", object(), [], {}, 1j))
add(
    "evaluation.evaluate",
    lambda w: {"encoder": len, "folder": w.folder},
    {
        "encoder": NO_ENCODER,
        "folder": PATH,
        "split": choice("dev", "test").but(good=()),
        "tasks": Kind((NAN, 7, True, "x", object(), [7], ["x"], [None])),
        "max_train": whole().optional(),
        "seed": whole(0),
        "results": PATH.optional(),
        "verbose": FLAG,
    },
    calls_good=False,
)
add(
    "evaluation.mteb_task",
    lambda w: {"task": "x", "folder": w.folder},
    {
        "task": TASK_NAME,
        "folder": PATH,
        "split": choice(),
        "language": WORD,
    },
    calls_good=False,
)
add(
    "evaluation.read_beir",
    lambda w: {"folder": w.folder},
    {"folder": PATH, "split": WORD.but("")},
    calls_good=False,
)
READ = lambda w: {"path": w.folder / "labelled.tsv"}  # noqa: E731
for reader, columns in (
    ("labelled_texts", "text label"),
    ("tagged_words", "words tags"),
    ("text_pairs", "target first second"),
):
    add(
        f"evaluation.read_{reader}",
        READ,
        {"path": PATH, **dict.fromkeys(columns.split(), KEY)},
        calls_good=False,
    )

# === Callbacks ===

add(
    "callbacks.CollapseMonitor",
    {},
    {
        "patience": whole(),
        "check_every": whole(),
        "on_failure": choice("warn", "stop"),
        "checkpoint": OBJECT.optional(),
        **dict.fromkeys(
            ("min_feature_std", "min_prototype_use", "min_sharpness")
            + ("min_rank", "min_information"),
            RATE,
        ),
    },
)
add(
    "callbacks.OnlineProbe",
    lambda w: {"probe": len, "tokenizer": w.tokenizer},
    {
        "probe": OBJECT,
        "tokenizer": OBJECT,
        "every": whole().optional(),
        "time_share": number(above=0, high=1),
        "monitor": OPTIONAL_WORD,
        "mode": (choice("min", "max"), {"monitor": "x"}),
        "directory": (PATH.optional(), {"monitor": "x"}),
        "sequence_length": integer(2).optional(),
        "checkpoint": OBJECT.optional(),
        "student": OPTIONAL_WORD,
    },
)

# === Runs ===

CHECKPOINT = {
    "save_every": whole().optional(),
    "keep": whole(),
    "monitor": OPTIONAL_WORD,
    "mode": choice("min", "max"),
}
add(
    "runs.Checkpoint",
    lambda w: {"directory": w.new("checkpoints")},
    {"directory": PATH, **CHECKPOINT},
)
add(
    "runs.fit",
    lambda w: {
        "model": w.compiled_model,
        "make_dataset": lambda step: [],
        "directory": w.new("run"),
        "steps": 2,
        "steps_per_epoch": 2,
    },
    {
        "model": OBJECT,
        "make_dataset": OBJECT,
        "directory": PATH,
        "steps": whole(),
        "steps_per_epoch": whole(),
        **CHECKPOINT,
        "callbacks": Kind((NAN, 7, True, "x", object(), [7], [None], ["x"])),
        "verbose": Kind((NAN, 7, -1, 1.5, "x", None, [], object())),
        "deterministic": FLAG,
    },
    calls_good=False,
)
add(
    "runs.Ablation",
    lambda w: {
        "recipe": len,
        "changes": {"x": {}},
        "measure": len,
        "directory": w.new("ablation"),
        "steps": 2,
        "steps_per_epoch": 2,
    },
    {
        "recipe": OBJECT,
        "changes": Kind((NAN, 7, True, None, "x", [], {}, object())),
        "measure": OBJECT,
        "directory": PATH,
        "steps": whole(),
        "steps_per_epoch": whole(),
        "config": Kind((NAN, 7, True, "x", [1], object())),
        "seeds": Kind((NAN, 7, None, "x", [], [-1], [1.5], [True], [1, 1])),
        "make_callbacks": OBJECT.optional(),
        "save_every": whole().optional(),
        "curves": Kind((NAN, 7, True, None, "x", object(), [7])),
        "keep_checkpoints": FLAG,
        "verbose": Kind((NAN, 7, -1, 1.5, "x", None, [], object())),
    },
)

# === Pictures ===

ATTENTION = {
    "token_ids": np.ones((1, 3), "int32"),
    "padding_mask": np.ones((1, 3), "bool"),
}
NO_IDS = Kind(
    (None, "x", NAN, object(), [], np.ones(3), [["x"]], [[1.5]], [[-1]], [[99]])
)
add(
    "pictures.attention_probabilities",
    lambda w: {"encoder": w.encoder, **ATTENTION},
    {
        "encoder": OBJECT,
        "token_ids": NO_IDS,
        "padding_mask": Kind(
            (None, "x", NAN, object(), [], np.ones(3), [["x"]], [[1.5, 0, 1]])
        ),
    },
)
TOKEN_LIMIT = integer()
add(
    "pictures.attention_maps",
    lambda w: {"reader": w.reader, "text": "form"},
    {"reader": OBJECT, "text": TEXT, "max_tokens": TOKEN_LIMIT},
)
add(
    "pictures.token_similarity",
    lambda w: {"reader": w.reader, "a": "form"},
    {
        "reader": OBJECT,
        "a": TEXT,
        "b": TEXT.optional(),
        "max_tokens": TOKEN_LIMIT,
    },
)
add(
    "pictures.prototype_atlas",
    lambda w: {"reader": w.reader, "texts": ["form", "from"]},
    bad_only(
        {
            "reader": OBJECT,
            "texts": CORPUS,
            "head": choice("sequence"),
            "unit": choice("spans", "tokens").without(type(None)),
            "num_prototypes": integer(),
            "num_spans": integer(),
            "span_length": integer(),
            "batch_size": integer(),
        }
    ),
)
add(
    "pictures.plot_attention_maps",
    lambda w: {"maps": w.maps, "layer": 0},
    {"maps": OBJECT, "layer": Kind(integer(0, 0).bad)},
)
add(
    "pictures.plot_prototype_atlas",
    lambda w: {"atlas": w.atlas},
    {"atlas": OBJECT},
)
add(
    "pictures.plot_token_similarity",
    lambda w: {"similarity": w.similarity},
    {"similarity": OBJECT},
)
add(
    "pictures.write_page",
    lambda w: {"directory": w.new("page"), "pictures": [w.similarity]},
    {
        "directory": PATH,
        "pictures": Kind((NAN, 7, None, True, "x", object(), [7], [None], {})),
        "title": TEXT,
        "notes": Kind((NAN, 7, None, True, "x", object(), [7], [None])),
    },
    calls_good=False,
)
add(
    "pictures.TextReader",
    lambda w: {"network": w.encoder, "tokenizer": w.tokenizer},
    {"network": OBJECT, "tokenizer": OBJECT},
)

# === Recipes ===

BATCH = {"batch_size": integer(), "learning_rate": number(above=0)}
RECIPE = {
    "tokenizer": OBJECT,
    "size": choice("nano", "tiny"),
    "sequence_length": integer(2, 2**15 - 1),
    **BATCH,
}
SPAN = Kind(FRACTIONS.bad)
recipe_arguments = {
    "masked_lm": {"mask_ratio": number(above=0, high=1)},
    "simcse": {
        "dropout": number(above=0, below=1),
        "temperature": TEMPERATURE,
    },
    "crop_info_nce": {"span": SPAN, "temperature": TEMPERATURE},
    "bag_then_blocks": {
        "span": SPAN,
        "mask_ratio": number(above=0, high=1),
        "temperature": TEMPERATURE,
        "token_weights": number(0),
        "embedding_rate": number(0),
        "count_output": FLAG,
        "bag_steps": integer(),
        "bag_batch_size": integer(),
        "bag_learning_rate": number(above=0),
    },
    "dino": {
        "span": SPAN,
        "num_prototypes": integer(2),
        "num_local": integer(2),
        "info_nce_weight": number(0),
        "momentum": Kind(
            (NAN, 7, None, "x", [], [0.5], [0.5, NAN], [0.5, 1.5], 0.5)
        ),
    },
}
for recipe, kinds in recipe_arguments.items():
    add(
        f"recipes.{recipe}",
        lambda w: {"tokenizer": w.tokenizer},
        {**RECIPE, **kinds},
    )
add(
    "recipes.Phase",
    lambda w: {
        "name": "x",
        "views": w.views,
        "batch_size": 2,
        "backbone": len,
        "model": len,
    },
    {
        "name": WORD.but(""),
        "views": OBJECT,
        "batch_size": integer(),
        "backbone": OBJECT,
        "model": OBJECT,
        "share": number(above=0),
        "max_steps": whole().optional(),
        "keep": choice("learned", "student"),
        "pooled_layers": Kind(
            (NAN, True, "x", [], {}, object(), [1.5], ["x"], [None], [-2])
        ),
        "pooled_join": choice("average", "concatenate").optional(),
        "starts_as": WORD.optional(),
        "features": Kind((NAN, 7, True, "x", [7], object())),
        "only_with_features": FLAG,
        "prepare": OBJECT.optional(),
    },
)
add("recipes.get", {"name": "dino"}, {"name": choice("dino")})
add(
    "recipes.register",
    {"function": lambda tokenizer, size, sequence_length: []},
    {"function": OBJECT.optional(), "tokenizer": OBJECT.optional()},
    calls_good=False,
)
add(
    "recipes.pretrain",
    lambda w: {"texts": TEXTS, "directory": w.new("run"), "steps": 2},
    {
        "texts": Kind((NAN, 7, None, True, b"x", object(), [], [7], [None])),
        "directory": PATH,
        "minutes": (
            Kind(tuple(v for v in number(above=0).bad if v is not None)),
            {"steps": None},
        ),
        "steps": Kind(tuple(v for v in integer().bad if v is not None)),
        "size": choice(),
        "recipe": choice(),
        "seed": SEED,
        "vocabulary_size": integer(),
        "sequence_length": integer(2, 2**15 - 1),
        "held_out": Kind((NAN, 7, -1, 1.5, None, True, object(), 1j)),
        "verbose": Kind((NAN, 7, -1, 1.5, "x", None, [], object())),
    },
    calls_good=False,
)
add(
    "recipes.distill",
    lambda w: {
        "texts": TEXTS,
        "teacher": lambda texts: np.ones((len(texts), 2)),
        "directory": w.new("run"),
        "steps": 2,
    },
    {
        "texts": Kind((NAN, 7, None, True, b"x", object(), [], [7], [None])),
        "teacher": Kind((NAN, 7, None, True, [], [7], object(), "no such")),
        "directory": PATH,
        "minutes": (
            Kind(tuple(v for v in number(above=0).bad if v is not None)),
            {"steps": None},
        ),
        "steps": Kind(tuple(v for v in integer().bad if v is not None)),
        "size": choice(),
        "vocabulary": choice(),
        "seed": SEED,
        "vocabulary_size": integer(),
        "sequence_length": integer(2, 2**15 - 1),
        "held_out": Kind((NAN, 7, -1, 1.5, None, True, object(), 1j)),
        "verbose": Kind((NAN, 7, -1, 1.5, "x", None, [], object())),
        "max_passages": whole().optional(),
        "span": SPAN,
        "temperature": TEMPERATURE,
        "bag_steps": integer(),
        "bag_batch_size": integer(),
        "bag_learning_rate": number(above=0),
        "batch_size": integer(),
        "learning_rate": number(above=0),
    },
    calls_good=False,
)
add(
    "recipes.start_prototypes",
    lambda w: {"model": w.model, "batches": w.batches, "num_rows": 4},
    {"model": OBJECT, "batches": BATCHES, "num_rows": integer(), "seed": SEED},
    calls_good=False,
)
add(
    "recipes.make_dataset",
    lambda w: {
        "phase": kd.recipes.Phase("x", w.views, 2, len, len),
        "tokens": w.tokens,
        "seed": 0,
    },
    bad_only(
        {
            "phase": OBJECT,
            "tokens": OBJECT,
            "seed": SEED,
            "start_step": integer(0),
        }
    ),
)
add(
    "recipes.TextSearch",
    lambda w: {"preset": w.preset, "documents": LONG},
    {
        "preset": PATH,
        "documents": CORPUS,
        "folder": PATH.optional(),
        "sequence_length": integer(2),
        "verbose": Kind((NAN, 7, -1, 1.5, "x", None, [], object())),
    },
    calls_good=False,
)
add(
    "recipes.LongContextAdaptation",
    lambda w: {"model": w.model, "views": w.views},
    {
        "model": OBJECT,
        "views": OBJECT,
        "factor": integer(2),
        "rope": choice("ntk", "interpolation", "extrapolation"),
        "position_jitter": number(1).optional(),
        "gram_weight": WEIGHT,
        "momentum": scheduled(PROBABILITY, 1.5, -0.5).optional(),
    },
    calls_good=False,
)

# === Files ===

for function, more in (
    ("append_json_line", {"record": 1}),
    ("checksum", {}),
    ("claim_folder", {"kind": "x", "names": ["y"]}),
    ("folder_to_disk", {}),
    ("inside", {"name": "x"}),
    ("read_json", {"what": "x", "fix": "y"}),
    ("read_json_lines", {}),
    ("read_json_or_set_aside", {}),
    ("require_space", {"size": 1, "what": "x"}),
    ("sweep", {}),
    ("write_json", {"value": 1}),
    ("write_text", {"text": "x"}),
):
    names = inspect.signature(getattr(kd.files, function)).parameters
    first = next(iter(names))
    add(
        f"files.{function}",
        lambda w, first=first, more=more: {first: w.new("file"), **more},
        {first: PATH},
        calls_good=False,
    )
    for name in list(names)[1:]:
        EXEMPT[f"files.{function}", name] = "said by our own code"
