"""The tables of the trial."""

from fair_trial import variants
from fair_trial.family import Family
from fair_trial.minilm import MiniLM
from fair_trial.workshop import SHORT_WINDOW
from fair_trial.workshop import WINDOW
from fair_trial.workshop import crops
from keras_dinolm.recipes import parts
from keras_dinolm.recipes.phase import with_pooled_layers
from keras_dinolm.views import TextViews
from keras_dinolm.views import ViewGroup

EMBEDDINGS, LAST, BOTH = (0,), (-1,), (0, -1)


def trainable(start, size, pooled_layers):
    """A copy of an encoder to train; a bag gets blocks on top.

    `None` for the layers is a bag that stays one.
    """
    if pooled_layers is None or start.num_layers:
        copy = with_pooled_layers(start, pooled_layers or EMBEDDINGS)
    else:
        copy = parts.deepen(
            start, size, layer_scale=0.1, pooled_layers=pooled_layers
        )
    copy.pooler.trainable = False
    return copy


def words(tokenizer):
    """A text whose words are masked."""
    group = ViewGroup(
        "whole",
        1,
        mask_probability=1.0,
        mask_ratio=0.3,
        mask_span=1.0,
        mask_unit="word",
    )
    return TextViews(tokenizer, SHORT_WINDOW, groups=(group,))


def spans(tokenizer):
    return crops(tokenizer, 2)


def spans_and_whole(tokenizer):
    """Spans of a window for the student, the window for the teacher."""
    whole = ViewGroup("whole", 1, roles="teacher")
    return crops(tokenizer, 2, whole)


def all_read(tokenizer):
    """Spans and window, both for the student."""
    return crops(tokenizer, 2, ViewGroup("whole", 1))


SEQUENCE_VIEWS = {
    "spans": spans,
    "spans_and_whole": spans_and_whole,
    "all_read": all_read,
}

FAMILIES = {
    "tokens": Family(
        title="Targets for tokens: blocks on a bag",
        variants=variants.TOKENS,
        reference="masked_lm",
        budget=2_000,
        batch_size=64,
        rate=2e-3,
        length=SHORT_WINDOW,
        views={"words": words},
        backbone=lambda start, size: trainable(start, size, EMBEDDINGS),
        layers={"last": (LAST, False), "embeddings": (EMBEDDINGS, True)},
        # The probe is noisy: twice the rows of the others.
        slots=2_000,
        num_rows=40_000,
        starts=("bag", "distilled"),
        multipliers={r"token_embedding|output_norm": 0.1},
    ),
    "bag": Family(
        title="Targets for texts: a bag of embeddings",
        variants=variants.SEQUENCES,
        reference="info_nce",
        budget=2_000,
        batch_size=256,
        rate=2e-3,
        length=WINDOW,
        views=SEQUENCE_VIEWS,
        backbone=lambda start, size: trainable(start, size, None),
        layers={"embeddings": (EMBEDDINGS, True)},
        momentum=(0.99, 0.999),
        starts=("bag", "counted"),
    ),
    "blocks": Family(
        title="Targets for texts: blocks on a bag",
        variants=variants.SEQUENCES,
        reference="info_nce",
        budget=2_000,
        batch_size=64,
        rate=1e-3,
        length=WINDOW,
        views=SEQUENCE_VIEWS,
        backbone=lambda start, size: trainable(start, size, BOTH),
        layers={"both": (BOTH, True), "embeddings": (EMBEDDINGS, True)},
        momentum=(0.99, 0.999),
        multipliers={r"token_embedding|output_norm": 0.1},
    ),
    "minilm": MiniLM(
        title="A published encoder, continued",
        variants={
            name: variants.SEQUENCES[name]
            for name in ("start", "info_nce", "whole", "dino", "info_nce_dino")
        },
        reference="info_nce",
        budget=60,
        batch_size=16,
        rate=3e-5,
        length=40,
        views={},
        backbone=lambda start, size: start,
        layers={},
        momentum=(0.95, 0.95),
        heads=20.0,
        starts=("minilm",),
        group="pair",
        num_rows=1_024,
    ),
}
