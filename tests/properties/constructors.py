"""Constructors with one random argument: an error that names it, or work."""

import inspect
import math
import warnings

import keras
import numpy as np
from hypothesis import strategies as st

import keras_dinolm as kd

_groups = {"name": "g", "count": 2}
_vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]

# What builds each of them, by its public name.
GOOD = {
    "schedules.Linear": {"start": 0.0, "end": 1.0, "steps": 3},
    "schedules.Cosine": {"start": 0.0, "end": 1.0, "steps": 3},
    "schedules.PiecewiseLinear": {"knots": [1, 3], "values": [0.0, 1.0]},
    "schedules.Warmup": {"steps": 3, "then": 1.0},
    "schedules.Delayed": {"steps": 3},
    "views.ViewGroup": _groups,
    "views.SpecialTokens": {
        "pad_token_id": 0,
        "cls_token_id": 1,
        "mask_token_id": 2,
    },
    "layers.DropPath": {},
    "layers.LayerScale": {},
    "layers.FeedForward": {"intermediate_dim": 4},
    "layers.SelfAttention": {"num_heads": 2},
    "layers.EncoderBlock": {"num_heads": 2, "intermediate_dim": 4},
    "layers.Registers": {"num_registers": 2},
    "layers.ProjectionHead": {},
    "layers.Prototypes": {"num_prototypes": 4},
    "layers.Centering": {},
    "layers.Sinkhorn": {},
    "layers.Expander": {},
    "layers.AttentionPooling": {},
    "layers.MeanPooling": {},
    "layers.ClsPooling": {},
    "objectives.SequenceDistillation": {},
    "objectives.TokenDistillation": {},
    "objectives.InfoNCE": {},
    "objectives.KoLeo": {},
    "objectives.VICReg": {},
    "objectives.MaskedLM": {},
    "objectives.GramAnchoring": {},
    "objectives.MeanEntropyMaximization": {},
    "objectives.SimilarityDistillation": {},
    "objectives.FeatureRegression": {},
    "optimizers.adamw": {
        "learning_rate": 1e-3,
        "warmup_steps": 2,
        "total_steps": 9,
    },
    "optimizers.AdamW": {},
    "callbacks.CollapseMonitor": {},
    "curation.gopher_quality": {},
    "curation.gopher_repetition": {},
    "curation.c4_quality": {},
    "models.DinoLMTokenizer": {"vocabulary": _vocabulary},
}
_values = st.one_of(
    st.sampled_from(
        [
            None, True, False, -1, 0, 1, 2, 3, 0.0, 0.5, 1.0, 1.5, -0.5,
            math.nan, math.inf, -math.inf, 1e30, 10**30, "", "x", "cls", "mean",
            b"x", [], [0.1, 0.2], (1, 2), {}, {"a": 1}, set(), object, 3j,
            np.float32(0.5), np.int64(2), np.array(0.5), np.array([1.0, 2.0]),
            np.nan, "nan", "0.5", [None], ["a"], [math.nan, 1.0],
        ]
    ),
    st.integers(-3, 9),
    st.floats(-2, 2),
    st.text(max_size=3),
)  # fmt: skip


def _callable(name):
    room, attribute = name.split(".")
    return getattr(getattr(kd, room), attribute)


def _arguments(name):
    parameters = inspect.signature(_callable(name)).parameters
    return [
        parameter.name
        for parameter in parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD,
                              parameter.KEYWORD_ONLY)
    ]  # fmt: skip


@st.composite
def cases(draw):
    """A constructor, one of its arguments, and a value for it."""
    # Some take what every layer takes, and nothing else.
    names = [name for name in sorted(GOOD) if _arguments(name)]
    name = draw(st.sampled_from(names))
    argument = draw(st.sampled_from(_arguments(name)))
    return {"name": name, "argument": argument, "value": draw(_values)}


def check(case: dict) -> None:
    """`ValueError` with the argument's name, or an object that works."""
    argument = case["argument"]
    arguments = {**GOOD[case["name"]], argument: case["value"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = _callable(case["name"])(**arguments)
        except (ValueError, FileNotFoundError) as error:
            named = f"`{argument}`" in str(error) or f"{argument}=" in str(
                error
            )
            assert named, f"does not name `{argument}`: {error}"
            return
        _use(made)


def _use(made):
    """What was accepted is described and made again."""
    repr(made)
    if isinstance(made, keras.layers.Layer | keras.optimizers.Optimizer):
        made.__class__.from_config(made.get_config())
    elif hasattr(made, "get_config"):
        config = keras.saving.serialize_keras_object(made)
        keras.saving.deserialize_keras_object(config)
